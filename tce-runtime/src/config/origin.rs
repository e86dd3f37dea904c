//! Origins: the sites of pages, as browsers send them in `Origin` (RFC 6454).

use url::Url;

/// A site, so that two texts that mean the same site are equal: in letter case,
/// default port, a dot or slash at the end, and non-ASCII letters or Punycode.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebOrigin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl WebOrigin {
    /// Parses `https://chat.example.org:8443`. Returns `None` for a text that no
    /// browser sends: with a path, a user, or the scheme of a WebSocket.
    pub fn parse(text: &str) -> Option<Self> {
        // The parser repairs what it can: `https:/host`, spaces, backslashes.
        let (scheme, rest) = text.split_once("://")?;
        let host_and_port = rest.strip_suffix('/').unwrap_or(rest);
        let is_stray = |c: char| c.is_whitespace() || c.is_control() || "/\\?#@*".contains(c);
        let is_websocket = ["ws", "wss"]
            .iter()
            .any(|ws| ws.eq_ignore_ascii_case(scheme));
        if host_and_port.contains(is_stray) || is_websocket {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let host = url.host_str()?;
        Some(Self {
            scheme: url.scheme().to_owned(),
            host: host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
            port: url.port_or_known_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_mean_the_same_site_are_equal() {
        for (one, other) in [
            ("https://chat.example.org", "https://chat.example.org:443"),
            ("http://chat.example.org:80/", "http://chat.example.org"),
            ("HTTPS://Chat.Example.ORG.", "https://chat.example.org"),
            ("https://münchen.example", "https://xn--mnchen-3ya.example"),
            ("https://MÜNCHEN.example", "https://xn--mnchen-3ya.example"),
            ("http://[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080"),
            ("capacitor://LocalHost", "capacitor://localhost"),
        ] {
            let [one_site, other_site] = [one, other].map(WebOrigin::parse);
            assert!(one_site.is_some(), "{one}");
            assert_eq!(one_site, other_site, "{one} and {other}");
        }
    }

    #[test]
    fn other_sites_differ() {
        let site = WebOrigin::parse("https://chat.example.org");
        for other in [
            "http://chat.example.org",
            "https://chat.example.org:8443",
            "https://chat.example.org.evil.example",
            "https://chat.example.org:80",
            "https://example.org",
        ] {
            assert_ne!(WebOrigin::parse(other), site, "{other}");
            assert!(WebOrigin::parse(other).is_some(), "{other}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_no_origin() {
        for text in [
            "",
            "null",
            "chat.example.org",
            "https://",
            "https:///",
            "https:/chat.example.org",
            "https://chat.example.org/path",
            "https://chat.example.org//",
            "https://chat.example.org?",
            "https://user@chat.example.org",
            "https://chat.example.org:443:443",
            "https://chat.example.org:port",
            "https://*.example.org",
            "https://chat .example.org",
            "wss://chat.example.org",
            "WS://chat.example.org",
        ] {
            assert_eq!(WebOrigin::parse(text), None, "{text}");
        }
    }
}
