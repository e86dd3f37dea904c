//! What stands before a declaration: documentation and annotations.

use super::{Lowering, Rule, SyntaxNode};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{self, Span};
use crate::syntax::ast::{Annotation, AnnotationValue};

/// The documentation and annotations that were read for the next declaration.
#[derive(Default)]
pub(super) struct DeclarationPrefix {
    doc: Vec<String>,
    annotations: Vec<Annotation>,
    /// The position of the annotations.
    span: Option<Span>,
}

impl DeclarationPrefix {
    pub(super) fn take_doc(&mut self) -> Option<String> {
        doc_text(std::mem::take(&mut self.doc))
    }

    pub(super) fn take_annotations(&mut self) -> Vec<Annotation> {
        self.span = None;
        std::mem::take(&mut self.annotations)
    }
}

impl<'a> Lowering<'a> {
    /// Adds documentation and annotations to `pending`; ignores other nodes.
    pub(super) fn prefix(&mut self, node: &SyntaxNode<'a>, pending: &mut DeclarationPrefix) {
        match node.rule() {
            Rule::COMMENT => pending.doc.extend(doc_lines(node, self.text)),
            Rule::annotations => self.annotations(node, pending),
            Rule::broken_annotations => self.broken(node, Rule::just_annotations),
            _ => {}
        }
    }

    fn annotations(&mut self, node: &SyntaxNode<'a>, pending: &mut DeclarationPrefix) {
        if let Some(first) = pending.span {
            let message = "a declaration can have only one annotation list";
            let diagnostic = Diagnostic::new(Code::MisplacedAnnotation, message)
                .at(node.span(), "a second list");
            self.sink.push(
                diagnostic
                    .note(first, "the first list")
                    .help("merge them: `[index=1, comment=\"text\"]`"),
            );
        }
        pending.span = Some(node.span());
        let list = node
            .children()
            .filter(|child| child.rule() == Rule::annotation);
        pending
            .annotations
            .extend(list.filter_map(|child| annotation(&child)));
    }

    /// Reports annotations before `what`, which can't have any.
    pub(super) fn not_annotated(&mut self, pending: &mut DeclarationPrefix, what: &str) {
        if let Some(span) = pending.span {
            let message = format!("{what} can't have annotations");
            let diagnostic = Diagnostic::new(Code::MisplacedAnnotation, message).at(span, "");
            self.sink.push(
                diagnostic.help("put annotations before an interface, an operation or a type"),
            );
        }
        pending.take_annotations();
    }

    /// Reports annotations at the end of a body, which no declaration follows.
    pub(super) fn annotates_nothing(&mut self, pending: &mut DeclarationPrefix) {
        if let Some(span) = pending.span {
            let message = "no declaration follows this annotation";
            let diagnostic = Diagnostic::new(Code::MisplacedAnnotation, message).at(span, "");
            self.sink.push(
                diagnostic.help("put annotations before an interface, an operation or a type"),
            );
        }
        pending.take_annotations();
    }
}

fn annotation(node: &SyntaxNode<'_>) -> Option<Annotation> {
    let key = node.child(Rule::name)?.name();
    let Some(value) = node.child(Rule::value) else {
        return Some(Annotation {
            value: AnnotationValue::Flag,
            value_span: key.span,
            key,
        });
    };
    let word = value
        .child(Rule::string)
        .or(value.child(Rule::number))
        .or(value.child(Rule::name))?;
    let text = word.text();
    let meaning = match word.rule() {
        Rule::string => AnnotationValue::String(text.trim_matches('"').to_owned()),
        Rule::number => AnnotationValue::Number(text.to_owned()),
        _ => AnnotationValue::Name(text.to_owned()),
    };
    Some(Annotation {
        key,
        value: meaning,
        value_span: value.span(),
    })
}

/// Whether a comment lacks its `*/`.
pub(super) fn is_open(comment: &str) -> bool {
    comment
        .strip_prefix("/*")
        .is_some_and(|rest| !rest.ends_with("*/"))
}

/// The lines of a documentation comment, `///` or `/** */`, without these marks.
/// `////` and `/***` are ordinary comments. So are `///<` and `/**<`, by which other
/// tools document what precedes, and comments behind something on their line: they
/// say nothing of the next declaration.
fn doc_lines(node: &SyntaxNode<'_>, text: &str) -> Vec<String> {
    let comment = node.text();
    let line = comment.strip_prefix("///");
    let block = comment.strip_prefix("/**");
    if let Some(line) = line.filter(|rest| !rest.starts_with(['/', '<'])) {
        return match is_behind(node, text) {
            true => Vec::new(),
            false => vec![line.trim_end().to_owned()],
        };
    }
    match block.filter(|rest| !rest.starts_with(['*', '/', '<'])) {
        Some(inside) if !is_behind(node, text) => block_lines(inside.trim_end_matches("*/")),
        _ => Vec::new(),
    }
}

/// Whether a comment follows other text on its line and no declaration follows it
/// there, as in `int x; /** the width */`.
fn is_behind(node: &SyntaxNode<'_>, text: &str) -> bool {
    let span = node.span();
    let before = &text[..span.start as usize];
    let before = before.rsplit(['\n', '\r']).next().unwrap_or_default();
    let before = without_last_comments(before);
    // Annotations belong to the declaration that follows.
    if before.is_empty() || before.ends_with(']') {
        return false;
    }
    let after = without_first_comments(&text[span.end as usize..]);
    let ends = ['\n', '\r', '/', '#', ',', '}', ')', '>'];
    after.is_empty() || after.starts_with(ends)
}

/// The start of a line, without the `/* … */` and spaces at its end.
fn without_last_comments(mut line: &str) -> &str {
    loop {
        line = line.trim_end();
        let Some(comment) = line.strip_suffix("*/") else {
            return line;
        };
        // The comment may begin on an earlier line.
        line = comment.rfind("/*").map_or("", |start| &line[..start]);
    }
}

/// A text without the `/* … */` and spaces at its start.
fn without_first_comments(mut text: &str) -> &str {
    loop {
        text = text.trim_start_matches([' ', '\t']);
        let Some((_, rest)) = text.strip_prefix("/*").and_then(|it| it.split_once("*/")) else {
            return text;
        };
        text = rest;
    }
}

/// The lines inside `/** … */`, without the `*` if every line begins with one.
fn block_lines(inside: &str) -> Vec<String> {
    let mut lines = source::lines(inside).map(str::trim_end);
    let first = lines.next().unwrap_or_default().trim_start().to_owned();
    let rest: Vec<&str> = lines.collect();
    let framed = rest
        .iter()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('*'));
    let rest = rest.into_iter().map(|line| {
        if framed {
            line.trim_start().trim_start_matches('*')
        } else {
            line
        }
    });
    let mut rest: Vec<String> = rest.map(str::to_owned).collect();
    unindent(&mut rest);
    rest.insert(0, first);
    rest
}

/// Joins lines of documentation; `None` if they are all empty.
fn doc_text(mut lines: Vec<String>) -> Option<String> {
    unindent(&mut lines);
    let text = lines.join("\n");
    let text = text.trim_matches('\n').trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Removes the indentation that all lines share.
fn unindent(lines: &mut [String]) {
    let width = |line: &String| line.len() - line.trim_start_matches([' ', '\t']).len();
    let shared = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(width)
        .min();
    for line in lines {
        *line = line
            .get(shared.unwrap_or_default()..)
            .unwrap_or_default()
            .to_owned();
    }
}
