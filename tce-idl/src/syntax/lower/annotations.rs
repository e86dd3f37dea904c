//! `[key=value, …]`, and what else stands before a declaration.

use super::{Lower, Node, Rule, doc};
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
