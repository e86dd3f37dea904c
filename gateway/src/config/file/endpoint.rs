//! One `ep` element: its attributes, with variables replaced, and the endpoint
//! that they define.

use std::{borrow::Cow, collections::HashMap};

use tce_runtime::config::{
    Address, DELIVERY_LIMIT, MqEndpoint, ProxyOptions, TlsConfig, is_zeromq, problem::quoted,
};

use super::xml::{Reporter, XmlAttribute, XmlElement};
use crate::config::{
    endpoint::{ANY_HOST, EndpointKind, HostPort, parse_host},
    value::{parse_flag, split},
};

/// The variables of a file: value and offset, by name.
#[derive(Debug, Default)]
pub(super) struct Variables<'a>(HashMap<&'a str, (&'a str, usize)>);

impl<'a> Variables<'a> {
    /// Adds the variables of a `VariantDef`.
    pub(super) fn read(&mut self, section: XmlElement<'a>, reporter: &mut Reporter<'_, '_>) {
        for element in section.children(&["var"], reporter) {
            element.warn_unknown_attributes(&["name", "value"], reporter);
            let Some(name) = element.require("name", "mq-host", reporter) else {
                continue;
            };
            // An empty value is valid: an empty `host` means all addresses.
            let value = element.attribute("value").map_or("", |value| value.text);
            if let Some((_, first)) = self.0.get(name.text) {
                let (name_text, line) = (quoted(name.text), reporter.line(*first));
                reporter.error(
                    name.at,
                    format!("variable {name_text} is defined twice; first on line {line}"),
                );
                continue;
            }
            self.0.insert(name.text, (value, element.at()));
        }
    }

    /// The text of an attribute with its variables replaced. Braces that can't
    /// enclose a variable's name, such as those of an address's options, stay.
    /// Returns `None` after reporting an undefined variable.
    pub(super) fn expand(
        &self,
        attribute: XmlAttribute<'a>,
        reporter: &mut Reporter<'_, '_>,
    ) -> Option<Cow<'a, str>> {
        if !attribute.text.contains('{') {
            return Some(attribute.text.into());
        }
        let mut expanded = String::with_capacity(attribute.text.len());
        let mut rest = attribute.text;
        let mut is_complete = true;
        while let Some((before, behind)) = rest.split_once('{') {
            expanded.push_str(before);
            rest = behind;
            let inner = behind
                .find(['{', '}'])
                .filter(|end| behind[*end..].starts_with('}'));
            let Some(name) = inner.map(|end| &behind[..end]).filter(|name| is_name(name)) else {
                expanded.push('{');
                continue;
            };
            match self.0.get(name.trim()) {
                Some((value, _)) => expanded.push_str(value),
                None => {
                    self.report_unknown(name.trim(), attribute.at, reporter);
                    is_complete = false;
                }
            }
            rest = &behind[name.len() + 1..];
        }
        expanded.push_str(rest);
        is_complete.then(|| expanded.into())
    }

    fn report_unknown(&self, name: &str, at: usize, reporter: &mut Reporter<'_, '_>) {
        let mut hint = reporter.suggest(name, self.0.keys().copied());
        if hint.is_empty() {
            hint = "; define it in VariantDef".to_owned();
        }
        let name = quoted(name);
        reporter.error(at, format!("variable {name} is not defined{hint}"));
    }
}

/// Distinguishes the name of a variable from the options of an address.
fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains([':', ',', ';', '"', '\''])
}

const KNOWN: [&str; 19] = [
    "name",
    "type",
    "address",
    "host",
    "port",
    "keyfile",
    "certfile",
    "cafile",
    "compress",
    "path",
    "user",
    "password",
    "vhost",
    "batch",
    "prefetch",
    "delivery_limit",
    "tls",
    "proxy_protocol",
    "forwarded_for",
];

/// The kind of endpoint that a `type` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Socket,
    WebSocket,
    Mq,
}

const TYPES: [(&str, Family); 5] = [
    ("socket", Family::Socket),
    ("websocket", Family::WebSocket),
    ("qpid", Family::Mq),
    ("mq", Family::Mq),
    ("amqp", Family::Mq),
];

