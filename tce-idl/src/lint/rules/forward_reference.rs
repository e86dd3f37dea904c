//! Types that are used above their declaration

use std::collections::HashSet;

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::{Findings, Level, Rule, Subject};
use crate::model::{Model, Type};
use crate::source::Span;
use crate::syntax::ast::TypeName;

pub(super) const RULE: Rule = Rule {
    code: Code::ForwardReference,
    level: Level::Warn,
    why: "This compiler reads a file as a whole. Legacy ones read from top to bottom, and refuse a \
          type, or a base, that is declared further down. Move the declaration up. Types that \
          contain each other can't be written for them at all.",
    bad: include_str!("../examples/forward_reference.bad.idl"),
    good: include_str!("../examples/forward_reference.good.idl"),
    check,
};

fn check(subject: &Subject<'_>, found: &mut Findings<'_>) {
    let mut seen = HashSet::new();
    for (used, declared) in uses(subject) {
        let is_forward = declared.file == used.span.file && declared.start > used.span.start;
        // Once it is moved up, later uses are fine too.
        if is_forward && subject.is_given(declared) && seen.insert(declared) {
            let name = &used.name.text;
            let message = format!("`{name}` is used before it is declared");
            let diagnostic = Diagnostic::new(Code::ForwardReference, message).at(used.span, "");
            let diagnostic = diagnostic.note(declared, "declared here");
            found.push(
                diagnostic.help("declare it first: legacy compilers read from top to bottom"),
            );
        }
    }
}

/// Every use of a declared type, with the place of its declaration.
fn uses<'a>(subject: &Subject<'a>) -> Vec<(&'a TypeName, Span)> {
    let (model, origin) = (&subject.program.model, &subject.program.origin);
    let mut uses: Vec<(&TypeName, Option<Span>)> = Vec::new();
    for (it, from) in model.structs.iter().zip(&origin.structs) {
        let members = it.members.iter().zip(&from.members);
        uses.extend(members.map(|(it, from)| (&from.ty, declaration(model, it.ty))));
    }
    for (it, from) in model.sequences.iter().zip(&origin.sequences) {
        uses.push((&from.element, declaration(model, it.element)));
    }
    for (it, from) in model.dictionaries.iter().zip(&origin.dictionaries) {
        uses.push((&from.value, declaration(model, it.value)));
    }
    for (it, from) in model.interfaces.iter().zip(&origin.interfaces) {
        let base = it.base.map(|id| model.interface(id).span);
        uses.extend(from.base.iter().map(|name| (name, base)));
        for (it, from) in it.operations.iter().zip(&from.operations) {
            let returns = it.returns.and_then(|ty| declaration(model, ty));
            uses.push((&from.returns, returns));
            let parameters = it.parameters.iter().zip(&from.parameters);
            uses.extend(parameters.map(|(it, from)| (&from.ty, declaration(model, it.ty))));
        }
    }
    uses.sort_by_key(|(name, _)| name.span);
    uses.into_iter()
        .filter_map(|(name, span)| Some((name, span?)))
        .collect()
}

/// Where a type is declared, if it is not built in.
fn declaration(model: &Model, ty: Type) -> Option<Span> {
    match ty {
        Type::Struct(id) => Some(model.struct_(id).span),
        Type::Sequence(id) => Some(model.sequence(id).span),
        Type::Dictionary(id) => Some(model.dictionary(id).span),
        _ => None,
    }
}
