//! Where messages come from or go to.

use std::fmt;

use tce_runtime::config::{MqEndpoint, TlsConfig};

/// An endpoint of [`Services`](super::Services): its place in `endpoints`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub(super) u16);

impl EndpointId {
    /// The place in [`Services::endpoints`](super::Services::endpoints).
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// Where messages come from or go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The name by which the file speaks of it.
    pub name: String,
    /// How it is spoken to.
    pub kind: EndpointKind,
}

/// How an endpoint is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointKind {
    /// A stream socket: listened on, or a direct backend.
    Socket {
        /// Where to listen, or the hosts that share the backend's work; at
        /// least one.
        hosts: Vec<HostPort>,
        /// Certificates, where it is spoken to under TLS.
        tls: Option<TlsConfig>,
        /// Whether what we send is compressed.
        compress: bool,
    },
    /// A WebSocket to listen on.
    WebSocket {
        /// Where to listen; at least one.
        hosts: Vec<HostPort>,
        /// Certificates, where it is spoken to under TLS.
        tls: Option<TlsConfig>,
        /// The path that clients must ask for, with its leading `/`; empty for
        /// any.
        path: String,
    },
    /// A queue or topic at a broker. What a gateway does with it is said by
    /// the [`Server`](super::Server): `reads` and `writes` are false here.
    Mq(MqEndpoint),
}

impl EndpointKind {
    /// The hosts and certificates of a socket or WebSocket; a queue has neither.
    pub fn sockets(&self) -> Option<(&[HostPort], Option<&TlsConfig>)> {
        match self {
            Self::Socket { hosts, tls, .. } | Self::WebSocket { hosts, tls, .. } => {
                Some((hosts, tls.as_ref()))
            }
            Self::Mq(_) => None,
        }
    }
}

/// As a person would call it: what it is, and where.
impl fmt::Display for EndpointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = match self {
            Self::Socket { hosts, tls, .. } => {
                write!(f, "socket {}", join(hosts))?;
                tls.is_some()
            }
            Self::WebSocket { hosts, tls, path } => {
                write!(f, "websocket {}{path}", join(hosts))?;
                tls.is_some()
            }
            Self::Mq(MqEndpoint {
                address,
                host,
                port,
                tls,
                ..
            }) => {
                write!(f, "{} {} at {host}:{port}", address.node, address.name)?;
                *tls
            }
        };
        f.write_str(if tls { ", TLS" } else { "" })
    }
}

fn join(hosts: &[HostPort]) -> String {
    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    hosts.join(",")
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A host name or an address, an IPv6 address without its brackets; never
    /// empty.
    pub host: String,
    /// The port; 0 to listen on any free one.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`; the host of `:port` is any of this machine's.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self {
            host: read_host(host)?,
            port: port.parse().ok()?,
        })
    }
}

/// The host of a listening endpoint that names none: all addresses.
pub(super) const ANY_HOST: &str = "0.0.0.0";

/// A host name, or an address, which may stand in brackets; any where it is
/// empty. None for what can't be a host, as a URL.
pub(super) fn read_host(text: &str) -> Option<String> {
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let host = match inner.unwrap_or(text) {
        "" => ANY_HOST,
        host => host,
    };
    let stray = |c: char| c.is_whitespace() || c.is_control() || "/\\{}[],;#?@\"'".contains(c);
    let address = host.parse::<std::net::Ipv6Addr>().is_ok();
    (!host.contains(stray) && (address || !host.contains(':'))).then(|| host.to_owned())
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}
