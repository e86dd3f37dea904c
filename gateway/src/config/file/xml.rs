//! XML: elements and attributes with their locations in the text.

use roxmltree::{Document, Node, ParsingOptions};
use tce_runtime::config::problem::{Location, ProblemReport, quoted};

use crate::config::warnings::{WarningScope, WarningScopes};

/// Beyond this many bytes into a line, a location has no column: it would take a
/// scan of the line for each problem, and help no reader.
const MAX_COLUMN: usize = 10_000;

/// Converts byte offsets into lines and columns.
#[derive(Debug)]
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(breaks).collect(),
        }
    }

    pub(super) fn location(&self, at: usize) -> Location {
        let line = self.starts.partition_point(|start| *start <= at);
        let start = self.starts.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or_default();
        let counted = before.len() <= MAX_COLUMN;
        Location {
            line: Some(line),
            column: counted.then(|| before.chars().count() + 1),
        }
    }
}

/// Reports problems of a text, located by byte offset.
#[derive(Debug)]
pub(super) struct Reporter<'r, 't> {
    pub(super) report: &'r mut ProblemReport,
    pub(super) scopes: WarningScopes,
    lines: Lines<'t>,
}

impl<'r, 't> Reporter<'r, 't> {
    pub(super) fn new(report: &'r mut ProblemReport, text: &'t str) -> Self {
        Self {
            report,
            scopes: WarningScopes::default(),
            lines: Lines::new(text),
        }
    }

    /// Runs `read`, whose warnings concern only a part of the file.
    pub(super) fn scoped<T>(
        &mut self,
        scope: WarningScope,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = self.report.take_warnings();
        let result = read(self);
        let found = self.report.take_warnings();
        for warning in &found {
            self.scopes.add(warning, scope, before.contains(warning));
        }
        self.report.add_warnings(before);
        self.report.add_warnings(found);
        result
    }

    pub(super) fn error(&mut self, at: usize, message: impl Into<String>) {
        let location = self.lines.location(at);
        self.report.error(location, message);
    }

    pub(super) fn warn(&mut self, at: usize, message: impl Into<String>) {
        let location = self.lines.location(at);
        self.report.warn(location, message);
    }

    pub(super) fn location(&self, at: usize) -> Location {
        self.lines.location(at)
    }

    /// The line of an offset, for a message that refers to it.
    pub(super) fn line(&self, at: usize) -> usize {
        self.location(at).line.unwrap_or_default()
    }

    /// ``; did you mean `this`?``, or an empty text.
    pub(super) fn suggest<'a>(
        &self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> String {
        let suggestion = self.report.suggestion(name, candidates);
        suggestion.unwrap_or_default()
    }
}

/// Bounds the memory for a hostile file. A thousand endpoints and routes need
/// far fewer nodes.
const MAX_NODES: u32 = 50_000;

/// Parses `text`; returns `None` after reporting why it can't.
pub(super) fn parse<'t>(text: &'t str, reporter: &mut Reporter<'_, 't>) -> Option<Document<'t>> {
    let options = ParsingOptions {
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    match Document::parse_with_options(text, options) {
        Ok(document) => Some(document),
        Err(error) => {
            report_malformed(&error, text, reporter);
            None
        }
    }
}

fn report_malformed(error: &roxmltree::Error, text: &str, reporter: &mut Reporter<'_, '_>) {
    use roxmltree::Error;
    let position = error.pos();
    let mut location = Location::from((number(position.row), number(position.col)));
    let message = match error {
        Error::NoRootNode => {
            location = Location::default();
            "the file is empty; write <SNS> with InterfaceDef, VariantDef, EndPoints and servers \
             in it"
                .to_owned()
        }
        Error::UnexpectedCloseTag(expected, actual, _) => {
            let (expected, actual) = (quoted(expected), quoted(actual));
            format!("this closes {actual}, but {expected} is open; close {expected} before it")
        }
        Error::UnclosedRootNode | Error::UnexpectedEndOfStream => {
            location = reporter.location(text.trim_end().len());
            "the file ends before its elements are closed".to_owned()
        }
        Error::DuplicatedAttribute(name, _) => format!("attribute {} is given twice", quoted(name)),
        Error::DtdDetected => {
            location = reporter.location(text.find("<!DOCTYPE").unwrap_or(0));
            "DOCTYPE is not supported; remove it".to_owned()
        }
        Error::NodesLimitReached => {
            location = Location::default();
            format!("the file has more than {MAX_NODES} elements")
        }
        other => {
            let text = other.to_string().replace(&format!(" at {position}"), "");
            format!("not well-formed XML: {text}")
        }
    };
    reporter.report.error(location, message);
}

