//! Statements to nodes.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::attribute::Attributes;
use crate::tree::{Definition, Kind, MAX_DEPTH, MAX_NODES, NodeDefinition, is_name};

use super::attributes::{self, AttributeParser};
use super::diagnostic::{Code, Diagnostic, MAX_REPORTED, Severity};
use super::lexer::{Lexer, Word};
use super::references;
use super::statement::unknown_keyword;

/// The longest text, in bytes.
pub const MAX_TEXT: usize = 4 * 1024 * 1024;

/// What a text defines, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// The nodes; those that are broken are missing.
    pub definition: Definition,
    /// Errors and warnings in the order of the text, up to [`MAX_REPORTED`].
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether the definition can't be loaded.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        let mut severities = self.diagnostics.iter().map(|found| found.code.severity());
        severities.any(|severity| severity == Severity::Error)
    }
}

/// Parses a definition of up to [`MAX_TEXT`] bytes.
#[must_use]
pub fn parse(text: &str) -> Parsed {
    if text.len() > MAX_TEXT {
        let message = format!("the text has more than {MAX_TEXT} bytes");
        return Parsed {
            diagnostics: vec![Diagnostic::new(Code::TextTooLong, 0..0, message)],
            ..Parsed::default()
        };
    }
    let mut parser = Parser::default();
    let mut lexer = Lexer::new(text);
    while let Some(words) = lexer.statement(&mut parser.diagnostics) {
        parser.statement(&words);
        if parser.diagnostics.len() > MAX_REPORTED {
            break;
        }
    }
    parser.finish(text.len())
}

/// Parses one attribute of a node, such as `event 1 ready`, into the attributes of a node.
///
/// # Errors
///
/// The first diagnostic.
pub fn parse_attribute(text: &str, kind: Kind, node: &mut Attributes) -> Result<(), Diagnostic> {
    let mut diagnostics = Vec::new();
    let words = Lexer::new(text).statement(&mut diagnostics);
    let words = words.unwrap_or_default();
    if diagnostics.is_empty() {
        let mut names = attributes::names(node);
        let mut parser = AttributeParser {
            words: &words,
            kind,
            attributes: node,
            names: &mut names,
            expressions: &mut Vec::new(),
            diagnostics: &mut diagnostics,
        };
        if !parser.parse() {
            let message = "this is not the name of an attribute";
            return Err(Diagnostic::new(
                Code::UnknownKeyword,
                0..text.len(),
                message,
            ));
        }
    }
    diagnostics.into_iter().next().map_or(Ok(()), Err)
}

