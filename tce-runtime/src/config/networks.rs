//! Sets of IP networks.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// IP networks and single addresses, for example `10.0.0.0/8,::1`.
///
/// ```
/// use tce_runtime::config::Networks;
///
/// let networks: Networks = "10.0.0.0/8, ::1".parse()?;
/// assert!(networks.contains("10.1.2.3".parse().unwrap()));
/// assert!(networks.contains("::ffff:10.1.2.3".parse().unwrap()));
/// assert!(!networks.contains("192.0.2.1".parse().unwrap()));
/// # Ok::<_, tce_runtime::config::NetworkError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Vec<IpNet>);

/// A text is neither an IP address nor a network such as `10.0.0.0/8`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct NetworkError(String);

impl Networks {
    /// Whether there is no network.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is in one of the networks. An IPv4 address within IPv6
    /// (`::ffff:10.1.2.3`) counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let parse = |text: &str| {
            let single = text.parse::<IpAddr>().map(IpNet::from);
            let network = single.or_else(|_| text.parse::<IpNet>());
            network.map_err(|_| NetworkError(text.to_owned()))
        };
        let entries = text.split(',').map(str::trim);
        let entries = entries.filter(|entry| !entry.is_empty());
        entries.map(parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, network) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "," };
            write!(f, "{separator}{network}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_no_networks_are_named() {
        for text in ["10.0.0.0/33", "localhost", "10.0.0", "::1/129", "1.2.3.4/"] {
            let error = format!("127.0.0.1,{text}").parse::<Networks>().unwrap_err();
            assert_eq!(error, NetworkError(text.to_owned()));
        }
        assert!("".parse::<Networks>().unwrap().is_empty());
        let all: Networks = "0.0.0.0/0,::/0".parse().unwrap();
        assert_eq!(all.to_string(), "0.0.0.0/0,::/0");
        assert!(all.contains("fe80::1".parse().unwrap()));
    }
}