fn number(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// An element.
#[derive(Debug, Clone, Copy)]
pub(super) struct XmlElement<'a> {
    node: Node<'a, 'a>,
}

/// An attribute with a non-empty value.
#[derive(Debug, Clone, Copy)]
pub(super) struct XmlAttribute<'a> {
    /// The value, trimmed.
    pub(super) text: &'a str,
    /// The offset of the value.
    pub(super) at: usize,
}

impl<'a> XmlAttribute<'a> {
    fn trim(self) -> Self {
        let start = self.text.trim_start();
        Self {
            text: start.trim_end(),
            at: self.at + (self.text.len() - start.len()),
        }
    }

    /// Splits the value at a separator; each part is trimmed.
    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut at = self.at;
        self.text.split(separator).map(move |text| {
            let part = Self { text, at };
            at += text.len() + separator.len_utf8();
            part.trim()
        })
    }

    /// The items of a comma-separated list.
    pub(super) fn list(self) -> impl Iterator<Item = Self> {
        self.split(',').filter(|name| !name.text.is_empty())
    }
}

impl<'a> XmlElement<'a> {
    pub(super) fn root(document: &'a Document<'_>) -> Self {
        Self {
            node: document.root_element(),
        }
    }

    pub(super) fn at(self) -> usize {
        self.node.range().start
    }

    pub(super) fn is(self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name)
    }

    pub(super) fn name(self) -> &'a str {
        self.node.tag_name().name()
    }

    /// The child elements with a name of `known`; warns about others.
    pub(super) fn children(self, known: &[&str], reporter: &mut Reporter<'_, '_>) -> Vec<Self> {
        let mut children = Vec::new();
        for node in self.node.children().filter(Node::is_element) {
            let child = Self { node };
            if known.iter().any(|known| child.is(known)) {
                children.push(child);
            } else {
                let suggestion = reporter.suggest(child.name(), known.iter().copied());
                let name = quoted(child.name());
                reporter.warn(child.at(), format!("unknown element {name}{suggestion}"));
            }
        }
        children
    }

    /// Warns about attributes with a name other than `known`.
    pub(super) fn warn_unknown_attributes(self, known: &[&str], reporter: &mut Reporter<'_, '_>) {
        for attribute in self.node.attributes() {
            let name = attribute.name();
            if !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                let suggestion = reporter.suggest(name, known.iter().copied());
                let name = quoted(name);
                reporter.warn(
                    attribute.range().start,
                    format!("unknown attribute {name}{suggestion}"),
                );
            }
        }
    }

    /// Whether there is an attribute of that name, empty or not.
    pub(super) fn has_attribute(self, name: &str) -> bool {
        let mut attributes = self.node.attributes();
        attributes.any(|attribute| attribute.name().eq_ignore_ascii_case(name))
    }

    /// The attribute of that name, if it is not empty.
    pub(super) fn attribute(self, name: &str) -> Option<XmlAttribute<'a>> {
        let mut attributes = self.node.attributes();
        let attribute = attributes.find(|attribute| attribute.name().eq_ignore_ascii_case(name))?;
        let value = XmlAttribute {
            text: attribute.value(),
            at: attribute.range_value().start,
        };
        Some(value.trim()).filter(|value| !value.text.is_empty())
    }

    /// The attribute of that name; reports an error if there is none.
    pub(super) fn require(
        self,
        name: &str,
        example: &str,
        reporter: &mut Reporter<'_, '_>,
    ) -> Option<XmlAttribute<'a>> {
        let attribute = self.attribute(name);
        if attribute.is_none() {
            let element = quoted(self.name());
            reporter.error(
                self.at(),
                format!("{element} has no `{name}`; write {name}=\"{example}\""),
            );
        }
        attribute
    }
}
