//! Certificates and keys, from PEM files to rustls.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, InconsistentKeys, RootCertStore, ServerConfig,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
    server::{ParsedCertificate, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::host::without_zone;

/// The PEM files for `ssl://` and `wss://`. A client needs none if the server's
/// certificate is signed by an authority that the operating system trusts.
///
/// ```
/// use tce_runtime::config::TlsConfig;
///
/// let server = TlsConfig {
///     certificate: Some("server.pem".into()),
///     key: Some("server.key".into()),
///     ..TlsConfig::default()
/// };
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsConfig {
    /// The certificate of this program and its chain. Adapters need one, clients
    /// only where the server demands it.
    pub certificate: Option<PathBuf>,
    /// The private key of the certificate.
    pub key: Option<PathBuf>,
    /// The authorities that must have signed the peer's certificate. If not set,
    /// a client trusts those of the operating system. An adapter that sets it
    /// demands a client certificate.
    pub authority: Option<PathBuf>,
}

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// An adapter has no certificate.
    #[error(
        "an ssl:// or wss:// adapter needs a certificate and a key: set `tls.certificate` and `tls.key`"
    )]
    Missing,
    /// A certificate without a key, or a key without a certificate.
    #[error(
        "a certificate and its key belong together: set `tls.certificate` and `tls.key`, or neither"
    )]
    Half,
    /// A file can't be read, or is not PEM.
    #[error("{}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why it can't be read.
        source: pem::Error,
    },
    /// A file has no certificate.
    #[error("{}: the file has no certificate", .0.display())]
    Empty(PathBuf),
    /// A file has no private key, or an encrypted one.
    #[error("{}: the file has no private key that is not encrypted; `openssl pkey` decrypts one", .0.display())]
    NoKey(PathBuf),
    /// An RSA key is too short to be secure.
    #[error("{}: the RSA key is too short: it has {bits} bits, and needs at least {MIN_RSA_BITS}", path.display())]
    ShortKey {
        /// The file of the key.
        path: PathBuf,
        /// The length of its modulus.
        bits: usize,
    },
    /// The key is none of the supported kinds.
    #[error("{}: the key can't be used ({source}); supported are RSA from {MIN_RSA_BITS} bits, ECDSA on P-256 and P-384, and Ed25519", path.display())]
    Key {
        /// The file of the key.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The key is that of another certificate.
    #[error("{}: the key does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// The certificate can't be used.
    #[error("{}: the certificate can't be used: {source}", path.display())]
    Certificate {
        /// The file of the certificate.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// A certificate of this program has expired.
    #[error("{}: the certificate expired {days} days ago, so that peers refuse it; renew it", path.display())]
    Expired {
        /// The file of the certificate.
        path: PathBuf,
        /// The full days since then.
        days: u64,
    },
    /// A certificate of this program is not valid yet.
    #[error("{}: the certificate becomes valid in {days} days, and peers refuse it until then; check the clock, or renew it", path.display())]
    NotYetValid {
        /// The file of the certificate.
        path: PathBuf,
        /// The full days until then.
        days: u64,
    },
    /// The certificate of an authority can't be used.
    #[error("{}: the authority can't be used: {source}", path.display())]
    Authority {
        /// The file of the authorities.
        path: PathBuf,
        /// What is wrong with one of them.
        source: rustls::Error,
    },
    /// The operating system has no list of authorities.
    #[error(
        "the certificate authorities of the operating system can't be read; set `tls.authority`"
    )]
    NoSystemRoots,
    /// The authorities that clients need can't be used.
    #[error("the authorities can't be used: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// No certificate can name the host.
    #[error("`{0}` is neither a DNS name nor an IP address, so that no certificate matches it")]
    Host(String),
    /// The TLS library refuses its settings.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// The least length of RSA keys that the TLS library signs with.
const MIN_RSA_BITS: usize = 2048;

impl TlsConfig {
    /// Checks that an `ssl://` or `wss://` adapter can use the files: it reads
    /// them, and compares the key with the certificate.
    ///
    /// # Errors
    /// What [`Adapter::listen`](crate::Adapter::listen) would refuse.
    pub fn check_adapter(&self) -> Result<(), TlsError> {
        self.server().map(drop)
    }

    /// Checks that an `ssl://` or `wss://` client can use the files, and verify a
    /// certificate of `host`.
    ///
    /// # Errors
    /// What [`Communicator::connect`](crate::Communicator::connect) would refuse.
    pub fn check_client(&self, host: &str) -> Result<(), TlsError> {
        server_name(host)?;
        self.client().map(drop)
    }

