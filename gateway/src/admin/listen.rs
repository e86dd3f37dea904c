//! Where the page is, and by which names.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// The only host that needs no naming.
const LOOPBACK: &str = "127.0.0.1";

/// Where people and monitoring reach the gateway: `9100` for this machine alone,
/// or `host:port`, which lets in whoever reaches that host.
///
/// ```
/// use tce_gateway::admin::Listen;
///
/// assert_eq!("9100".parse::<Listen>().unwrap().to_string(), "127.0.0.1:9100");
/// assert_eq!("[::1]:9100".parse::<Listen>().unwrap().to_string(), "[::1]:9100");
/// assert!(":9100".parse::<Listen>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// A name or an address; an IPv6 address without brackets.
    host: String,
    port: u16,
}

/// Not a place to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no place for the admin page: a port for this machine alone (`9100`), or `host:port` for whoever reaches that host (`0.0.0.0:9100` for everybody)"
)]
pub struct NoPlace(String);

impl FromStr for Listen {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no_place = || NoPlace(text.to_owned());
        if let Ok(port) = text.parse() {
            let host = LOOPBACK.to_owned();
            return Ok(Self { host, port });
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            let host = address.ip().to_string();
            return Ok(Self {
                host,
                port: address.port(),
            });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(no_place)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if host.is_empty() || !host.chars().all(is_name) {
            return Err(no_place());
        }
        let port = port.parse().map_err(|_| no_place())?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl Listen {
    pub(super) fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Whether a request was meant for us, by its `Host`. Another site's name
    /// can be made to lead here (DNS rebinding), and its page would then read
    /// ours; an address can't.
    pub(super) fn answers_to(&self, host: &str) -> bool {
        let name = without_port(host);
        name.eq_ignore_ascii_case("localhost")
            || name.eq_ignore_ascii_case(&self.host)
            || is_address(name)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_address(name: &str) -> bool {
    let bracketed = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<Ipv4Addr>().is_ok(),
    }
}
