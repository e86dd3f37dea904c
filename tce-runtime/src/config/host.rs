//! Hosts and ports in text form, as endpoints, options and configuration files
//! contain them.
//!
//! A text is refused where the system would read another address than the writer
//! means: `::1` with a port and without brackets, or `010.0.0.1`, which the
//! resolver reads as octal.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Why a text is not a host, or not a host with a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// There is nothing before the port.
    #[error("it has no host")]
    NoHost,
    /// The host is not followed by `:` and a number.
    #[error("it has no port")]
    NoPort,
    /// What follows the last `:` is not a port.
    #[error("`{0}` is not a port (0 to 65535)")]
    Port(String),
    /// An IPv6 address without brackets stands where a port is expected; the text
    /// is the address as it has to be written.
    #[error("an IPv6 address needs brackets: {0}")]
    NeedsBrackets(String),
    /// The end of an IPv6 address without brackets can be meant as a port.
    #[error("`{0}` may be an address with a port: write [{0}], or the port elsewhere")]
    Ambiguous(String),
    /// Brackets, or several colons, without an IPv6 address.
    #[error("`{0}` is not an IPv6 address")]
    Ipv6(String),
    /// The text ends in a number, as only an address does.
    #[error("`{0}` is not an IPv4 address (four numbers, without leading zeros)")]
    Ipv4(String),
    /// The text has a character that neither a name nor an address may have.
    #[error("`{0}` is not a host name")]
    Name(String),
}

/// Parses a host name or an address; an IPv6 address may be in brackets, and is
/// returned without them.
///
/// ```
/// use tce_runtime::config::host::parse_host;
///
/// assert_eq!(parse_host("[2001:db8::5]"), Ok("2001:db8::5"));
/// assert_eq!(parse_host("2001:db8::5"), Ok("2001:db8::5"));
/// assert!(parse_host("010.0.0.1").is_err());
/// ```
///
/// # Errors
/// The text is neither.
pub fn parse_host(text: &str) -> Result<&str, HostError> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').filter(|inner| is_ipv6(inner));
        return inner.ok_or_else(|| HostError::Ipv6(text.to_owned()));
    }
    let last_label = text.trim_end_matches('.').rsplit('.').next();
    let is_stray = |c: char| c.is_whitespace() || c.is_control() || "/\\{}[],;:#?@%\"'".contains(c);
    if text.is_empty() {
        Err(HostError::NoHost)
    } else if is_ipv6(text) {
        match ends_like_port(text) {
            true => Err(HostError::Ambiguous(text.to_owned())),
            false => Ok(text),
        }
    } else if text.matches(':').count() > 1 {
        Err(HostError::Ipv6(text.to_owned()))
    } else if text.contains(is_stray) {
        Err(HostError::Name(text.to_owned()))
    } else if last_label.is_some_and(is_number) && text.parse::<Ipv4Addr>().is_err() {
        Err(HostError::Ipv4(text.to_owned()))
    } else {
        Ok(text)
    }
}

/// Parses `host:port`, where an IPv6 address needs brackets: `[::1]:12002`.
///
/// # Errors
/// The text has another form.
pub fn split_host_port(text: &str) -> Result<(&str, u16), HostError> {
    let is_bracketed = text.starts_with('[');
    let split = match is_bracketed {
        true => text.find(']').map(|end| text.split_at(end + 1)),
        false => text.rfind(':').map(|colon| text.split_at(colon)),
    };
    let (host, rest) = split.ok_or(HostError::NoPort)?;
    let port = rest.strip_prefix(':').ok_or(HostError::NoPort)?;
    if !is_bracketed && host.contains(':') {
        // With a port after it or without: `2001:db8::5:8080` can be read both ways.
        let address = match (is_ipv6(host), parse_port(port)) {
            (true, Ok(port)) => join_host_port(host, port),
            _ if is_ipv6(text) => format!("[{text}]:12002"),
            _ => return Err(HostError::Ipv6(host.to_owned())),
        };
        return Err(HostError::NeedsBrackets(address));
    }
    Ok((parse_host(host)?, parse_port(port)?))
}

