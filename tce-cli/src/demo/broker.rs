//! The broker of the demo: in memory, or a RabbitMQ at an address in its URI format
//! (<https://www.rabbitmq.com/docs/uri-spec>).

use std::{borrow::Cow, fmt, str::FromStr};

use percent_encoding::percent_decode_str;
use tce_gateway::Gateway;
use tce_runtime::{
    Communicator, MemoryBroker, RpcError,
    config::{
        MqConfig, MqEndpoint,
        host::{join_host_port, parse_host},
    },
};
use url::Url;

/// Prefix of the demo's queues at a real broker, which may have other queues of the same names.
const PREFIX: &str = "tce_demo.";

/// Defaults of RabbitMQ.
const PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;
const GUEST: &str = "guest";
const VHOST: &str = "/";

/// `amqp://user:password@host:port/vhost`; only the host is required.
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
    /// Makes an endpoint use this broker.
    fn apply(&self, endpoint: &mut MqEndpoint) {
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
        let wrong =
            |reason: &str| format!("{reason}; expected amqp://user:password@localhost:5672/vhost");
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let is_tls = match url.scheme() {
            "amqp" => false,
            "amqps" => true,
            other => {
                return Err(wrong(&format!(
                    "the scheme is `{other}`, not amqp or amqps"
                )));
            }
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("the host is missing"))?;
        let decoded = |text: &str, default: &str| match text {
            "" => Ok(default.to_owned()),
            _ => percent_decode_str(text)
                .decode_utf8()
                .map(Cow::into_owned)
                .map_err(|_| wrong("a part of it is not UTF-8")),
        };
        Ok(Self {
            is_tls,
            host: parse_host(host)
                .map_err(|error| wrong(&error.to_string()))?
                .to_owned(),
            port: url.port().unwrap_or(if is_tls { TLS_PORT } else { PORT }),
            user: decoded(url.username(), GUEST)?,
            password: decoded(url.password().unwrap_or_default(), GUEST)?,
            // By the specification `amqp://host/` names the virtual host "", which RabbitMQ does not
            // have by default.
            vhost: decoded(url.path().trim_start_matches('/'), VHOST)?,
        })
    }
}

impl fmt::Display for AmqpUrl {
    /// The address without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "amqps" } else { "amqp" };
        write!(f, "{scheme}://{}", join_host_port(&self.host, self.port))
    }
}

/// The broker that has the queues.
pub(super) enum DemoBroker {
    Memory(MemoryBroker),
    Amqp(AmqpUrl),
}

impl DemoBroker {
    /// The broker at an address, or one in memory.
    pub(super) fn new(amqp: Option<&AmqpUrl>) -> Self {
        amqp.cloned()
            .map_or_else(|| Self::Memory(MemoryBroker::new()), Self::Amqp)
    }

    /// Makes an endpoint of a configuration file use this broker.
    pub(super) fn apply(&self, endpoint: &mut MqEndpoint) {
        let Self::Amqp(url) = self else {
            return;
        };
        url.apply(endpoint);
        endpoint.address.name.insert_str(0, PREFIX);
    }

    /// Opens the endpoints of a program.
    pub(super) async fn open(&self, config: MqConfig) -> Result<Communicator, RpcError> {
        let communicator = Communicator::new();
        match self {
            Self::Memory(broker) => communicator.open_mq_in_memory(config, broker).await?,
            Self::Amqp(_) => communicator.open_mq(config).await?,
        }
        Ok(communicator)
    }

    /// Makes a gateway use this broker.
    pub(super) fn serve(&self, gateway: Gateway) -> Gateway {
        match self {
            Self::Memory(broker) => gateway.in_memory(broker),
            Self::Amqp(_) => gateway,
        }
    }
}

impl fmt::Display for DemoBroker {
    /// The address without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("in memory"),
            Self::Amqp(url) => write!(f, "{url}, queues {PREFIX}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> AmqpUrl {
        text.parse().unwrap()
    }

    #[test]
    fn missing_parts_have_the_defaults_of_rabbitmq() {
        let url = parsed("amqp://localhost");
        assert_eq!(url, parsed("amqp://guest:guest@localhost:5672/%2f"));
        assert_eq!(url, parsed("amqp://localhost/"));
        assert_eq!(parsed("amqps://localhost").port, 5671);
    }

    #[test]
    fn all_parts_are_read() {
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
        assert_eq!(parsed("amqp://[::1]").to_string(), "amqp://[::1]:5672");
        assert_eq!([user, password, vhost], ["a@b", "c/d", "e f"]);
    }

    #[test]
    fn a_wrong_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("localhost:5672", "not amqp or amqps"),
            ("http://localhost", "not amqp or amqps"),
            ("amqp:///vhost", "host"),
            ("amqp://localhost:70000", "port"),
            ("amqp://localhost/%ff", "UTF-8"),
            ("amqp://010.0.0.1", "`010.0.0.1` is not an IPv4 address"),
            ("", "URL"),
        ] {
            let error = text.parse::<AmqpUrl>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
