//! One endpoint's values.

use std::fmt;

use super::{
    Address,
    yaml::{Map, Node},
};
use crate::config::problem::{Report, quoted};

/// What `common_defs.endpoints` may say of an endpoint; a process may say it
/// again.
pub(super) const KEYS: [&str; 11] = [
    "name", "host", "port", "address", "type", "user", "password", "vhost", "batch", "prefetch",
    "tls",
];

/// A queue or topic at a broker, as a process uses it (`spec/gateway.md`).
#[derive(Clone, PartialEq, Eq)]
pub struct MqEndpoint {
    /// Its name: what `mq:<name>` and `__mq_return__` say.
    pub name: String,
    /// The broker's host name or address.
    pub host: String,
    /// The broker's port: 5672 as a rule, 5671 with TLS. Never 0.
    pub port: u16,
    /// The queue or topic.
    pub address: Address,
    /// The user at the broker: `guest` unless set.
    pub user: String,
    /// The user's password: `guest` unless set.
    pub password: String,
    /// The virtual host: `/` unless set.
    pub vhost: String,
    /// Whether several messages may go into one MQ message (`spec/wire.md`,
    /// section 1), which programs of old don't read. Not unless set.
    pub batch: bool,
    /// The messages that the broker sends ahead of their acknowledgement: 64
    /// unless set, enough to hide the way to the broker and few enough that
    /// consumers of one queue share its work. Never 0, which AMQP takes for
    /// "without limit".
    pub prefetch: u16,
    /// Whether the process takes messages from it (`AF_READ`).
    pub reads: bool,
    /// Whether the process sends messages to it (`AF_WRITE`).
    pub writes: bool,
    /// Whether the broker is spoken to under TLS. Not unless set.
    pub tls: bool,
}

impl fmt::Debug for MqEndpoint {
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
            .field("reads", &self.reads)
            .field("writes", &self.writes)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// The maps that speak of one endpoint: the first that has a key wins.
pub(super) struct Fields<'a> {
    pub(super) name: &'a str,
    /// Where the endpoint is defined.
    pub(super) line: usize,
    pub(super) layers: Vec<&'a Map>,
}

impl<'a> Fields<'a> {
    /// The endpoint, not yet open; what is missing or wrong is reported.
    pub(super) fn endpoint(&self, report: &mut Report) -> Option<MqEndpoint> {
        self.demand("host", "localhost", report);
        self.demand("port", "5672", report);
        let options = "{create:always,node:{type:queue,durable:true}}";
        self.demand("address", &format!("{};{options}", self.name), report);
        self.values(report)
    }

    /// The endpoint as far as it is there: what is wrong is reported, what is
    /// missing may be said elsewhere.
    pub(super) fn values(&self, report: &mut Report) -> Option<MqEndpoint> {
        self.check_type(report);
        let host = self.text("host", report);
        let port = self.positive("port", report);
        let address = self.address(report);
        let user = self.text("user", report).unwrap_or("guest").to_owned();
        let password = self.text("password", report).unwrap_or("guest").to_owned();
        let vhost = self.text("vhost", report).unwrap_or("/").to_owned();
        let batch = self.flag("batch", report);
        let prefetch = self.positive("prefetch", report).unwrap_or(64);
        let tls = self.flag("tls", report);
        Some(MqEndpoint {
            name: self.name.to_owned(),
            host: host?.to_owned(),
            port: port?,
            address: address?,
            user,
            password,
            vhost,
            batch,
            prefetch,
            reads: false,
            writes: false,
            tls,
        })
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.layers.iter().find_map(|map| map.get(key))
    }

    fn demand(&self, key: &str, example: &str, report: &mut Report) {
        if self.get(key).is_none() {
            let name = quoted(self.name);
            report.error(
                self.line,
                format!("endpoint {name} has no `{key}`; write `{key}: {example}`"),
            );
        }
    }

    fn text(&self, key: &str, report: &mut Report) -> Option<&'a str> {
        self.get(key)?.text(key, report)
    }

    /// The value that `read` finds in the text under `key`; where it finds
    /// none, `right` tells what would be.
    fn parsed<T>(
        &self,
        key: &str,
        right: &str,
        report: &mut Report,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let node = self.get(key)?;
        let text = node.text(key, report)?;
        let value = read(text);
        if value.is_none() {
            let text = quoted(text);
            report.error(node.line, format!("`{key}` can't be {text}; write {right}"));
        }
        value
    }

    /// All types are spoken as AMQP 0-9-1: which one it is makes no difference.
    fn check_type(&self, report: &mut Report) {
        let known = ["qpid", "mq", "amqp"];
        let right = "qpid, mq or amqp";
        self.parsed("type", right, report, |text| {
            known.iter().find(|known| known.eq_ignore_ascii_case(text))
        });
    }

    fn positive(&self, key: &str, report: &mut Report) -> Option<u16> {
        let right = "a number from 1 to 65535";
        self.parsed(key, right, report, |text| {
            text.parse().ok().filter(|number| *number > 0)
        })
    }

    fn flag(&self, key: &str, report: &mut Report) -> bool {
        let flag = self.parsed(key, "1 or 0", report, |text| {
            match text.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Some(true),
                "0" | "false" | "no" | "off" => Some(false),
                _ => None,
            }
        });
        flag.unwrap_or(false)
    }

    fn address(&self, report: &mut Report) -> Option<Address> {
        let node = self.get("address")?;
        let text = node.text("address", report)?;
        match Address::read(text) {
            Ok((address, ignored)) => {
                for option in ignored {
                    let option = quoted(&option);
                    report.warn(
                        node.line,
                        format!("{option} in an address means nothing here"),
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