/// `host:port`, with an IPv6 address in brackets: the opposite of
/// [`split_host_port`].
pub fn join_host_port(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// The host without the zone of an IPv6 address: a zone names an interface of this
/// machine, so peers and certificates do not have it.
pub(crate) fn without_zone(host: &str) -> &str {
    match host.split_once('%') {
        Some((address, _)) => address,
        None => host,
    }
}

/// Accepts digits alone; the parser of `u16` takes a `+` too.
fn parse_port(text: &str) -> Result<u16, HostError> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|_| is_digits);
    port.ok_or_else(|| HostError::Port(text.to_owned()))
}

/// Whether the text is an IPv6 address, with a zone or without: `fe80::1%eth0`.
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    let is_zone = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let has_zone = !zone.is_empty() && zone.chars().all(is_zone);
    has_zone && address.parse::<Ipv6Addr>().is_ok()
}

/// Whether the last group of an IPv6 address looks like a port that follows a
/// complete address: `::1:8080`.
fn ends_like_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(before, last)| {
        is_ipv6(before) && last.len() == 4 && parse_port(last).is_ok_and(|port| port >= 1024)
    })
}

/// Whether the resolver reads a last label as a part of an IPv4 address:
/// decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    let is_hexadecimal = label.starts_with("0x") || label.starts_with("0X");
    is_hexadecimal || (!label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for host in [
            "localhost",
            "example.org.",
            "under_score-1.example",
            "127.0.0.1",
            "10.example",
            "::1",
            "2001:db8::5",
            "fe80::1%eth0",
            "::ffff:10.0.0.1",
            "::1:80",
            "1:2:3:4:5:6:7:8080",
        ] {
            assert_eq!(parse_host(host), Ok(host));
        }
        assert_eq!(parse_host("[::1]"), Ok("::1"));
        assert_eq!(parse_host("[::1:8080]"), Ok("::1:8080"));
        let ambiguous = HostError::Ambiguous("::1:8080".to_owned());
        assert_eq!(parse_host("::1:8080"), Err(ambiguous));
        for text in [
            "",
            "[",
            "[]",
            "[localhost]",
            "[::1",
            "::1]",
            "[::1]x",
            "[[::1]]",
            "1.2.3",
            "127.1",
            "010.0.0.1",
            "256.0.0.1",
            "1.2.3.4.",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            ":::",
            "a:1",
            "a:b:c",
            "a b",
            "a/b",
            "user@host",
            "host%eth0",
            "::1%",
            "{host}",
            "a,b",
        ] {
            assert!(parse_host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_follows_the_host() {
        for (text, parsed) in [
            ("localhost:0", ("localhost", 0)),
            ("10.0.0.1:65535", ("10.0.0.1", 65535)),
            ("[::1]:80", ("::1", 80)),
            ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
        ] {
            assert_eq!(split_host_port(text), Ok(parsed));
            assert_eq!(join_host_port(parsed.0, parsed.1), text);
        }
        for (text, reason) in [
            ("localhost", "it has no port"),
            ("[::1]", "it has no port"),
            ("[::1]80", "it has no port"),
            (":80", "it has no host"),
            ("a:", "`` is not a port"),
            ("a:+80", "`+80` is not a port"),
            ("a:65536", "`65536` is not a port"),
            (
                "user:word@host:80",
                "`user:word@host` is not an IPv6 address",
            ),
        ] {
            let error = split_host_port(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn an_ipv6_address_without_brackets_is_shown_with_them() {
        for (text, right) in [
            ("2001:db8::5", "[2001:db8::5]:12002"),
            ("::1", "[::1]:12002"),
            ("::1:12001", "[::1]:12001"),
            ("2001:db8::5:8080", "[2001:db8::5]:8080"),
            ("1:2:3:4:5:6:7:8:80", "[1:2:3:4:5:6:7:8]:80"),
        ] {
            let error = split_host_port(text);
            assert_eq!(error, Err(HostError::NeedsBrackets(right.to_owned())));
        }
    }
}