/// A node that has not ended.
struct Open {
    node: NodeDefinition,
    /// Where its first statement is.
    span: Range<usize>,
    /// The names of its children.
    children: BTreeSet<Box<str>>,
    /// The names of its attributes, by keyword.
    names: BTreeSet<(&'static str, Box<str>)>,
    expressions: Vec<references::Reference>,
}

#[derive(Default)]
struct Parser {
    open: Vec<Open>,
    /// How many families are open beyond [`MAX_DEPTH`]; their content is skipped.
    skipped: usize,
    suites: BTreeSet<Box<str>>,
    nodes: usize,
    definition: Definition,
    references: Vec<(String, references::Reference)>,
    diagnostics: Vec<Diagnostic>,
}

impl Parser {
    fn statement(&mut self, words: &[Word<'_>]) {
        let Some(keyword) = words.first() else {
            return;
        };
        match keyword.text {
            "suite" => self.begin(words, Kind::Suite),
            "family" => self.begin(words, Kind::Family),
            "task" => self.begin(words, Kind::Task),
            "endsuite" => self.end(keyword, Kind::Suite),
            "endfamily" => self.end(keyword, Kind::Family),
            "endtask" => self.end(keyword, Kind::Task),
            "extern" => match words {
                [_, name] => self.definition.externs.push(name.text.into()),
                [_] => self.report(Code::MissingWord, keyword, "`extern` needs a path"),
                [_, _, extra, ..] => self.report(Code::ExtraWord, extra, "this word is too many"),
                [] => {}
            },
            // The first line of `get_state` and of ecFlow's own snapshots.
            "defs_state" => {}
            _ if self.skipped > 0 => {}
            _ => self.attribute(words, keyword),
        }
    }

    fn begin(&mut self, words: &[Word<'_>], kind: Kind) {
        let word = kind.word();
        self.close_task();
        if kind == Kind::Family && self.open.len() + self.skipped >= MAX_DEPTH - 1 {
            if self.skipped == 0 {
                let message = format!("nodes are nested deeper than {MAX_DEPTH} levels");
                self.report(Code::TooDeep, &words[0], &message);
            }
            self.skipped += 1;
            return;
        }
        if self.skipped > 0 {
            return;
        }
        let is_misplaced = (kind == Kind::Suite) != self.open.is_empty();
        if is_misplaced {
            let message = match kind {
                Kind::Suite => "a suite begins inside of another one".to_owned(),
                _ => format!("a {word} is outside of a suite"),
            };
            self.report(Code::Misplaced, &words[0], &message);
            while kind == Kind::Suite && !self.open.is_empty() {
                self.close();
            }
        }
        let name = self.node_name(words, word);
        self.nodes += 1;
        if self.nodes == MAX_NODES + 1 {
            let message = format!("there are more than {MAX_NODES} nodes");
            self.report(Code::TooManyNodes, &words[0], &message);
        }
        // A node outside of a suite is parsed for the sake of its diagnostics, and dropped.
        self.open.push(Open {
            node: NodeDefinition {
                name,
                kind,
                attributes: Attributes::default(),
                children: Vec::new(),
            },
            span: words[0].span.start..words[words.len() - 1].span.end,
            children: BTreeSet::new(),
            names: BTreeSet::new(),
            expressions: Vec::new(),
        });
    }

    /// The name of a new node; a substitute, where there is none.
    fn node_name(&mut self, words: &[Word<'_>], word: &str) -> Box<str> {
        let Some(name) = words.get(1) else {
            self.report(
                Code::MissingWord,
                &words[0],
                &format!("the {word} has no name"),
            );
            return format!("_{}", self.nodes).into();
        };
        if let Some(extra) = words.get(2) {
            let message = format!("a {word} has a name and nothing else");
            self.report(Code::ExtraWord, extra, &message);
        }
        if !is_name(name.text) {
            let message = format!("`{}` can't be the name of a {word}", name.text);
            self.diagnostics.push(
                Diagnostic::new(Code::BadName, name.span.clone(), message)
                    .help("a name has letters, digits, `_` and, not first, `.`"),
            );
        }
        let siblings = match self.open.last_mut() {
            Some(parent) => &mut parent.children,
            None => &mut self.suites,
        };
        if !siblings.insert(name.text.into()) {
            let message = format!("there is another node `{}` beside this one", name.text);
            self.report(Code::DuplicateName, name, &message);
        }
        name.text.into()
    }

    fn end(&mut self, keyword: &Word<'_>, kind: Kind) {
        if kind != Kind::Task {
            self.close_task();
        }
        if kind == Kind::Family && self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        let is_open = self.open.iter().any(|open| open.node.kind == kind);
        let is_last = self.open.last().is_some_and(|open| open.node.kind == kind);
        if !is_open || (!is_last && kind != Kind::Suite) {
            let message = format!("there is no open {} here", kind.word());
            self.report(Code::UnexpectedEnd, keyword, &message);
            return;
        }
        while let Some(open) = self.open.last() {
            let found = open.node.kind;
            if found == kind {
                self.close();
                return;
            }
            let message = format!(
                "the {} `{}` does not end before its suite",
                found.word(),
                open.node.name
            );
            let diagnostic = Diagnostic::new(Code::UnexpectedEnd, keyword.span.clone(), message);
            self.diagnostics
                .push(diagnostic.help(format!("add `end{}` before", found.word())));
            self.close();
        }
    }

    fn attribute(&mut self, words: &[Word<'_>], keyword: &Word<'_>) {
        let mut nothing = Attributes::default();
        let (mut names, mut expressions) = (BTreeSet::new(), Vec::new());
        let mut parser = match self.open.last_mut() {
            Some(open) => AttributeParser {
                words,
                kind: open.node.kind,
                attributes: &mut open.node.attributes,
                names: &mut open.names,
                expressions: &mut open.expressions,
                diagnostics: &mut self.diagnostics,
            },
            None => AttributeParser {
                words,
                kind: Kind::Server,
                attributes: &mut nothing,
                names: &mut names,
                expressions: &mut expressions,
                diagnostics: &mut self.diagnostics,
            },
        };
        if !parser.parse() {
            let diagnostic = unknown_keyword(keyword);
            self.diagnostics.push(diagnostic);
        }
    }

    fn close_task(&mut self) {
        if self
            .open
            .last()
            .is_some_and(|open| open.node.kind == Kind::Task)
        {
            self.close();
        }
    }

    /// Moves the last open node into its parent.
    fn close(&mut self) {
        let names: String = self
            .open
            .iter()
            .flat_map(|open| ["/", &open.node.name])
            .collect();
        let Some(open) = self.open.pop() else {
            return;
        };
        if open.node.attributes.repeat.is_some()
            && open
                .node
                .attributes
                .schedule()
                .is_some_and(|all| !all.crons.is_empty())
        {
            let message = format!("`{}` has a repeat and a cron", open.node.name);
            self.diagnostics.push(
                Diagnostic::new(Code::RepeatAndCron, open.span.clone(), message)
                    .help("put the repeat on a family around it"),
            );
        }
        let references = open.expressions.into_iter();
        self.references
            .extend(references.map(|reference| (names.clone(), reference)));
        match self.open.last_mut() {
            Some(parent) => parent.node.children.push(open.node),
            None if open.node.kind == Kind::Suite => self.definition.suites.push(open.node),
            None => {}
        }
    }

    fn finish(mut self, end: usize) -> Parsed {
        self.close_task();
        while let Some(open) = self.open.last() {
            let word = open.node.kind.word();
            let message = format!("the {word} `{}` does not end", open.node.name);
            let span = open.span.clone();
            self.diagnostics.push(
                Diagnostic::new(Code::MissingEnd, span, message)
                    .help(format!("add `end{word}` at the end of the text")),
            );
            self.close();
        }
        let mut parsed = Parsed {
            definition: self.definition,
            diagnostics: self.diagnostics,
        };
        // Nodes that are broken are missing: what names them is not wrong for that.
        if !parsed.has_errors() {
            let found = references::check(&parsed.definition, &self.references);
            parsed.diagnostics.extend(found);
        }
        parsed
            .diagnostics
            .sort_by_key(|found| (found.span.start.min(end), found.span.end));
        parsed.diagnostics.truncate(MAX_REPORTED);
        parsed
    }

    fn report(&mut self, code: Code, word: &Word<'_>, message: &str) {
        self.diagnostics
            .push(Diagnostic::new(code, word.span.clone(), message));
    }
}
