//! Endpoints: sockets, WebSockets and queues, by name.

use std::fmt;

use tce_runtime::config::{
    self as runtime, MqEndpoint, ProxyOptions, Scheme, TlsConfig,
    host::{self, join_host_port, split_host_port},
};

/// The index of an endpoint in [`Services::endpoints`](super::Services::endpoints).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub(super) u16);

impl EndpointId {
    /// The index in [`Services::endpoints`](super::Services::endpoints).
    pub fn index(self) -> usize {
        self.0.into()
    }
}

/// An endpoint that messages arrive at or leave by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceEndpoint {
    /// The name that the file refers to it by.
    pub name: String,
    /// The transport and the address.
    pub kind: EndpointKind,
}

/// The transport of an endpoint, and its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointKind {
    /// A stream socket: the gateway listens on it, or connects to the server
    /// behind it.
    Socket {
        /// Where to listen, or the hosts that share the calls to the server; at
        /// least one.
        hosts: Vec<HostPort>,
        /// The certificates, if the endpoint uses TLS.
        tls: Option<TlsConfig>,
        /// Whether sent messages are compressed.
        compress: bool,
        /// What is before a listener.
        proxy: ProxyOptions,
    },
    /// A WebSocket to listen on.
    WebSocket {
        /// Where to listen; at least one.
        hosts: Vec<HostPort>,
        /// The certificates, if the endpoint uses TLS.
        tls: Option<TlsConfig>,
        /// The path that clients must request, with its leading `/`; empty
        /// accepts any path.
        path: String,
        /// What is before it.
        proxy: ProxyOptions,
    },
    /// A queue or topic at a broker. `reads` and `writes` are false here: the
    /// [`ServerConfig`](super::ServerConfig) lists what it reads and writes.
    Mq(MqEndpoint),
}

impl ServiceEndpoint {
    /// Whether the endpoints are the same, except for the files of certificates
    /// and keys, which can be replaced while it is open.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        self.without_files() == other.without_files()
    }

    fn without_files(&self) -> Self {
        let mut endpoint = self.clone();
        if let EndpointKind::Socket { tls, .. } | EndpointKind::WebSocket { tls, .. } =
            &mut endpoint.kind
        {
            *tls = tls.as_ref().map(|_| TlsConfig::default());
        }
        endpoint
    }

    /// The address of the endpoint at one of its hosts.
    pub(crate) fn address(&self, host: &HostPort) -> runtime::Endpoint {
        let (scheme, path, compress) = match &self.kind {
            EndpointKind::Socket {
                tls: None,
                compress,
                ..
            } => (Scheme::Tcp, "", *compress),
            EndpointKind::Socket { compress, .. } => (Scheme::Ssl, "", *compress),
            EndpointKind::WebSocket {
                tls: None, path, ..
            } => (Scheme::Ws, path.as_str(), false),
            EndpointKind::WebSocket { path, .. } => (Scheme::Wss, path.as_str(), false),
            EndpointKind::Mq(_) => (Scheme::Mq, "", false),
        };
        runtime::Endpoint {
            scheme,
            host: host.host.clone(),
            port: host.port,
            path: path.to_owned(),
            compress,
        }
    }
}

impl EndpointKind {
    /// What is before a listener.
    pub(crate) fn proxy(&self) -> Option<&ProxyOptions> {
        match self {
            Self::Socket { proxy, .. } | Self::WebSocket { proxy, .. } => Some(proxy),
            Self::Mq(_) => None,
        }
    }

    /// The hosts and certificates of a socket or WebSocket; `None` for a queue.
    pub fn sockets(&self) -> Option<(&[HostPort], Option<&TlsConfig>)> {
        match self {
            Self::Socket { hosts, tls, .. } | Self::WebSocket { hosts, tls, .. } => {
                Some((hosts, tls.as_ref()))
            }
            Self::Mq(_) => None,
        }
    }
}

/// The transport and the address, as `--print-config` shows them.
impl fmt::Display for EndpointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = match self {
            Self::Socket { hosts, tls, .. } => {
                write!(f, "socket {}", join(hosts))?;
                tls.is_some()
            }
            Self::WebSocket {
                hosts, tls, path, ..
            } => {
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
                let broker = join_host_port(host, *port);
                write!(f, "{} {} at {broker}", address.node, address.name)?;
                *tls
            }
        };
        f.write_str(if tls { ", TLS" } else { "" })?;
        let Some(proxy) = self.proxy() else {
            return Ok(());
        };
        if proxy.protocol {
            f.write_str(", PROXY protocol")?;
        }
        if !proxy.forwarded_for.is_empty() {
            write!(f, ", forwarded for {}", proxy.forwarded_for)?;
        }
        Ok(())
    }
}

fn join(hosts: &[HostPort]) -> String {
    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    hosts.join(",")
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A host name or an address, an IPv6 address without brackets; never
    /// empty.
    pub host: String,
    /// The port; 0 listens on any free port.
    pub port: u16,
}

impl HostPort {
    /// Parses `host:port`, where an IPv6 address needs brackets; `:port` means all
    /// addresses of this machine.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let any_host = text.starts_with(':').then(|| format!("{ANY_HOST}{text}"));
        let (host, port) = split_host_port(any_host.as_deref().unwrap_or(text)).ok()?;
        let host = host.to_owned();
        Some(Self { host, port })
    }

    /// Whether only one of two sockets can listen on these: the port is the
    /// same, and one host includes the other. Host names are not resolved, other
    /// than localhost.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let hosts = [&self.host, &other.host].map(|host| match host.as_str() {
            "localhost" => "127.0.0.1",
            host => host,
        });
        let includes = |all: &str, one: &str| match all {
            // It accepts IPv4, too.
            "::" => true,
            ANY_HOST => !one.contains(':'),
            host => host.eq_ignore_ascii_case(one),
        };
        self.port == other.port
            && self.port != 0
            && (includes(hosts[0], hosts[1]) || includes(hosts[1], hosts[0]))
    }
}

/// The default host of a listening endpoint: all addresses.
pub(super) const ANY_HOST: &str = "0.0.0.0";

/// Parses a host name, or an address with or without brackets; an empty text is
/// [`ANY_HOST`]. Returns `None` for anything else, for example a URL.
pub(super) fn parse_host(text: &str) -> Option<String> {
    match text {
        "" => Some(ANY_HOST.to_owned()),
        text => host::parse_host(text).ok().map(str::to_owned),
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join_host_port(&self.host, self.port))
    }
}
