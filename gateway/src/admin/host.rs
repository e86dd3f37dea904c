//! The names by which requests may ask for us.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether a request was meant for the server that was told to listen on
/// `configured`, by what its `Host` says. Another site's name can be made to
/// lead here (DNS rebinding), and its page would then read ours; an address
/// can't.
pub(super) fn is_ours(host: &str, configured: &str) -> bool {
    let name = without_port(host);
    name.eq_ignore_ascii_case("localhost")
        || name.eq_ignore_ascii_case(configured)
        || is_address(name)
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
