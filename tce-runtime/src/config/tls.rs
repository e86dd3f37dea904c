//! Certificates and keys, from PEM files to rustls.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

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
pub(crate) enum TlsError {
    #[error(
        "an ssl:// or wss:// adapter needs a certificate and a key: set `tls.certificate` and `tls.key`"
    )]
    Missing,
    #[error(
        "a certificate and its key belong together: set `tls.certificate` and `tls.key`, or neither"
    )]
    Half,
    #[error("{}: {source}", path.display())]
    Pem {
        path: PathBuf,
        source: rustls::pki_types::pem::Error,
    },
    #[error("{}: the file has no certificate", .0.display())]
    Empty(PathBuf),
    #[error("{}: {source}", path.display())]
    Authority {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error(
        "the certificate authorities of the operating system can't be read; set `tls.authority`"
    )]
    NoSystemRoots,
    #[error("the certificate and the key can't be used: {0}")]
    Identity(rustls::Error),
    #[error("the authorities can't be used: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl TlsConfig {
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        let config = match self.identity()? {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(TlsError::Identity)?,
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
                WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider)
                    .build()?,
            ),
            None => builder.with_no_client_auth(),
        };
        let (chain, key) = self.identity()?.ok_or(TlsError::Missing)?;
        Ok(Arc::new(
            builder
                .with_single_cert(chain, key)
                .map_err(TlsError::Identity)?,
        ))
    }

    fn identity(&self) -> Result<Option<Identity>, TlsError> {
        match (&self.certificate, &self.key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(path)) => {
                let key = PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::Pem {
                    path: path.clone(),
                    source,
                })?;
                Ok(Some((certificates(certificate)?, key)))
            }
            _ => Err(TlsError::Half),
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
