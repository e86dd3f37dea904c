//! What to do about a connection that fails, by its cause.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError, pki_types::pem};

/// For a malformed endpoint, whose error says how to write it.
pub(crate) const ENDPOINT_ADVICE: &str = "correct the endpoint";
/// For a server that does not behave as the scheme of the endpoint says.
pub(crate) const ENDPOINT_KIND_ADVICE: &str =
    "correct the scheme of the endpoint (tcp://, ssl://, ws:// or wss://), its port or its path";
/// For an address that does not answer.
pub(crate) const SILENT_ADVICE: &str =
    "check the address, and whether a firewall drops what is sent there";
/// For certificates and keys of this program.
pub(crate) const TLS_ADVICE: &str = "correct the files that `tls` of the options names";
/// For queues that are not open, or open already.
pub(crate) const OPEN_ADVICE: &str = "call `open_mq` once, before an `mq:` endpoint is used";
/// For endpoints that a configuration lacks.
pub(crate) const CONFIG_ADVICE: &str =
    "correct the endpoint, or the section of this program in its config.yml";
/// For a broker that can't be reached or refuses.
pub(crate) const BROKER_ADVICE: &str =
    "start the broker, or correct host, port, user, password and vhost in the config.yml";

/// What the user of a program can do about the cause of an error; `None` if that is not
/// known.
pub(crate) fn of_cause(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(of_tls(error));
    }
    if let Some(pem::Error::Io(error)) = error.downcast_ref() {
        return of_io(error);
    }
    let inner = match error.downcast_ref::<io::Error>() {
        Some(error) => {
            // `source` skips an error within an I/O error.
            let inner = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
            return inner.and_then(of_cause).or_else(|| of_io(error));
        }
        None => error.source(),
    };
    inner.and_then(of_cause)
}

fn of_io(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "start the server, or correct the host and port: nothing listens there"
        }
        io::ErrorKind::AddrInUse => {
            "end the program that listens there, or choose another port; port 0 takes a free one"
        }
        io::ErrorKind::AddrNotAvailable => {
            "listen on an address of this machine, such as localhost, or 0.0.0.0 for all"
        }
        io::ErrorKind::PermissionDenied => {
            "check the permissions of this program; a port below 1024 needs a privilege, such as \
             CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::NotFound => "correct the path: there is no such file",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "check the address and the network: no route leads there"
        }
        io::ErrorKind::TimedOut => {
            "check the address, and whether a firewall drops what is sent there"
        }
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => {
            "check that the port belongs to an endpoint of this kind: the server ended the \
             connection at once"
        }
        _ => return None,
    })
}

fn of_tls(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied,
        ) => {
            "set a client certificate that the server accepts, by `tls` of the options or --cert and --key"
        }
        rustls::Error::InvalidMessage(_) => {
            "use tcp:// or ws://, or correct the port: the server does not speak TLS there"
        }
        rustls::Error::InappropriateMessage { .. }
        | rustls::Error::InappropriateHandshakeMessage { .. }
        | rustls::Error::PeerIncompatible(_)
        | rustls::Error::PeerMisbehaved(_)
        | rustls::Error::AlertReceived(_) => {
            "check that the server supports TLS 1.2 or 1.3: the two sides have not agreed"
        }
        _ => "check the certificates and keys of both sides",
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew the certificate, or correct the clock of this machine"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "correct the clock of this machine: the certificate is not valid yet"
        }
        // A signature of another key than that of the known authority of this name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "trust the authority that signed the certificate, by `tls.authority` of the options or --ca"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "connect by a name that the certificate is for, or issue it for this name"
        }
        CertificateError::Other(error) if error.to_string().contains("CaUsedAsEndEntity") => {
            "give the server a certificate of its own: this one is that of an authority (CA:TRUE)"
        }
        _ => "replace the certificate: it can't be used",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_cause_is_found_within_other_errors() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let within = io::Error::new(io::ErrorKind::InvalidData, expired);
        assert_eq!(
            of_cause(&within),
            Some("renew the certificate, or correct the clock of this machine")
        );
        let twice = io::Error::other(Box::new(within) as Box<dyn Error + Send + Sync>);
        assert!(of_cause(&twice).is_some_and(|advice| advice.starts_with("renew")));
        let unknown = io::Error::other(Arc::new(std::fmt::Error));
        assert_eq!(of_cause(&unknown), None);
    }
}
