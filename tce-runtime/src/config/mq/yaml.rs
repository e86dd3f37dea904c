//! YAML text into a tree whose values know their lines.
//!
//! The tree is built from the parser's events. Loaders into marked nodes or
//! typed values end at the first duplicate key or value of a wrong type, while
//! the problems of a file are reported all at once; and they do not merge maps
//! (`<<`).

use std::{collections::HashMap, rc::Rc};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput};

use crate::config::problem::{ProblemReport, quoted};

/// The most values in a file, those repeated by an alias included. A hundred
/// endpoints have two thousand.
const MAX_NODES: usize = 20_000;

/// A text counts as one value more for each time it has this many bytes, so
/// that aliases of long texts are limited, too.
const COUNTED_TEXT_SIZE: usize = 1024;

/// The deepest nesting of lists and maps; a `config.yml` has four levels.
const MAX_DEPTH: usize = 32;

/// A value and the line, from 1, on which it begins. A value that an alias
/// repeats has the line of its anchor.
#[derive(Debug)]
pub struct YamlNode {
    pub line: usize,
    pub value: YamlValue,
}

#[derive(Debug)]
pub enum YamlValue {
    Null,
    /// A scalar as it is written: an unquoted `0123` or `yes` is a password's
    /// text, not a number or a boolean.
    Text(String),
    List(Vec<Rc<YamlNode>>),
    Map(YamlMap),
}

/// The entries of a map in their order.
#[derive(Debug, Default)]
pub struct YamlMap(Vec<YamlEntry>);

#[derive(Debug, Clone)]
struct YamlEntry {
    key: Rc<YamlNode>,
    node: Rc<YamlNode>,
}

impl YamlNode {
    /// The text under `key`.
    pub fn text(&self, key: &str, report: &mut ProblemReport) -> Option<&str> {
        if let YamlValue::Text(text) = &self.value {
            return Some(text);
        }
        report.error(
            self.line,
            format!("`{key}` takes a single value; put text in braces or brackets in quotes"),
        );
        None
    }

    /// The map under `key`.
    pub fn map(&self, key: &str, report: &mut ProblemReport) -> Option<&YamlMap> {
        if let YamlValue::Map(map) = &self.value {
            return Some(map);
        }
        let key = quoted(key);
        report.error(
            self.line,
            format!("{key} takes a map: lines of `key: value`"),
        );
        None
    }

    /// The maps of the list under `key`, with their lines.
    pub fn maps(
        &self,
        key: &str,
        example: &str,
        report: &mut ProblemReport,
    ) -> Vec<(usize, &YamlMap)> {
        let YamlValue::List(items) = &self.value else {
            report.error(
                self.line,
                format!("`{key}` takes a list of maps, each of which begins with `- {example}`"),
            );
            return Vec::new();
        };
        let mut maps = Vec::with_capacity(items.len());
        for item in items {
            if let YamlValue::Map(map) = &item.value {
                maps.push((item.line, map));
            } else {
                report.error(
                    item.line,
                    format!("an item of `{key}` is a map; begin this one with `- {example}`"),
                );
            }
        }
        maps
    }
}

impl YamlMap {
    /// The value under `key`; `None` if it is absent or null.
    pub fn get(&self, key: &str) -> Option<&YamlNode> {
        let (_, node) = self.iter().find(|(name, _)| *name == key)?;
        (!matches!(node.value, YamlValue::Null)).then_some(node)
    }

    pub fn has(&self, key: &str) -> bool {
        self.iter().any(|(name, _)| name == key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &YamlNode)> {
        self.0
            .iter()
            .map(|entry| (entry.key(), entry.node.as_ref()))
    }

    /// The keys and their lines.
    pub fn keys(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|entry| (entry.key(), entry.key.line))
    }
}

impl YamlEntry {
    fn key(&self) -> &str {
        match &self.key.value {
            YamlValue::Text(text) => text,
            _ => "",
        }
    }
}

/// The tree of `text`; `None` where it is not YAML, which is reported.
pub fn read(text: &str, report: &mut ProblemReport) -> Option<Rc<YamlNode>> {
    let mut builder = TreeBuilder {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes_left: MAX_NODES,
        depth_left: MAX_DEPTH,
        report,
    };
    match builder.document() {
        Ok(root) => Some(root),
        Err(YamlError { line, message }) => {
            let written = text.lines().nth(line.saturating_sub(1));
            let hint = written.map_or("", hint);
            report.error(line, format!("{message}{hint}"));
            None
        }
    }
}

/// Advice against the two most frequent mistakes.
fn hint(line: &str) -> &'static str {
    let indentation = line.len() - line.trim_start().len();
    if line[..indentation].contains('\t') {
        "; indent with spaces, not with tabs"
    } else if line.contains("address:") {
        "; put an address with spaces in quotes"
    } else {
        ""
    }
}

/// What ends the reading of a file.
struct YamlError {
    line: usize,
    message: String,
}

impl YamlError {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            message: message.into(),
        }
    }
}

impl From<ScanError> for YamlError {
    fn from(error: ScanError) -> Self {
        let message = format!("this is not valid YAML: {}", error.info());
        Self::new(error.marker().line(), message)
    }
}

