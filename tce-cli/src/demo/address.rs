//! The address of a broker, as RabbitMQ writes it
//! (`https://www.rabbitmq.com/docs/uri-spec`).

use std::{fmt, str::FromStr};

use percent_encoding::percent_decode_str;
use tce_runtime::config::MqEndpoint;
use url::Url;

const PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;
/// Who a broker knows, and where, unless told otherwise.
const GUEST: &str = "guest";
const VHOST: &str = "/";

/// `amqp://user:password@host:port/vhost`, of which the host alone must be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AmqpUrl {
    is_tls: bool,
    host: String,
    port: u16,
    user: String,
    password: String,
    vhost: String,
}

impl AmqpUrl {
    /// Has an endpoint lead there.
    pub(super) fn place(&self, endpoint: &mut MqEndpoint) {
        endpoint.host.clone_from(&self.host);
        endpoint.port = self.port;
        endpoint.user.clone_from(&self.user);
        endpoint.password.clone_from(&self.password);
        endpoint.vhost.clone_from(&self.vhost);
        endpoint.tls = self.is_tls;
    }
}

impl FromStr for AmqpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |reason: &str| {
            format!("{reason}; write it like amqp://user:password@localhost:5672/vhost")
        };
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let is_tls = match url.scheme() {
            "amqp" => false,
            "amqps" => true,
            other => return Err(wrong(&format!("`{other}` is not the scheme of a broker"))),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("it names no host"))?;
        let decoded = |text: &str, otherwise: &str| match text {
            "" => Ok(otherwise.to_owned()),
            _ => percent_decode_str(text)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| wrong("it is not UTF-8")),
        };
        Ok(Self {
            is_tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(if is_tls { TLS_PORT } else { PORT }),
            user: decoded(url.username(), GUEST)?,
            password: decoded(url.password().unwrap_or_default(), GUEST)?,
            // `amqp://host/` asks for the virtual host without a name, and
            // nobody who writes it means that.
            vhost: decoded(url.path().trim_start_matches('/'), VHOST)?,
        })
    }
}

impl fmt::Display for AmqpUrl {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "amqps" } else { "amqp" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> AmqpUrl {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_not_said_is_what_a_new_broker_has() {
        let url = parsed("amqp://localhost");
        assert_eq!(url, parsed("amqp://guest:guest@localhost:5672/%2f"));
        assert_eq!(url, parsed("amqp://localhost/"));
        assert_eq!(parsed("amqps://localhost").port, 5671);
    }

    #[test]
    fn all_of_it_can_be_said() {
        let url = parsed("amqps://a%40b:c%2Fd@[::1]:1/e%20f");
        let AmqpUrl {
            is_tls,
            host,
            port,
            user,
            password,
            vhost,
        } = url;
        assert!(is_tls);
        assert_eq!((host.as_str(), port), ("::1", 1));
        assert_eq!([user, password, vhost], ["a@b", "c/d", "e f"]);
    }

    #[test]
    fn what_is_none_is_refused_with_its_reason() {
        for (text, reason) in [
            ("localhost:5672", "not the scheme of a broker"),
            ("http://localhost", "not the scheme of a broker"),
            ("amqp:///vhost", "no host"),
            ("amqp://localhost:70000", "port"),
            ("amqp://localhost/%ff", "UTF-8"),
            ("", "URL"),
        ] {
            let error = text.parse::<AmqpUrl>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
