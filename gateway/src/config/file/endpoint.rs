//! The attributes of an `ep`.

use std::borrow::Cow;

use tce_runtime::config::problem::quoted;

use super::{
    variables::Variables,
    xml::{Element, Sink},
};
use crate::config::value::read_flag;

const KNOWN: [&str; 16] = [
    "name", "type", "address", "host", "port", "keyfile", "certfile", "cafile", "compress", "path",
    "user", "password", "vhost", "batch", "prefetch", "tls",
];

/// What kind of endpoint a `type` names.
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

/// The attributes of an `ep` that are not empty, with their variables put in.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    at: usize,
    /// No text where it is wrong, which is reported.
    fields: Vec<(&'static str, Option<Field<'a>>)>,
}

#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) at: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn read(
        element: Element<'a>,
        variables: &Variables<'a>,
        sink: &mut Sink<'_, '_>,
    ) -> Self {
        element.know_attributes(&KNOWN, sink);
        let mut fields = Vec::new();
        for name in KNOWN {
            let Some(attribute) = element.attribute(name) else {
                continue;
            };
            let at = attribute.at;
            match variables.expand(attribute, sink) {
                Some(text) if text.trim().is_empty() => {}
                text => fields.push((name, text.map(|text| Field { text, at }))),
            }
        }
        Self {
            at: element.at(),
            fields,
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Field<'a>> {
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

    /// The value that `read` finds in the attribute; where it finds none,
    /// `right` tells what would be.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        right: &str,
        sink: &mut Sink<'_, '_>,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let field = self.get(name)?;
        let value = read(field.text.trim());
        if value.is_none() {
            let text = quoted(&field.text);
            sink.error(field.at, format!("`{name}` can't be {text}; write {right}"));
        }
        value
    }

    /// Reports that the attribute is not there.
    pub(super) fn demand(&self, name: &str, example: &str, sink: &mut Sink<'_, '_>) {
        if !self.has(name) {
            let endpoint = self.text("name").map(quoted).unwrap_or_default();
            let message =
                format!("endpoint {endpoint} has no `{name}`; write {name}=\"{example}\"");
            sink.error(self.at, message);
        }
    }

    /// The name; it stands in lists, whose borders it can't have.
    pub(super) fn name(&self, sink: &mut Sink<'_, '_>) -> Option<String> {
        if !self.has("name") {
            let message = "`ep` has no `name`; write name=\"socket_gateway\"";
            sink.error(self.at, message);
        }
        let right = "a name without commas, `#` and spaces";
        self.parsed("name", right, sink, |name| {
            let stray = |c: char| matches!(c, ',' | '#') || c.is_whitespace();
            (!name.contains(stray)).then(|| name.to_owned())
        })
    }

    pub(super) fn family(&self, sink: &mut Sink<'_, '_>) -> Option<Family> {
        self.demand("type", "socket", sink);
        let field = self.get("type")?;
        let text = field.text.trim();
        let mut types = TYPES.iter();
        let found = types.find(|(name, _)| name.eq_ignore_ascii_case(text));
        if found.is_none() {
            let mut right = sink.suggest(text, TYPES.map(|(name, _)| name));
            if right.is_empty() {
                right = "; write socket, websocket or qpid".to_owned();
            }
            let text = quoted(text);
            sink.error(field.at, format!("`type` can't be {text}{right}"));
        }
        found.map(|(_, family)| *family)
    }

    /// Warns of the attribute, where it is there.
    pub(super) fn pass_over(&self, name: &str, here: &str, sink: &mut Sink<'_, '_>) {
        if let Some(field) = self.get(name) {
            sink.warn(field.at, format!("`{name}` means nothing {here}"));
        }
    }

    pub(super) fn flag(&self, name: &str, sink: &mut Sink<'_, '_>) -> bool {
        let flag = self.parsed(name, "1 or 0", sink, read_flag);
        flag.unwrap_or(false)
    }
}
