//! Declarations without documentation

use std::collections::HashMap;

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::subject::{Subject, kind};
use crate::lint::{Findings, Level, Rule};
use crate::names::Kind;
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

fn check(subject: &Subject<'_>, found: &mut Findings<'_>) {
    let known = subject.program.model.modules.iter();
    let documented = known.map(|it| (it.name.as_str(), it.doc.is_some()));
    let mut open: HashMap<&str, bool> = documented.collect();
    for module in subject.modules() {
        // Of several openings the first speaks for all.
        if let Some(has_doc) = open.remove(module.name.text.as_str()) {
            missing(has_doc, Kind::Module, &module.name, found);
        }
        elements(module, found);
    }
}

fn elements(module: &Module, found: &mut Findings<'_>) {
    for element in &module.elements {
        match element {
            Element::Struct(it) => missing(it.doc.is_some(), kind(element), &it.name, found),
            Element::Interface(it) => interface(it, found),
            Element::Sequence(_) | Element::Dictionary(_) => {}
        }
    }
}

fn interface(it: &Interface, found: &mut Findings<'_>) {
    let has_comment = |annotations: &[Annotation]| {
        annotations
            .iter()
            .any(|annotation| annotation.key.text == "comment")
    };
    let has_doc = it.doc.is_some() || has_comment(&it.annotations);
    missing(has_doc, Kind::Interface, &it.name, found);
    for operation in &it.operations {
        let has_doc = operation.doc.is_some() || has_comment(&operation.annotations);
        missing(has_doc, Kind::Operation, &operation.name, found);
    }
}

fn missing(has_doc: bool, kind: Kind, name: &Name, found: &mut Findings<'_>) {
    if !has_doc {
        let message = format!("{} `{}` has no documentation", kind.noun(), name.text);
        let diagnostic = Diagnostic::new(Code::MissingDocs, message).at(name.span, "");
        found.push(diagnostic.help("say what it is for, after `///` on the line before"));
    }
}