/// The non-empty attributes of an `ep`, with variables replaced.
#[derive(Debug)]
pub(super) struct EndpointAttributes<'a> {
    at: usize,
    /// `None` for an attribute with a reported mistake.
    fields: Vec<(&'static str, Option<AttributeText<'a>>)>,
}

#[derive(Debug)]
pub(super) struct AttributeText<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) at: usize,
}

impl<'a> EndpointAttributes<'a> {
    pub(super) fn read(
        element: XmlElement<'a>,
        variables: &Variables<'a>,
        reporter: &mut Reporter<'_, '_>,
    ) -> Self {
        element.warn_unknown_attributes(&KNOWN, reporter);
        let mut fields = Vec::new();
        for name in KNOWN {
            let Some(attribute) = element.attribute(name) else {
                continue;
            };
            let at = attribute.at;
            match variables.expand(attribute, reporter) {
                Some(text) if text.trim().is_empty() => {}
                text => fields.push((name, text.map(|text| AttributeText { text, at }))),
            }
        }
        Self {
            at: element.at(),
            fields,
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&AttributeText<'a>> {
        let mut fields = self.fields.iter();
        let (_, field) = fields.find(|(known, _)| *known == name)?;
        field.as_ref()
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(|field| field.text.trim())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| *known == name)
    }

    /// The attribute as `parse` reads it; reports an error that names `expected`
    /// if it can't.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        expected: &str,
        reporter: &mut Reporter<'_, '_>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let field = self.get(name)?;
        let value = parse(field.text.trim());
        if value.is_none() {
            let text = quoted(&field.text);
            reporter.error(
                field.at,
                format!("`{name}` can't be {text}; write {expected}"),
            );
        }
        value
    }

    /// Reports an error if the attribute is missing.
    pub(super) fn require(&self, name: &str, example: &str, reporter: &mut Reporter<'_, '_>) {
        if !self.has(name) {
            let endpoint = self.text("name").map(quoted).unwrap_or_default();
            let message =
                format!("endpoint {endpoint} has no `{name}`; write {name}=\"{example}\"");
            reporter.error(self.at, message);
        }
    }

    /// The name, without the separators of the lists that contain names.
    pub(super) fn name(&self, reporter: &mut Reporter<'_, '_>) -> Option<String> {
        if !self.has("name") {
            let message = "`ep` has no `name`; write name=\"socket_gateway\"";
            reporter.error(self.at, message);
        }
        let expected = "a name without commas, `#` and spaces";
        self.parsed("name", expected, reporter, |name| {
            let stray = |c: char| matches!(c, ',' | '#') || c.is_whitespace();
            (!name.contains(stray)).then(|| name.to_owned())
        })
    }

    pub(super) fn family(&self, reporter: &mut Reporter<'_, '_>) -> Option<Family> {
        self.require("type", "socket", reporter);
        let field = self.get("type")?;
        let text = field.text.trim();
        let mut types = TYPES.iter();
        let found = types.find(|(name, _)| name.eq_ignore_ascii_case(text));
        if found.is_none() {
            let mut hint = match is_zeromq(text) {
                true => ": ZeroMQ is not supported; write qpid, and use a broker such as RabbitMQ"
                    .to_owned(),
                false => reporter.suggest(text, TYPES.map(|(name, _)| name)),
            };
            if hint.is_empty() {
                hint = "; write socket, websocket or qpid".to_owned();
            }
            let text = quoted(text);
            reporter.error(field.at, format!("`type` can't be {text}{hint}"));
        }
        found.map(|(_, family)| *family)
    }

    /// Warns that the attribute has no effect, if it is set.
    pub(super) fn warn_ignored(&self, name: &str, context: &str, reporter: &mut Reporter<'_, '_>) {
        if let Some(field) = self.get(name) {
            reporter.warn(field.at, format!("`{name}` is ignored {context}"));
        }
    }

    pub(super) fn flag(&self, name: &str, reporter: &mut Reporter<'_, '_>) -> bool {
        let flag = self.parsed(name, "1 or 0", reporter, parse_flag);
        flag.unwrap_or(false)
    }
}

