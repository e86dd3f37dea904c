//! What to do about a connection that fails, by its cause.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError, pki_types::pem};

use crate::wire::NOT_TCE;

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
/// For endpoints that have to be topics.
pub(crate) const TOPIC_ADVICE: &str = "give the endpoint a topic, `address:      'name;{create:always,node:{type:topic}}'`, and each program one id there";
/// For a broker that can't be reached or refuses.
pub(crate) const BROKER_ADVICE: &str =
    "start the broker, or correct host, port, user, password and vhost in the config.yml";

/// What the text of a gateway begins with that has no route for a call.
pub const NO_ROUTE: &str = "the gateway has no route for calls to interface ";
/// What the error of a message to a missing queue begins with.
pub const NO_QUEUE: &str = "there is no queue `";
/// What the error of a message to a topic without readers begins with.
pub const NO_READER: &str = "no program reads the topic `";
/// For such a topic.
const READER_ADVICE: &str =
    "start the programs behind the topic, or correct the `address` of the endpoint";
/// For a queue that the broker does not have.
const QUEUE_ADVICE: &str = "correct the `address` of the endpoint, start the program that \
     declares the queue, or let the endpoint declare it: address: 'name;{create:always}'";

/// What to do about a failure that reaches a call, or is reported by a broker, as a text.
pub(crate) fn of_text(text: &str) -> Option<&'static str> {
    if text.ends_with(NOT_TCE) {
        return Some(
            "correct the scheme of the endpoint (tcp://, ssl://, ws:// or wss://) or its port",
        );
    }
    if text.ends_with(NO_SERVER) {
        return Some(
            "start the server behind this endpoint of the gateway, or correct the address of the \
             endpoint in the services.xml; the call was not sent",
        );
    }
    if text.starts_with(NO_ROUTE) {
        return Some(
            "add a route for the interface to the services.xml of the gateway, or check that both \
             have the same index for it; an inherited operation needs a route of its base interface",
        );
    }
    if text.starts_with(NO_QUEUE) {
        return Some(QUEUE_ADVICE);
    }
    if text.starts_with(NO_READER) {
        return Some(READER_ADVICE);
    }
    // The names of AMQP's reply codes, with which its texts begin.
    let replies = [
        ("NOT_FOUND - ", QUEUE_ADVICE),
        (
            "ACCESS_REFUSED - Login was refused",
            "correct user and password in the config.yml or services.xml; the user guest may log \
             in from the broker's machine alone",
        ),
        (
            "ACCESS_REFUSED - ",
            "give the user its permissions at the broker: rabbitmqctl set_permissions",
        ),
        (
            "NOT_ALLOWED - ",
            "correct the vhost, or give the user access to it: rabbitmqctl set_permissions -p VHOST",
        ),
        (
            "PRECONDITION_FAILED - ",
            "write the `address` as the queue was declared, with its type and `durable`, or delete \
             the queue at the broker",
        ),
        (
            "RESOURCE_LOCKED - ",
            "end the program that reads the queue, or give this one a queue of its own",
        ),
    ];
    let found = replies.into_iter().find(|(name, _)| text.contains(name));
    found.map(|(_, advice)| advice)
}

/// What the text of a gateway ends with that has no server to forward a call to.
pub const NO_SERVER: &str = "no server is connected";

/// What the user of a program can do about the cause of an error; `None` if that is not
/// known.
pub fn of_cause(error: &(dyn Error + 'static)) -> Option<&'static str> {
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
    fn what_a_broker_says_has_its_advice() {
        let login = "the broker at localhost:5672: ACCESS_REFUSED - Login was refused using …";
        assert!(of_text(login).is_some_and(|advice| advice.starts_with("correct user")));
        let missing = "the broker at localhost:5672: NOT_FOUND - no queue 'q' in vhost '/'";
        assert_eq!(of_text(missing), Some(QUEUE_ADVICE));
        assert_eq!(of_text("the servant says: NOT_FOUND"), None);
    }

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
