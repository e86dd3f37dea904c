//! Declarations without documentation

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::lint::subject::{Kind, Subject, kind};
use crate::lint::{Level, Rule};
use crate::syntax::ast::{Annotation, Element, Interface, Module, Name};

pub(super) const RULE: Rule = Rule {
    code: Code::MissingDocs,
    level: Level::Allow,
    why: "Documentation reaches the generated code, where the other side reads it. A `///` or \
          `/** */` before the declaration will do, and so will a `comment` annotation. A module \
          needs it once. Members, sequences and dictionaries are let off. Allowed unless asked for.",
    bad: include_str!("../examples/missing_docs.bad.idl"),
    good: include_str!("../examples/missing_docs.good.idl"),
    check,
};

fn check(subject: &Subject<'_>, sink: &mut Diagnostics) {
    let mut seen = Vec::new();
    for module in subject.modules() {
        if !seen.contains(&&module.name.text) {
            seen.push(&module.name.text);
            let known = subject.program.model.modules.iter();
            let has_doc = known
                .filter(|it| it.name == module.name.text)
                .any(|it| it.doc.is_some());
            missing(has_doc, Kind::Module, &module.name, sink);
        }
        elements(module, sink);
    }
}

fn elements(module: &Module, sink: &mut Diagnostics) {
    for element in &module.elements {
        match element {
            Element::Struct(it) => missing(it.doc.is_some(), kind(element), &it.name, sink),
            Element::Interface(it) => interface(it, sink),
            Element::Sequence(_) | Element::Dictionary(_) => {}
        }
    }
}

fn interface(it: &Interface, sink: &mut Diagnostics) {
    let has_comment = |annotations: &[Annotation]| {
        annotations
            .iter()
            .any(|annotation| annotation.key.text == "comment")
    };
    let has_doc = it.doc.is_some() || has_comment(&it.annotations);
    missing(has_doc, Kind::Interface, &it.name, sink);
    for operation in &it.operations {
        let has_doc = operation.doc.is_some() || has_comment(&operation.annotations);
        missing(has_doc, Kind::Operation, &operation.name, sink);
    }
}

fn missing(has_doc: bool, kind: Kind, name: &Name, sink: &mut Diagnostics) {
    if !has_doc {
        let message = format!("{} `{}` has no documentation", kind.noun(), name.text);
        let diagnostic = Diagnostic::new(Code::MissingDocs, message).at(name.span, "");
        sink.push(diagnostic.help("say what it is for, after `///` on the line before"));
    }
}
