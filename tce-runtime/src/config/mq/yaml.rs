//! YAML text into a tree that knows its lines.
//!
//! The tree is untyped on purpose: a typed reader stops at the first value that
//! does not fit, and a file's mistakes are to be told all at once.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{
    Error, Localizer, Location, MessageFormatter, Spanned, UserMessageFormatter, alias_limits,
    budget, from_str_with_options, options,
    options::{DuplicateKeyPolicy, NonFiniteFloatPolicy, Options},
};

use crate::config::problem::{Report, quoted};

/// A value and the line, from 1, where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

impl Node {
    /// The text that stands under `key`.
    pub(super) fn text(&self, key: &str, report: &mut Report) -> Option<&str> {
        if let Value::Text(text) = &self.value {
            return Some(text);
        }
        report.error(
            self.line,
            format!("`{key}` wants one value; text in braces or brackets goes in quotes"),
        );
        None
    }

    /// The map that stands under `key`.
    pub(super) fn map(&self, key: &str, report: &mut Report) -> Option<&Map> {
        if let Value::Map(map) = &self.value {
            return Some(map);
        }
        let key = quoted(key);
        report.error(self.line, format!("{key} wants a map, `key: value` lines"));
        None
    }

    /// The maps of the list that stands under `key`.
    pub(super) fn maps(&self, key: &str, example: &str, report: &mut Report) -> Vec<(usize, &Map)> {
        let Value::List(items) = &self.value else {
            report.error(
                self.line,
                format!("`{key}` wants a list of maps, each begun by `- {example}`"),
            );
            return Vec::new();
        };
        let mut maps = Vec::with_capacity(items.len());
        for item in items {
            if let Value::Map(map) = &item.value {
                maps.push((item.line, map));
            } else {
                report.error(
                    item.line,
                    format!("`{key}` holds maps: begin this one by `- {example}`"),
                );
            }
        }
        maps
    }
}

#[derive(Debug)]
pub(super) enum Value {
    Nothing,
    /// A scalar as it is written: `0123` and `yes` are a password's text, not a
    /// number and a truth.
    Text(String),
    List(Vec<Node>),
    Map(Map),
}

/// The entries of a mapping in their order.
#[derive(Debug)]
pub(super) struct Map(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    key: String,
    line: usize,
    node: Node,
}

impl Map {
    /// The value under `key`, unless there is none or it is empty.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let entry = self.0.iter().find(|entry| entry.key == key)?;
        (!matches!(entry.node.value, Value::Nothing)).then_some(&entry.node)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|entry| entry.key == key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|entry| (entry.key.as_str(), &entry.node))
    }

    /// The keys and where they stand.
    pub(super) fn keys(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|entry| (entry.key.as_str(), entry.line))
    }
}

/// The tree of `text`, or `None` where the mistake is reported.
pub(super) fn read(text: &str, report: &mut Report) -> Option<Node> {
    match from_str_with_options(text, limits()) {
        Ok(root) => Some(settle(root, text, report)),
        Err(error) => {
            refuse(&error, text, report);
            None
        }
    }
}

/// A hundred endpoints take two thousand nodes and six levels: what is past
/// these limits is no configuration, but an attack or another kind of file.
fn limits() -> Options {
    options! {
        budget: budget! {
            max_depth: 32,
            flow_nesting_limit: 32,
            max_events: 20_000,
            max_recorded_anchor_events: 20_000,
        },
        alias_limits: alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 16,
        },
        // Both are kept, so that the second can be reported with the rest.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    }
}

fn refuse(error: &Error, text: &str, report: &mut Report) {
    let line = error
        .location()
        .map(|location| line_of(&location))
        .filter(|line| *line > 0);
    let formatter = UserMessageFormatter.with_localizer(&WithoutPlace);
    let message = match error {
        Error::MultipleDocuments { .. } => {
            "a second YAML document begins; a file is one".to_owned()
        }
        _ => format!("this is no YAML: {}", formatter.format_message(error)),
    };
    let written = line.and_then(|line| text.lines().nth(line.checked_sub(1)?));
    let hint = written.map_or("", hint);
    report.error(line, format!("{message}{hint}"));
}

/// What is behind the two mistakes that people make most.
fn hint(written: &str) -> &'static str {
    let indented = written.len() - written.trim_start().len();
    if written[..indented].contains('\t') {
        "; indent with spaces, not with tabs"
    } else if written.contains("address:") {
        "; an address with spaces in it goes in quotes"
    } else {
        ""
    }
}

/// The line is already at the front of each message.
struct WithoutPlace;

impl Localizer for WithoutPlace {
    fn attach_location<'a>(&self, base: Cow<'a, str>, _: Location) -> Cow<'a, str> {
        base
    }
}

enum Raw {
    Nothing,
    Text(String),
    /// A plain scalar that reads as a number or a truth, with what it reads as.
    Bare(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn settle(raw: Spanned<Raw>, text: &str, report: &mut Report) -> Node {
    let value = match raw.value {
        Raw::Nothing => Value::Nothing,
        Raw::Text(value) => Value::Text(value),
        Raw::Bare(value) => Value::Text(spelling(&raw.defined, text).unwrap_or(value)),
        Raw::List(items) => Value::List(
            items
                .into_iter()
                .map(|item| settle(item, text, report))
                .collect(),
        ),
        Raw::Map(entries) => Value::Map(settle_map(entries, text, report)),
    };
    Node {
        line: line_of(&raw.defined),
        value,
    }
}

fn settle_map(
    entries: Vec<(Spanned<String>, Spanned<Raw>)>,
    text: &str,
    report: &mut Report,
) -> Map {
    let mut lines: HashMap<String, usize> = HashMap::new();
    let mut map = Vec::with_capacity(entries.len());
    for (key, raw) in entries {
        let line = line_of(&key.defined);
        let node = settle(raw, text, report);
        if let Some(first) = lines.get(&key.value) {
            let key = quoted(&key.value);
            report.error(line, format!("{key} is given twice; line {first} has it"));
            continue;
        }
        lines.insert(key.value.clone(), line);
        map.push(Entry {
            key: key.value,
            line,
            node,
        });
    }
    Map(map)
}

fn spelling(at: &Location, text: &str) -> Option<String> {
    let start = usize::try_from(at.span().byte_offset()?).ok()?;
    let length = usize::try_from(at.span().byte_len()?).ok()?;
    let spelling = text.get(start..start.checked_add(length)?)?;
    (!spelling.is_empty()).then(|| spelling.to_owned())
}

fn line_of(location: &Location) -> usize {
    usize::try_from(location.line()).unwrap_or(usize::MAX)
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bare(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Bare(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Bare(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Bare(value.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}
