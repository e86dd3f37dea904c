//! Endpoints in text form: `tcp://host:port`, `wss://host:port/path`, `mq:name`.

use std::{fmt, str::FromStr};

use super::host::{HostError, join_host_port, split_host_port};
use crate::wire::Compression;

/// The transport of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// `tcp://`: a plain socket.
    Tcp,
    /// `ssl://`: a socket with TLS.
    Ssl,
    /// `ws://`: WebSocket, which browsers use.
    Ws,
    /// `wss://`: WebSocket with TLS.
    Wss,
    /// `mq:`: message queues, by their names in `config.yml`.
    Mq,
}

const SCHEMES: [(Scheme, &str); 4] = [
    (Scheme::Tcp, "tcp"),
    (Scheme::Ssl, "ssl"),
    (Scheme::Ws, "ws"),
    (Scheme::Wss, "wss"),
];

/// The reason for which `ws://` and `wss://` are refused without the feature.
pub(crate) const WITHOUT_WEBSOCKET: &str =
    "this program is built without WebSocket: enable the feature `websocket` of tce-runtime";

/// The prefix of message queues, which have neither host nor port.
const MQ_PREFIX: &str = "mq:";

impl Scheme {
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::Wss)
    }

    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// An endpoint to connect to or to listen on.
///
/// `?compress=1` after the port compresses sent messages (the endpoint's
/// `compress` in `spec/gateway.md`); received ones may always be compressed.
/// It has no effect over WebSocket: the peer may be a browser, which can't
/// inflate (`spec/wire.md`, section 1).
///
/// `ws://` and `wss://` may have a path. A client requests it; an adapter with a
/// path refuses requests for other paths.
///
/// ```
/// use tce_runtime::config::{Endpoint, Scheme};
///
/// let endpoint: Endpoint = "tcp://localhost:12002".parse()?;
/// assert_eq!((endpoint.scheme, endpoint.port), (Scheme::Tcp, 12002));
/// assert!("tpc://localhost:12002".parse::<Endpoint>().is_err());
/// # Ok::<(), tce_runtime::config::EndpointError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The transport.
    pub scheme: Scheme,
    /// A host name or an IP address, IPv6 without brackets. For `mq:` the name of
    /// an endpoint in `config.yml`; an adapter may have several, separated by
    /// commas.
    pub host: String,
    /// The port; 0 to listen on a free port that the operating system chooses.
    pub port: u16,
    /// The path after the port, with its leading `/`; empty for none.
    pub path: String,
    /// Whether sent messages are compressed.
    pub compress: bool,
}

impl Endpoint {
    pub(crate) fn compression(&self) -> Compression {
        if self.compress && !self.scheme.is_websocket() {
            Compression::Zlib
        } else {
            Compression::None
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme == Scheme::Mq {
            return write!(f, "{MQ_PREFIX}{}", self.host);
        }
        let scheme = SCHEMES
            .iter()
            .find(|(scheme, _)| *scheme == self.scheme)
            .map_or("?", |(_, name)| name);
        let address = join_host_port(&self.host, self.port);
        let compress = if self.compress { "?compress=1" } else { "" };
        write!(f, "{scheme}://{address}{}{compress}", self.path)
    }
}

/// Why a text is not an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an endpoint: {reason}; write it like tcp://localhost:12002, ssl://example.org:12003, ws://localhost:12004, wss://example.org:12005/path or mq:mq_server"
)]
pub struct EndpointError {
    text: String,
    reason: String,
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        parse(text).map_err(|reason| EndpointError {
            text: text.to_owned(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<Endpoint, String> {
    if let Some(names) = text.strip_prefix(MQ_PREFIX) {
        return parse_queues(names);
    }
    let (scheme, rest) = text.split_once("://").ok_or("it has no `://`")?;
    let (kind, _) = SCHEMES
        .into_iter()
        .find(|(_, name)| *name == scheme)
        .ok_or_else(|| format!("`{scheme}` is not one of tcp, ssl, ws, wss and mq"))?;
    if kind.is_websocket() && !cfg!(feature = "websocket") {
        return Err(WITHOUT_WEBSOCKET.to_owned());
    }
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (address, path) = address.split_at(address.find('/').unwrap_or(address.len()));
    if !path.is_empty() && !kind.is_websocket() {
        return Err(format!(
            "it has the path `{path}`, which only ws and wss may have"
        ));
    }
    let (host, port) = split_host_port(address).map_err(|error| match error {
        HostError::NeedsBrackets(right) => {
            HostError::NeedsBrackets(format!("{scheme}://{right}")).to_string()
        }
        error => error.to_string(),
    })?;
    let mut compress = false;
    for option in query.split('&').filter(|option| !option.is_empty()) {
        compress = match option {
            "compress=1" => true,
            "compress=0" => false,
            other => {
                return Err(format!(
                    "`{other}` is not an option; the only one is `compress=1`"
                ));
            }
        };
    }
    Ok(Endpoint {
        scheme: kind,
        host: host.to_owned(),
        port,
        path: path.to_owned(),
        compress,
    })
}

fn parse_queues(names: &str) -> Result<Endpoint, String> {
    if names.split(',').any(|name| name.trim().is_empty()) {
        return Err("it has an empty name".to_owned());
    }
    Ok(Endpoint {
        scheme: Scheme::Mq,
        host: names.to_owned(),
        port: 0,
        path: String::new(),
        compress: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_parsed_is_shown_as_it_was_written() {
        for text in [
            "tcp://localhost:12002",
            "ssl://[::1]:0?compress=1",
            "tcp://[fe80::1%eth0]:1",
            "mq:one,two",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_address_that_would_be_read_in_another_way_is_refused() {
        for (text, reason) in [
            (
                "tcp://2001:db8::5",
                "an IPv6 address needs brackets: tcp://[2001:db8::5]:12002;",
            ),
            (
                "ssl://::1:12003",
                "an IPv6 address needs brackets: ssl://[::1]:12003;",
            ),
            (
                "tcp://[localhost]:1",
                "`[localhost]` is not an IPv6 address",
            ),
            ("tcp://010.0.0.1:1", "`010.0.0.1` is not an IPv4 address"),
            ("tcp://localhost:+1", "`+1` is not a port"),
            ("tcp://user@host:1", "`user@host` is not a host name"),
            ("tcp:// localhost:1", "` localhost` is not a host name"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
