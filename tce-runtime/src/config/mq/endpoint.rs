//! The values of one endpoint.

use std::fmt;

use super::{
    address::Address,
    yaml::{YamlMap, YamlNode, YamlValue},
};
use crate::config::{
    host,
    problem::{ProblemReport, quoted},
};

/// The keys of an endpoint in `common_defs.endpoints`; a process may override
/// them.
pub(super) const KEYS: [&str; 12] = [
    "name",
    "host",
    "port",
    "address",
    "type",
    "user",
    "password",
    "vhost",
    "batch",
    "prefetch",
    "delivery_limit",
    "tls",
];

/// Prefix of the names of the reply queues that a program makes for itself.
pub(crate) const REPLY_QUEUE_PREFIX: &str = "tce.reply.";

/// The default of [`MqEndpoint::delivery_limit`].
pub const DELIVERY_LIMIT: u16 = 10;

/// A queue or topic at a broker, as a process uses it (`spec/gateway.md`).
#[derive(Clone, PartialEq, Eq)]
pub struct MqEndpoint {
    /// The name, as in `mq:<name>` and `__mq_return__`.
    pub name: String,
    /// The broker's host name or IP address, IPv6 without brackets.
    pub host: String,
    /// The broker's port, usually 5672, or 5671 with TLS. Never 0.
    pub port: u16,
    /// The queue or topic.
    pub address: Address,
    /// The user at the broker. Default: `guest`.
    pub user: String,
    /// The user's password. Default: `guest`.
    pub password: String,
    /// The virtual host. Default: `/`.
    pub vhost: String,
    /// Whether several messages are sent in one MQ message (`spec/wire.md`,
    /// section 1), which TCE's own implementations can't read. Default: false.
    pub batch: bool,
    /// The most messages that the broker sends without acknowledgement.
    /// Default: 64, enough to hide the round trip to the broker, and few enough
    /// that the consumers of a queue share its load. Never 0, which means
    /// "without limit" in AMQP.
    pub prefetch: u16,
    /// Whether the configuration gives `prefetch`, which is a firm limit then. The
    /// default is extended while servants hold all of it, up to
    /// [`served_calls`](super::super::ConnectionLimits::served_calls): otherwise 64 slow calls
    /// would delay every other call.
    pub is_prefetch_fixed: bool,
    /// How often a message of a queue is delivered before it goes to the queue
    /// `<name>.dead` instead: a message that ends the process that reads it would
    /// otherwise be delivered without end (`spec/gateway.md`). Default: 10; 0 for no
    /// limit.
    pub delivery_limit: u16,
    /// Whether no other program may read the queue, as for the RETURNs to one
    /// gateway. Opening it fails while another one does. Default: false.
    pub exclusive: bool,
    /// Whether the process receives messages from it (`AF_READ`).
    pub reads: bool,
    /// Whether the process sends messages to it (`AF_WRITE`).
    pub writes: bool,
    /// Whether the connection to the broker uses TLS. Default: false.
    pub tls: bool,
}

impl MqEndpoint {
    /// The broker for messages about its errors, with the endpoint that the
    /// configuration defines there. The name of a reply queue is random: it
    /// would tell the reader nothing.
    #[cfg(feature = "amqp")]
    pub(crate) fn broker(&self) -> String {
        let name = &self.name;
        let address = host::join_host_port(&self.host, self.port);
        match name.starts_with(REPLY_QUEUE_PREFIX) {
            true => format!("the broker at {address}"),
            false => format!("the broker at {address} (endpoint `{name}`)"),
        }
    }
}

impl fmt::Debug for MqEndpoint {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MqEndpoint")
            .field("name", &self.name)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("address", &self.address)
            .field("user", &self.user)
            .field("vhost", &self.vhost)
            .field("batch", &self.batch)
            .field("prefetch", &self.prefetch)
            .field("is_prefetch_fixed", &self.is_prefetch_fixed)
            .field("delivery_limit", &self.delivery_limit)
            .field("exclusive", &self.exclusive)
            .field("reads", &self.reads)
            .field("writes", &self.writes)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Whether the `type` of an endpoint is the message library without a broker, for
/// which `mq` would be the nearest known one.
#[doc(hidden)]
pub fn is_zeromq(type_name: &str) -> bool {
    let names = ["zmq", "0mq", "zeromq", "omq"];
    names
        .iter()
        .any(|name| name.eq_ignore_ascii_case(type_name))
}

/// The maps that define or override one endpoint; of a key in several of them
/// the first counts.
pub(super) struct EndpointFields<'a> {
    pub(super) name: &'a str,
    /// The line on which the endpoint is defined.
    pub(super) line: usize,
    pub(super) layers: Vec<&'a YamlMap>,
}