/// The attributes that only an endpoint at a broker has.
const OF_MQ: [&str; 7] = [
    "address",
    "user",
    "password",
    "vhost",
    "batch",
    "prefetch",
    "delivery_limit",
];

impl EndpointAttributes<'_> {
    /// The endpoint that the attributes define; reports mistakes.
    pub(super) fn kind(
        &self,
        family: Family,
        name: &str,
        reporter: &mut Reporter<'_, '_>,
    ) -> Option<EndpointKind> {
        if family == Family::Mq {
            return self.queue(name, reporter).map(EndpointKind::Mq);
        }
        for name in OF_MQ {
            self.warn_ignored(name, "at a socket", reporter);
        }
        let hosts = self.hosts(reporter);
        let tls = self.tls(reporter);
        let compress = self.flag("compress", reporter);
        let proxy = self.proxy(family, reporter);
        if family == Family::Socket {
            self.warn_ignored("path", "at a plain socket", reporter);
            return Some(EndpointKind::Socket {
                hosts: hosts?,
                tls: tls?,
                compress,
                proxy: proxy?,
            });
        }
        if compress {
            self.warn_ignored(
                "compress",
                "over WebSocket: browsers can't decompress it",
                reporter,
            );
        }
        let path = self.path(reporter);
        Some(EndpointKind::WebSocket {
            hosts: hosts?,
            tls: tls?,
            path: path?,
            proxy: proxy?,
        })
    }

    /// What is before a listener; `None` after reporting a mistake.
    fn proxy(&self, family: Family, reporter: &mut Reporter<'_, '_>) -> Option<ProxyOptions> {
        let protocol = self.flag("proxy_protocol", reporter);
        if family == Family::Socket {
            let context = "at a plain socket, which has no HTTP header; use `proxy_protocol`";
            self.warn_ignored("forwarded_for", context, reporter);
        }
        if family == Family::Socket || !self.has("forwarded_for") {
            return Some(ProxyOptions {
                protocol,
                ..ProxyOptions::default()
            });
        }
        let expected = "addresses and networks, for example 10.0.0.0/8,::1";
        let networks = self.parsed("forwarded_for", expected, reporter, |text| {
            text.parse().ok()
        });
        Some(ProxyOptions {
            protocol,
            forwarded_for: networks?,
        })
    }

    /// The hosts, each with its own port or the endpoint's.
    fn hosts(&self, reporter: &mut Reporter<'_, '_>) -> Option<Vec<HostPort>> {
        let expected = "a number from 0 to 65535";
        let port = self.parsed("port", expected, reporter, |text| text.parse().ok());
        let text = self.text("host").unwrap_or(ANY_HOST);
        let expected = "a host name or an address, for example localhost, or several, for example a:12001,[2001:db8::5]:12001";
        let mut lacks_port = false;
        let hosts: Vec<_> = split(text)
            .map(|text| {
                let host = parse_host_and_port(text)?;
                lacks_port |= host.1.is_none();
                let port = host.1.or(port).unwrap_or_default();
                Some(HostPort { host: host.0, port })
            })
            .collect();
        if lacks_port {
            self.require("port", "12001", reporter);
        }
        let hosts = hosts.into_iter().collect::<Option<Vec<_>>>();
        let hosts = hosts.filter(|hosts| !hosts.is_empty());
        if self.has("host") {
            self.parsed("host", expected, reporter, |_| hosts.as_ref());
        }
        hosts.filter(|_| port.is_some() || !lacks_port)
    }

    /// The certificates, if the endpoint uses TLS; `None` after reporting a
    /// mistake.
    fn tls(&self, reporter: &mut Reporter<'_, '_>) -> Option<Option<TlsConfig>> {
        let path = |name| self.text(name).map(Into::into);
        let tls = TlsConfig {
            certificate: path("certfile"),
            key: path("keyfile"),
            authority: path("cafile"),
        };
        let halves = [("certfile", "keyfile"), ("keyfile", "certfile")];
        for (there, missing) in halves {
            if let Some(field) = self.get(there).filter(|_| !self.has(missing)) {
                reporter.error(
                    field.at,
                    format!(
                        "`{there}` needs `{missing}`; write {missing}=\"…\", or leave both empty"
                    ),
                );
                return None;
            }
        }
        let is_tls = self.flag("tls", reporter) || tls != TlsConfig::default();
        Some(is_tls.then_some(tls))
    }

    fn path(&self, reporter: &mut Reporter<'_, '_>) -> Option<String> {
        if !self.has("path") {
            return Some(String::new());
        }
        let expected = "a path that begins with /, for example /chat";
        self.parsed("path", expected, reporter, |path| {
            let is_valid = path.starts_with('/') && !path.contains(['?', '#', ' ']);
            is_valid.then(|| path.to_owned())
        })
    }

    fn queue(&self, name: &str, reporter: &mut Reporter<'_, '_>) -> Option<MqEndpoint> {
        for name in ["compress", "path", "proxy_protocol", "forwarded_for"] {
            self.warn_ignored(name, "at a broker", reporter);
        }
        let options = "{create:always,node:{type:queue,durable:true}}";
        for (field, example) in [
            ("host", "localhost"),
            ("port", "5672"),
            ("address", &format!("{name};{options}")),
        ] {
            self.require(field, example, reporter);
        }
        let expected = "one host name or address, for example localhost";
        let host = self.parsed("host", expected, reporter, parse_host);
        let port = self.positive("port", reporter);
        let address = self.address(reporter);
        let batch = self.flag("batch", reporter);
        let prefetch = self.prefetch(reporter);
        let delivery_limit = self.delivery_limit(reporter);
        let tls = self.broker_tls(reporter);
        let text = |name, default: &str| self.text(name).unwrap_or(default).to_owned();
        Some(MqEndpoint {
            name: name.to_owned(),
            user: text("user", "guest"),
            password: text("password", "guest"),
            vhost: text("vhost", "/"),
            batch,
            prefetch: prefetch?,
            is_prefetch_fixed: self.has("prefetch"),
            delivery_limit: delivery_limit?,
            exclusive: false,
            tls,
            reads: false,
            writes: false,
            host: host?,
            port: port?,
            address: address?,
        })
    }

    fn positive(&self, name: &str, reporter: &mut Reporter<'_, '_>) -> Option<u16> {
        let expected = "a number from 1 to 65535";
        self.parsed(name, expected, reporter, |text| {
            text.parse().ok().filter(|number| *number > 0)
        })
    }

    fn prefetch(&self, reporter: &mut Reporter<'_, '_>) -> Option<u16> {
        if self.has("prefetch") {
            self.positive("prefetch", reporter)
        } else {
            Some(64)
        }
    }

    fn delivery_limit(&self, reporter: &mut Reporter<'_, '_>) -> Option<u16> {
        if self.has("delivery_limit") {
            let expected = "a number from 1 to 65535, or 0 for no limit";
            self.parsed("delivery_limit", expected, reporter, |text| {
                text.parse().ok()
            })
        } else {
            Some(DELIVERY_LIMIT)
        }
    }

    /// Certificates imply TLS, though the gateway sends none to a broker.
    fn broker_tls(&self, reporter: &mut Reporter<'_, '_>) -> bool {
        let files = ["certfile", "keyfile", "cafile"];
        for name in files {
            self.warn_ignored(
                name,
                "at a broker, except that it implies tls=\"1\": the gateway sends no certificate",
                reporter,
            );
        }
        self.flag("tls", reporter) || files.into_iter().any(|name| self.has(name))
    }

    fn address(&self, reporter: &mut Reporter<'_, '_>) -> Option<Address> {
        let field = self.get("address")?;
        match Address::read(&field.text) {
            Ok((address, ignored)) => {
                for option in ignored {
                    let option = quoted(&option);
                    reporter.warn(
                        field.at,
                        format!("option {option} of the address is ignored"),
                    );
                }
                Some(address)
            }
            Err(error) => {
                reporter.error(field.at, error.to_string());
                None
            }
        }
    }
}

/// Parses a host with or without a port.
fn parse_host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(host) = parse_host(text) {
        return Some((host, None));
    }
    let HostPort { host, port } = HostPort::parse(text)?;
    Some((host, Some(port)))
}
