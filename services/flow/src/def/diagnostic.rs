//! Errors and warnings about a definition.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// The most errors and warnings that one run reports.
pub const MAX_REPORTED: usize = 100;

/// Longer lines are cut to the part around the problem.
const MAX_CONTEXT_BYTES: usize = 2000;

/// Whether a definition can be loaded nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It can't be loaded.
    Error,
    /// It can, but may not mean what its author intends.
    Warning,
}

/// Defines [`Code`] from the table, so that every code has a name and a meaning.
macro_rules! codes {
    ($($variant:ident = $id:literal $severity:ident $name:literal: $meaning:literal;)*) => {
        /// A rule that a definition breaks. The meaning of a code never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its number, as `FLOW0101`.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)* }
            }

            /// Its name, as `unknown-keyword`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Its meaning, in one sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// Whether it is an error or a warning.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    TextTooLong = "FLOW0001" Error "text-too-long": "The text is longer than 4 MiB.";
    TooManyNodes = "FLOW0002" Error "too-many-nodes": "There are more than 1,000,000 nodes.";
    TooDeep = "FLOW0003" Error "too-deep": "Nodes are nested deeper than 100 levels.";
    UnknownKeyword = "FLOW0101" Error "unknown-keyword": "A statement begins with an unknown word.";
    NotSupported = "FLOW0102" Error "not-supported": "A statement of ecFlow that this server does not have.";
    MissingWord = "FLOW0103" Error "missing-word": "A statement lacks a word.";
    ExtraWord = "FLOW0104" Error "extra-word": "A statement has a word too many.";
    UnclosedQuote = "FLOW0105" Error "unclosed-quote": "A quoted value does not end on its line.";
    UnexpectedEnd = "FLOW0106" Error "unexpected-end": "A node ends that is not open.";
    MissingEnd = "FLOW0107" Warning "missing-end": "A node is still open at the end of the text.";
    Misplaced = "FLOW0108" Error "misplaced": "A statement is not permitted where it is.";
    BadName = "FLOW0201" Error "bad-name": "A name has characters that names can't have.";
    DuplicateName = "FLOW0202" Error "duplicate-name": "A name is used twice.";
    Repeated = "FLOW0203" Error "repeated": "An attribute that a node has once is given twice.";
    BadNumber = "FLOW0301" Error "bad-number": "A number is malformed or out of its range.";
    BadTime = "FLOW0302" Error "bad-time": "A time is not of the form hh:mm.";
    BadDate = "FLOW0303" Error "bad-date": "A date is malformed, or there is no such day.";
    BadWord = "FLOW0304" Error "bad-word": "A word is none of those that are possible there.";
    BadExpression = "FLOW0401" Error "bad-expression": "An expression can't be understood.";
    UnknownNode = "FLOW0402" Error "unknown-node": "An expression names a node that is not defined.";
    UnknownAttribute = "FLOW0403" Error "unknown-attribute": "An expression names an event, meter, repeat or variable that the node does not have.";
    UnknownLimit = "FLOW0404" Warning "unknown-limit": "A limit is not defined, so nothing is limited.";
    RepeatAndCron = "FLOW0501" Error "repeat-and-cron": "A node has a repeat and a cron.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The rule.
    pub code: Code,
    /// The problem, in one sentence.
    pub message: String,
    /// Where it is, in bytes.
    pub span: Range<usize>,
    /// How to repair it.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(code: Code, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            span,
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Diagnostics as text, each with its file, line and column, the line itself and the repair.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], path: &str, text: &str) -> String {
    let renderer = Renderer::plain();
    let texts = diagnostics.iter().map(|diagnostic| {
        let level = match diagnostic.code.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level
            .primary_title(diagnostic.message.as_str())
            .id(diagnostic.code.id());
        let (window, line) = context(text, &diagnostic.span);
        let within = |at: usize| at.clamp(window.start, window.end) - window.start;
        let annotation = AnnotationKind::Primary
            .span(within(diagnostic.span.start)..within(diagnostic.span.end));
        let snippet = Snippet::source(&text[window.clone()])
            .path(path)
            .line_start(line)
            .annotation(annotation);
        let mut group = title.element(snippet);
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group]) + "\n"
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// The line in which a span begins, cut if it is long, and its number.
fn context(text: &str, span: &Range<usize>) -> (Range<usize>, usize) {
    let at = boundary(text, span.start.min(text.len()));
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
    let line = text[..start].bytes().filter(|byte| *byte == b'\n').count() + 1;
    let first = start.max(at.saturating_sub(MAX_CONTEXT_BYTES / 2));
    let last = end.min(at + MAX_CONTEXT_BYTES);
    (boundary(text, first)..boundary(text, last), line)
}

/// The beginning of the character at or before an offset.
fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