impl<'a> EndpointFields<'a> {
    /// The endpoint, neither read nor written yet; missing and wrong values are
    /// reported.
    pub(super) fn endpoint(&self, report: &mut ProblemReport) -> Option<MqEndpoint> {
        self.require("host", "localhost", report);
        self.require("port", "5672", report);
        let options = "{create:always,node:{type:queue,durable:true}}";
        self.require("address", &format!("{};{options}", self.name), report);
        self.values(report)
    }

    /// The endpoint if it is complete; wrong values are reported, missing ones
    /// are not, since a process may add them.
    pub(super) fn values(&self, report: &mut ProblemReport) -> Option<MqEndpoint> {
        self.check_type(report);
        let host = self.host(report);
        let port = self.positive("port", report);
        let address = self.address(report);
        let user = self.text("user", report).unwrap_or("guest").to_owned();
        let password = self.text("password", report).unwrap_or("guest").to_owned();
        let vhost = self.text("vhost", report).unwrap_or("/").to_owned();
        let batch = self.flag("batch", report);
        let prefetch = self.positive("prefetch", report);
        let delivery_limit = self.delivery_limit(report);
        let tls = self.flag("tls", report);
        Some(MqEndpoint {
            name: self.name.to_owned(),
            host: host?,
            port: port?,
            address: address?,
            user,
            password,
            vhost,
            batch,
            prefetch: prefetch.unwrap_or(64),
            is_prefetch_fixed: prefetch.is_some(),
            delivery_limit,
            exclusive: false,
            reads: false,
            writes: false,
            tls,
        })
    }

    fn get(&self, key: &str) -> Option<&'a YamlNode> {
        self.layers.iter().find_map(|map| map.get(key))
    }

    fn require(&self, key: &str, example: &str, report: &mut ProblemReport) {
        if self.get(key).is_none() {
            let name = quoted(self.name);
            report.error(
                self.line,
                format!("endpoint {name} has no `{key}`; write `{key}: {example}`"),
            );
        }
    }

    fn text(&self, key: &str, report: &mut ProblemReport) -> Option<&'a str> {
        self.get(key)?.text(key, report)
    }

    /// The value that `parse` makes of the text under `key`; where it makes none,
    /// the error names `allowed` values.
    fn parsed<T>(
        &self,
        key: &str,
        allowed: &str,
        report: &mut ProblemReport,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let node = self.get(key)?;
        let text = node.text(key, report)?;
        let value = parse(text);
        if value.is_none() {
            let text = quoted(text);
            report.error(
                node.line,
                format!("`{key}` can't be {text}; write {allowed}"),
            );
        }
        value
    }

    fn host(&self, report: &mut ProblemReport) -> Option<String> {
        let allowed = "a host name or an address, for example localhost, and the port in `port`";
        self.parsed("host", allowed, report, |text| {
            host::parse_host(text).ok().map(str::to_owned)
        })
    }

    /// Every type uses AMQP 0-9-1; the value makes no difference.
    fn check_type(&self, report: &mut ProblemReport) {
        let known = ["qpid", "mq", "amqp"];
        let node = self.get("type");
        let allowed = match node.map(|node| &node.value) {
            Some(YamlValue::Text(text)) if is_zeromq(text) => {
                "qpid, and use a broker such as RabbitMQ: ZeroMQ is not supported"
            }
            _ => "qpid, mq or amqp",
        };
        self.parsed("type", allowed, report, |text| {
            known.iter().find(|known| known.eq_ignore_ascii_case(text))
        });
    }

    fn positive(&self, key: &str, report: &mut ProblemReport) -> Option<u16> {
        let allowed = "a number from 1 to 65535";
        self.parsed(key, allowed, report, |text| {
            text.parse().ok().filter(|number| *number > 0)
        })
    }

    fn delivery_limit(&self, report: &mut ProblemReport) -> u16 {
        let allowed = "a number from 1 to 65535, or 0 for no limit";
        let limit = self.parsed("delivery_limit", allowed, report, |text| text.parse().ok());
        limit.unwrap_or(DELIVERY_LIMIT)
    }

    fn flag(&self, key: &str, report: &mut ProblemReport) -> bool {
        let flag = self.parsed(key, "1 or 0", report, |text| {
            match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Some(true),
                "0" | "false" | "no" | "off" => Some(false),
                _ => None,
            }
        });
        flag.unwrap_or(false)
    }

    fn address(&self, report: &mut ProblemReport) -> Option<Address> {
        let node = self.get("address")?;
        let text = node.text("address", report)?;
        match Address::read(text) {
            Ok((address, ignored)) => {
                for option in ignored {
                    let option = quoted(&option);
                    report.warn(
                        node.line,
                        format!("the address option {option} is not supported and ignored"),
                    );
                }
                Some(address)
            }
            Err(error) => {
                report.error(node.line, error.to_string());
                None
            }
        }
    }
}