    /// Checks that the certificate of this program and its chain are valid now. An
    /// adapter or a client starts with one that is not, but its peers refuse it.
    ///
    /// # Errors
    /// [`TlsError::Expired`], [`TlsError::NotYetValid`], or why the file can't be used.
    pub fn check_dates(&self) -> Result<(), TlsError> {
        let Some(path) = &self.certificate else {
            return Ok(());
        };
        let days = |from: UnixTime, to: UnixTime| to.as_secs().saturating_sub(from.as_secs()) / DAY;
        for certificate in certificates(path)? {
            match dates(&certificate) {
                Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
                    time,
                    not_after,
                })) => {
                    let (path, days) = (path.clone(), days(not_after, time));
                    return Err(TlsError::Expired { path, days });
                }
                Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
                    time,
                    not_before,
                })) => {
                    let (path, days) = (path.clone(), days(time, not_before));
                    return Err(TlsError::NotYetValid { path, days });
                }
                // Whether a peer trusts the issuer is not known here.
                _ => {}
            }
        }
        Ok(())
    }

    /// The configuration of a client's TLS: for the gateway, which fetches keys by HTTPS.
    #[doc(hidden)]
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        self.client()
    }

    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        let config = match self.identity(&provider)? {
            Some(identity) => {
                let resolver = SingleCertAndKey::from(identity);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.authority {
            Some(_) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(
                    Arc::new(self.roots()?),
                    Arc::clone(&provider),
                )
                .build()?,
            ),
            None => builder.with_no_client_auth(),
        };
        let identity = self.identity(&provider)?.ok_or(TlsError::Missing)?;
        let resolver = SingleCertAndKey::from(identity);
        Ok(Arc::new(builder.with_cert_resolver(Arc::new(resolver))))
    }

    /// The certificate with its key.
    fn identity(&self, provider: &CryptoProvider) -> Result<Option<CertifiedKey>, TlsError> {
        let (certificate, key) = match (&self.certificate, &self.key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate, key),
            _ => return Err(TlsError::Half),
        };
        let chain = certificates(certificate)?;
        let der = private_key(key)?;
        let bits = rsa_bits(&der);
        let signing_key =
            provider
                .key_provider
                .load_private_key(der)
                .map_err(|source| match bits {
                    Some(bits) if bits < MIN_RSA_BITS => TlsError::ShortKey {
                        path: key.clone(),
                        bits,
                    },
                    _ => TlsError::Key {
                        path: key.clone(),
                        source,
                    },
                })?;
        let identity = CertifiedKey::new(chain, signing_key);
        match identity.keys_match() {
            // A key whose public half is not known is not compared.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Some(identity))
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch {
                key: key.clone(),
                certificate: certificate.clone(),
            }),
            Err(source) => Err(TlsError::Certificate {
                path: certificate.clone(),
                source,
            }),
        }
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.authority {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|source| TlsError::Authority {
                        path: path.clone(),
                        source,
                    })?;
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError::NoSystemRoots);
            }
        }
        Ok(roots)
    }
}

/// The seconds of a day.
const DAY: u64 = 24 * 60 * 60;

/// Fails with the dates of a certificate that is not valid now. They are compared before
/// the issuer is looked for, which fails here: no issuer is trusted.
fn dates(certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(certificate)?,
        &RootCertStore::empty(),
        &[],
        UnixTime::now(),
        ring::default_provider()
            .signature_verification_algorithms
            .all,
    )
}

/// The name that the certificate of a host must have.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    let name = without_zone(host).to_owned();
    ServerName::try_from(name).map_err(|_| TlsError::Host(host.to_owned()))
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem {
        path: path.clone(),
        source,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(failed)?
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    if certificates.is_empty() {
        return Err(TlsError::Empty(path.clone()));
    }
    Ok(certificates)
}

fn private_key(path: &PathBuf) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsError::NoKey(path.clone()),
        source => TlsError::Pem {
            path: path.clone(),
            source,
        },
    })
}

/// The length of an RSA key's modulus; `None` for a key of another kind. The TLS
/// library does not tell a short key from a broken one.
fn rsa_bits(key: &PrivateKeyDer<'_>) -> Option<usize> {
    let key = match key {
        PrivateKeyDer::Pkcs1(key) => key.secret_pkcs1_der(),
        // PrivateKeyInfo (RFC 5208, 5): version, algorithm, and an octet string
        // with the key.
        PrivateKeyDer::Pkcs8(key) => {
            let (mut info, _) = der_value(key.secret_pkcs8_der(), DER_SEQUENCE)?;
            (_, info) = der_value(info, DER_INTEGER)?;
            (_, info) = der_value(info, DER_SEQUENCE)?;
            der_value(info, DER_OCTET_STRING)?.0
        }
        _ => return None,
    };
    // RSAPrivateKey (RFC 8017, A.1.2): version, modulus …
    let (key, _) = der_value(key, DER_SEQUENCE)?;
    let (_, key) = der_value(key, DER_INTEGER)?;
    let (modulus, _) = der_value(key, DER_INTEGER)?;
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let unused = modulus[first].leading_zeros() as usize;
    Some((modulus.len() - first) * 8 - unused)
}

const DER_INTEGER: u8 = 0x02;
const DER_OCTET_STRING: u8 = 0x04;
const DER_SEQUENCE: u8 = 0x30;

/// The content of a DER value with the given tag, and what follows the value.
fn der_value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..0x80 => (usize::from(short), rest),
        long => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let length = digits.iter().try_fold(0_usize, |length, digit| {
                length.checked_mul(256)?.checked_add(usize::from(*digit))
            })?;
            (length, rest)
        }
    };
    (*found == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_certificate_has_no_zone() {
        let name = server_name("fe80::1%eth0").unwrap();
        assert_eq!(name, server_name("fe80::1").unwrap());
        assert!(server_name("under score").is_err());
    }
}
