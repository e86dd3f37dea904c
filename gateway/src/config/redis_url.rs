//! The URL of a Redis server, whose password is never shown.

use std::fmt;

use redis::{Client, IntoConnectionInfo, ProtocolVersion, RedisError};

use super::{
    endpoint::ServiceEndpoint,
    value::{Find, PropertyValue},
};

/// The URL of a Redis server: `redis://user:password@host:6379/0`, `rediss://…` with
/// TLS, or `unix:///path`.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// A client, which connects when it is first used.
    pub(crate) fn client(&self) -> Result<Client, RedisError> {
        let info = self.0.as_str().into_connection_info()?;
        // Commands of other gateways arrive on the connection that also announces.
        let settings = info.redis_settings().clone();
        let settings = settings.set_protocol(ProtocolVersion::RESP3);
        Client::open(info.set_redis_settings(settings))
    }

    /// The URL without user and password.
    fn shown(&self) -> String {
        let url = self.0.split('?').next().unwrap_or_default();
        match url.split_once("://") {
            Some((scheme, rest)) => {
                let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
                format!("{scheme}://{host}")
            }
            None => String::new(),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl PropertyValue for Option<RedisUrl> {
    const EXPECTED: &'static str = "a URL, for example redis://localhost:6379, redis://:password@host:6379/0, rediss://host:6379 with TLS, or unix:///run/redis/redis.sock; its password is never shown";

    fn parse(text: &str, _: Find<'_>) -> Result<Self, String> {
        let url = RedisUrl(text.to_owned());
        match url.client() {
            Ok(_) => Ok(Some(url)),
            // The text may hold a password.
            Err(_) => Err(format!("is no URL of Redis; write {}", Self::EXPECTED)),
        }
    }

    fn show(&self, _: &[ServiceEndpoint]) -> String {
        self.as_ref().map(RedisUrl::shown).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<RedisUrl>, String> {
        PropertyValue::parse(text, &|_| Err(String::new()))
    }

    #[test]
    fn passwords_are_never_shown() {
        for (text, shown) in [
            ("redis://localhost:6379", "redis://localhost:6379"),
            ("redis://:s3cret@host:6379/2", "redis://host:6379/2"),
            ("redis://ann:s3cr%40t@host", "redis://host"),
            ("unix:///run/r.sock?pass=s3cret", "unix:///run/r.sock"),
        ] {
            let url = parse(text).unwrap();
            assert_eq!(url.show(&[]), shown);
            assert!(!format!("{url:?}").contains("s3c"), "{url:?}");
        }
        for text in [
            "s3cret",
            "http://ann:s3cret@host",
            "redis://:s3cret@host:port",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("s3c"), "{error}");
        }
    }
}
