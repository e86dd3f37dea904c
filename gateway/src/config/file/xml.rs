//! XML text into elements that know their places.

use roxmltree::{Document, Node, ParsingOptions};
use tce_runtime::config::problem::{Location, ProblemReport, quoted};

/// A place further down its line is told without its column, which nobody
/// could count.
const LONGEST_LINE: usize = 10_000;

/// Where a byte of the text is, by line and column.
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

    pub(super) fn place(&self, at: usize) -> Location {
        let line = self.starts.partition_point(|start| *start <= at);
        let start = self.starts.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or_default();
        let counted = before.len() <= LONGEST_LINE;
        Location {
            line: Some(line),
            column: counted.then(|| before.chars().count() + 1),
        }
    }
}

/// Tells problems of a text by the byte where they are.
#[derive(Debug)]
pub(super) struct Sink<'r, 't> {
    pub(super) report: &'r mut ProblemReport,
    lines: Lines<'t>,
}

impl<'r, 't> Sink<'r, 't> {
    pub(super) fn new(report: &'r mut ProblemReport, text: &'t str) -> Self {
        Self {
            report,
            lines: Lines::new(text),
        }
    }

    pub(super) fn error(&mut self, at: usize, message: impl Into<String>) {
        let place = self.lines.place(at);
        self.report.error(place, message);
    }

    pub(super) fn warn(&mut self, at: usize, message: impl Into<String>) {
        let place = self.lines.place(at);
        self.report.warn(place, message);
    }

    pub(super) fn place(&self, at: usize) -> Location {
        self.lines.place(at)
    }

    /// The line, as a message mentions it.
    pub(super) fn line(&self, at: usize) -> usize {
        self.place(at).line.unwrap_or_default()
    }

    /// ``; did you mean `this`?``, or else nothing.
    pub(super) fn suggest<'a>(
        &self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> String {
        let suggestion = self.report.suggestion(name, candidates);
        suggestion.unwrap_or_default()
    }
}

/// More elements than a thousand endpoints and routes take: what has more is
/// no configuration.
const MOST_NODES: u32 = 50_000;

/// The tree of `text`, or `None` where the mistake is reported.
pub(super) fn parse<'t>(text: &'t str, sink: &mut Sink<'_, 't>) -> Option<Document<'t>> {
    let options = ParsingOptions {
        nodes_limit: MOST_NODES,
        ..ParsingOptions::default()
    };
    match Document::parse_with_options(text, options) {
        Ok(document) => Some(document),
        Err(error) => {
            refuse(&error, text, sink);
            None
        }
    }
}

fn refuse(error: &roxmltree::Error, text: &str, sink: &mut Sink<'_, '_>) {
    use roxmltree::Error;
    let position = error.pos();
    let mut place = Location::from((number(position.row), number(position.col)));
    let message = match error {
        Error::NoRootNode => {
            place = Location::default();
            "the file is empty; write <SNS> with InterfaceDef, VariantDef, EndPoints and servers \
             in it"
                .to_owned()
        }
        Error::UnexpectedCloseTag(expected, actual, _) => {
            let (expected, actual) = (quoted(expected), quoted(actual));
            format!("this closes {actual}, but {expected} is open; close {expected} before it")
        }
        Error::UnclosedRootNode | Error::UnexpectedEndOfStream => {
            place = sink.place(text.trim_end().len());
            "the file ends before its elements are closed".to_owned()
        }
        Error::DuplicatedAttribute(name, _) => format!("attribute {} is given twice", quoted(name)),
        Error::DtdDetected => {
            place = sink.place(text.find("<!DOCTYPE").unwrap_or(0));
            "a DOCTYPE is not read; leave it out".to_owned()
        }
        Error::NodesLimitReached => {
            place = Location::default();
            format!("the file has more than {MOST_NODES} elements")
        }
        other => {
            let told = other.to_string().replace(&format!(" at {position}"), "");
            format!("this is no XML: {told}")
        }
    };
    sink.report.error(place, message);
}

fn number(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// An element.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    node: Node<'a, 'a>,
}

/// An attribute that is not empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute<'a> {
    /// Without the spaces around it.
    pub(super) text: &'a str,
    /// Where the value begins.
    pub(super) at: usize,
}

impl<'a> Attribute<'a> {
    fn trim(self) -> Self {
        let start = self.text.trim_start();
        Self {
            text: start.trim_end(),
            at: self.at + (self.text.len() - start.len()),
        }
    }

    /// What stands between borders, without the spaces around it.
    pub(super) fn split(self, border: char) -> impl Iterator<Item = Self> {
        let mut at = self.at;
        self.text.split(border).map(move |text| {
            let part = Self { text, at };
            at += text.len() + border.len_utf8();
            part.trim()
        })
    }

    /// The names of a list with commas.
    pub(super) fn list(self) -> impl Iterator<Item = Self> {
        self.split(',').filter(|name| !name.text.is_empty())
    }
}

impl<'a> Element<'a> {
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

    /// The elements in it that are called one of `known`; of others there is a
    /// warning.
    pub(super) fn children(self, known: &[&str], sink: &mut Sink<'_, '_>) -> Vec<Self> {
        let mut children = Vec::new();
        for node in self.node.children().filter(Node::is_element) {
            let child = Self { node };
            if known.iter().any(|known| child.is(known)) {
                children.push(child);
            } else {
                let suggestion = sink.suggest(child.name(), known.iter().copied());
                let name = quoted(child.name());
                sink.warn(
                    child.at(),
                    format!("element {name} means nothing here{suggestion}"),
                );
            }
        }
        children
    }

    /// Warns of attributes that are none of `known`.
    pub(super) fn know_attributes(self, known: &[&str], sink: &mut Sink<'_, '_>) {
        for attribute in self.node.attributes() {
            let name = attribute.name();
            if !known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                let suggestion = sink.suggest(name, known.iter().copied());
                let name = quoted(name);
                sink.warn(
                    attribute.range().start,
                    format!("attribute {name} means nothing here{suggestion}"),
                );
            }
        }
    }

    /// The attribute of that name, unless it is empty.
    pub(super) fn attribute(self, name: &str) -> Option<Attribute<'a>> {
        let mut attributes = self.node.attributes();
        let attribute = attributes.find(|attribute| attribute.name().eq_ignore_ascii_case(name))?;
        let value = Attribute {
            text: attribute.value(),
            at: attribute.range_value().start,
        };
        Some(value.trim()).filter(|value| !value.text.is_empty())
    }

    /// The attribute of that name; that there is none is reported.
    pub(super) fn demand(
        self,
        name: &str,
        example: &str,
        sink: &mut Sink<'_, '_>,
    ) -> Option<Attribute<'a>> {
        let attribute = self.attribute(name);
        if attribute.is_none() {
            let element = quoted(self.name());
            sink.error(
                self.at(),
                format!("{element} has no `{name}`; write {name}=\"{example}\""),
            );
        }
        attribute
    }
}