struct TreeBuilder<'t, 'r> {
    parser: Parser<'t, StrInput<'t>>,
    /// The values with an anchor, and the number of nodes in each.
    anchors: HashMap<usize, (Rc<YamlNode>, usize)>,
    /// Aliases share their values, so that they cost no memory. They count
    /// against this limit nevertheless, since each is read like a copy.
    nodes_left: usize,
    depth_left: usize,
    report: &'r mut ProblemReport,
}

impl<'t> TreeBuilder<'t, '_> {
    fn document(&mut self) -> Result<Rc<YamlNode>, YamlError> {
        let mut root = None;
        loop {
            let (event, line) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) if root.is_some() => {
                    let message = "a second YAML document begins; the file may have only one";
                    return Err(YamlError::new(line, message));
                }
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, line)?),
            }
        }
        Ok(root.unwrap_or_else(|| {
            Rc::new(YamlNode {
                line: 1,
                value: YamlValue::Null,
            })
        }))
    }

    fn next(&mut self) -> Result<(Event<'t>, usize), YamlError> {
        match self.parser.next_event() {
            Some(event) => event
                .map(|(event, span)| (event, span.start.line()))
                .map_err(YamlError::from),
            None => Ok((Event::StreamEnd, 1)),
        }
    }

    /// The value that begins with `event`.
    fn node(&mut self, event: Event<'t>, line: usize) -> Result<Rc<YamlNode>, YamlError> {
        let left_before = self.nodes_left;
        self.count(1, line)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                self.count(text.len() / COUNTED_TEXT_SIZE, line)?;
                let is_plain = style == ScalarStyle::Plain;
                let value = match &*text {
                    "" | "~" | "null" | "Null" | "NULL" if is_plain => YamlValue::Null,
                    _ => YamlValue::Text(text.into_owned()),
                };
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => (self.nested(line, Self::list)?, anchor),
            Event::MappingStart(anchor, _) => (self.nested(line, Self::map)?, anchor),
            Event::Alias(anchor) => {
                let Some((node, nodes)) = self.anchors.get(&anchor) else {
                    let message = "an alias stands within the value that it repeats";
                    return Err(YamlError::new(line, message));
                };
                let (node, nodes) = (Rc::clone(node), *nodes);
                self.count(nodes, line)?;
                return Ok(node);
            }
            _ => return Err(YamlError::new(line, "this is not valid YAML")),
        };
        let node = Rc::new(YamlNode { line, value });
        if anchor > 0 {
            let nodes = left_before - self.nodes_left;
            self.anchors.insert(anchor, (Rc::clone(&node), nodes));
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), YamlError> {
        let Some(left) = self.nodes_left.checked_sub(nodes) else {
            let message = format!("the file has more than {MAX_NODES} values, aliases expanded");
            return Err(YamlError::new(line, message));
        };
        self.nodes_left = left;
        Ok(())
    }

    fn nested(
        &mut self,
        line: usize,
        read: impl FnOnce(&mut Self) -> Result<YamlValue, YamlError>,
    ) -> Result<YamlValue, YamlError> {
        let Some(left) = self.depth_left.checked_sub(1) else {
            let message = format!("lists and maps nest deeper than {MAX_DEPTH} levels");
            return Err(YamlError::new(line, message));
        };
        self.depth_left = left;
        let value = read(self)?;
        self.depth_left += 1;
        Ok(value)
    }

    fn list(&mut self) -> Result<YamlValue, YamlError> {
        let mut items = Vec::new();
        loop {
            let (event, line) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok(YamlValue::List(items));
            }
            items.push(self.node(event, line)?);
        }
    }

    fn map(&mut self) -> Result<YamlValue, YamlError> {
        let mut entries = Vec::new();
        let mut merged = Vec::new();
        let mut lines = HashMap::new();
        loop {
            let (event, line) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let is_merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event, line)?;
            let (event, line) = self.next()?;
            let node = self.node(event, line)?;
            if is_merge {
                merged.push(node);
            } else if let YamlValue::Text(text) = &key.value {
                if let Some(first) = lines.get(text) {
                    let message = format!(
                        "{} is given twice; the first is on line {first}",
                        quoted(text)
                    );
                    self.report.error(key.line, message);
                    continue;
                }
                lines.insert(text.clone(), key.line);
                entries.push(YamlEntry { key, node });
            } else {
                let message = "a key is a text, not a list, a map or nothing";
                self.report.error(key.line, message);
            }
        }
        for node in &merged {
            merge(node, &mut entries, &mut lines, self.report);
        }
        Ok(YamlValue::Map(YamlMap(entries)))
    }
}

/// Adds the entries of a map, or of a list of maps, whose keys are not present
/// yet.
fn merge(
    node: &YamlNode,
    entries: &mut Vec<YamlEntry>,
    lines: &mut HashMap<String, usize>,
    report: &mut ProblemReport,
) {
    match &node.value {
        YamlValue::Map(map) => {
            for entry in &map.0 {
                if !lines.contains_key(entry.key()) {
                    lines.insert(entry.key().to_owned(), entry.key.line);
                    entries.push(entry.clone());
                }
            }
        }
        YamlValue::List(items) => {
            for item in items {
                merge(item, entries, lines, report);
            }
        }
        YamlValue::Null | YamlValue::Text(_) => {
            report.error(node.line, "`<<` takes a map or a list of maps");
        }
    }
}
