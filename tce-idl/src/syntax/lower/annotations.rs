//! `[key=value, …]`, and what else stands before a declaration.

use super::{Lower, Node, Rule};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{Annotation, Value};

/// What was read and belongs to the declaration that comes next.
#[derive(Default)]
pub(super) struct Pending {
    doc: Vec<String>,
    annotations: Vec<Annotation>,
    /// Where the annotations stand.
    place: Option<Span>,
}

impl Pending {
    pub(super) fn take_doc(&mut self) -> Option<String> {
        doc::text(std::mem::take(&mut self.doc))
    }

    pub(super) fn take_annotations(&mut self) -> Vec<Annotation> {
        self.place = None;
        std::mem::take(&mut self.annotations)
    }
}

impl<'a> Lower<'a> {
    /// Documentation and annotations; other nodes are none of its concern.
    pub(super) fn prefix(&mut self, node: &Node<'a>, pending: &mut Pending) {
        match node.rule() {
            Rule::COMMENT => pending.doc.extend(doc::lines(node, self.text)),
            Rule::annotations => self.annotations(node, pending),
            Rule::broken_annotations => self.broken(node, Rule::just_annotations),
            _ => {}
        }
    }

    fn annotations(&mut self, node: &Node<'a>, pending: &mut Pending) {
        if let Some(first) = pending.place {
            let message = "a declaration has at most one annotation list";
            let diagnostic = Diagnostic::new(Code::MisplacedAnnotation, message)
                .at(node.span(), "a second list");
            self.sink.push(
                diagnostic
                    .note(first, "the first list")
                    .help("write one: `[a=1, b=2]`"),
            );
        }
        pending.place = Some(node.span());
        let list = node
            .children()
            .filter(|child| child.rule() == Rule::annotation);
        pending
            .annotations
            .extend(list.filter_map(|child| annotation(&child)));
    }

    /// Reports annotations before `what`, which can't have any.
    pub(super) fn not_annotated(&mut self, pending: &mut Pending, what: &str) {
        if let Some(place) = pending.place {
            let message = format!("{what} has no annotations");
            let diagnostic = Diagnostic::new(Code::MisplacedAnnotation, message).at(place, "");
            self.sink
                .push(diagnostic.help("annotations belong before an interface or an operation"));
        }
        pending.take_annotations();
    }

    /// Reports annotations at the end of a body.
    pub(super) fn annotates_nothing(&mut self, pending: &mut Pending) {
        if let Some(place) = pending.place {
            let message = "there is no declaration after this annotation";
            let diagnostic = Diagnostic::new(Code::MisplacedAnnotation, message).at(place, "");
            self.sink
                .push(diagnostic.help("annotations belong before an interface or an operation"));
        }
        pending.take_annotations();
    }
}

fn annotation(node: &Node<'_>) -> Option<Annotation> {
    let key = node.child(Rule::name)?.name();
    let value = node.child(Rule::value)?;
    let word = value
        .child(Rule::string)
        .or(value.child(Rule::number))
        .or(value.child(Rule::name))?;
    let text = word.text();
    let meaning = match word.rule() {
        Rule::string => Value::String(text.trim_matches('"').to_owned()),
        Rule::number => Value::Number(text.to_owned()),
        _ => Value::Name(text.to_owned()),
    };
    Some(Annotation {
        key,
        value: meaning,
        value_span: value.span(),
    })
}

/// Whether a comment goes to the end of the file for want of a `*/`.
pub(super) fn is_open(comment: &str) -> bool {
    comment
        .strip_prefix("/*")
        .is_some_and(|rest| !rest.ends_with("*/"))
}

/// The lines of a comment, without its marks, if it is documentation.
/// `////` and `/***` draw lines; they document nothing.
pub(super) fn lines(node: &Node<'_>, text: &str) -> Vec<String> {
    let comment = node.text();
    if let Some(line) = comment
        .strip_prefix("///")
        .filter(|rest| !rest.starts_with('/'))
    {
        return if is_remark(node, text) {
            Vec::new()
        } else {
            vec![line.trim_end().to_owned()]
        };
    }
    let block = comment
        .strip_prefix("/**")
        .filter(|rest| !rest.starts_with(['*', '/']));
    block
        .map(|inside| block_lines(inside.trim_end_matches("*/")))
        .unwrap_or_default()
}

/// `int x; /// the width`: it speaks of what stands before it, not of what comes.
fn is_remark(node: &Node<'_>, text: &str) -> bool {
    let before = &text[..node.span().start as usize];
    let line = before.rsplit('\n').next().unwrap_or_default();
    !line.trim().is_empty()
}

/// The lines inside `/** … */`. A `*` that starts each line is part of the frame.
fn block_lines(inside: &str) -> Vec<String> {
    let mut lines = inside.lines().map(str::trim_end);
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

/// The text that lines of documentation make together; `None` for no words at all.
pub(super) fn text(mut lines: Vec<String>) -> Option<String> {
    unindent(&mut lines);
    let text = lines.join("\n");
    let text = text.trim_matches('\n').trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Takes away the indent that all lines share.
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
