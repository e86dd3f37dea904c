//! Structs, sequences and dictionaries.

use std::collections::HashMap;

use super::list::{List, Part, Words};
use super::pairs::Pairs;
use super::types;
use crate::diagnostic::{Breaks, Code, Diagnostic};
use crate::model::{Element, Model, ModuleId, Struct, Type};
use crate::source::Span;

const MEMBERS: Words = Words {
    what: "member",
    instead: "leave this struct as it is, and make another one for new operations",
    added: Code::MemberAdded,
    removed: Code::MemberRemoved,
    retyped: Code::MemberRetyped,
    renamed: Code::MemberRenamed,
    reordered: Code::MembersReordered,
};

/// A type that an IDL declares.
struct Declared {
    ty: Type,
    module: ModuleId,
    span: Span,
    kind: &'static str,
}

pub(super) fn compare(pairs: &Pairs<'_>, found: &mut Vec<Diagnostic>) {
    let new: HashMap<String, Declared> = declared(pairs.new).collect();
    for (name, old) in declared(pairs.old) {
        match new.get(&name) {
            None => found.push(removed(&name, &old)),
            Some(new) => compare_type(pairs, &name, &old, new, found),
        }
    }
}

/// Every type of a model by `module.Name`, in declared order.
fn declared(model: &Model) -> impl Iterator<Item = (String, Declared)> {
    let modules = model.modules.iter();
    let elements = modules.flat_map(|module| &module.elements);
    elements.filter_map(|element| {
        let (ty, span, kind) = match *element {
            Element::Struct(id) => (Type::Struct(id), model.struct_(id).span, "struct"),
            Element::Sequence(id) => (Type::Sequence(id), model.sequence(id).span, "sequence"),
            Element::Dictionary(id) => (
                Type::Dictionary(id),
                model.dictionary(id).span,
                "dictionary",
            ),
            Element::Interface(_) => return None,
        };
        let (module, name) = model.declared(ty)?;
        let declared = Declared {
            ty,
            module,
            span,
            kind,
        };
        Some((model.full_name(module, name), declared))
    })
}

fn removed(name: &str, old: &Declared) -> Diagnostic {
    let message = format!("{} `{name}` is gone", old.kind);
    Diagnostic::new(Code::TypeRemoved, message)
        .at(old.span, "it was here")
        .help("keep it while programs are compiled that name it")
        .breaks(Breaks::SOURCE)
}

fn compare_type(
    pairs: &Pairs<'_>,
    name: &str,
    old: &Declared,
    new: &Declared,
    found: &mut Vec<Diagnostic>,
) {
    match (old.ty, new.ty) {
        (Type::Struct(before), Type::Struct(after)) => {
            let (before, after) = (pairs.old.struct_(before), pairs.new.struct_(after));
            let list = List {
                pairs,
                old: members(before),
                new: members(after),
                owner: name.to_owned(),
                span: new.span,
                modules: (old.module, new.module),
                words: &MEMBERS,
            };
            list.compare(found);
        }
        (Type::Sequence(before), Type::Sequence(after)) => {
            let element = (
                pairs.old.sequence(before).element,
                pairs.new.sequence(after).element,
            );
            found.extend(content(pairs, name, "elements", (old, new), element));
        }
        (Type::Dictionary(before), Type::Dictionary(after)) => {
            let (before, after) = (pairs.old.dictionary(before), pairs.new.dictionary(after));
            let (keys, values) = ((before.key, after.key), (before.value, after.value));
            found.extend(content(pairs, name, "keys", (old, new), keys));
            found.extend(content(pairs, name, "values", (old, new), values));
        }
        _ => found.push(replaced(name, old, new)),
    }
}

fn members(from: &Struct) -> Vec<Part<'_>> {
    let members = from.members.iter().map(|member| Part {
        name: &member.name,
        ty: member.ty,
        span: member.span,
    });
    members.collect()
}

fn content(
    pairs: &Pairs<'_>,
    name: &str,
    what: &str,
    (old, new): (&Declared, &Declared),
    (before, after): (Type, Type),
) -> Option<Diagnostic> {
    let breaks = types::change(pairs, Some(before), Some(after))?;
    let (was, is) = types::spelled(pairs, (Some(before), old.module), (Some(after), new.module));
    let message = format!("the {what} of `{name}` are now `{is}`, and were `{was}`");
    let diagnostic = Diagnostic::new(Code::ContentChanged, message)
        .at(new.span, format!("`{is}` now"))
        .note(old.span, format!("`{was}` before"));
    let help = format!("keep `{was}`, and make another type for new operations");
    Some(diagnostic.help(help).breaks(breaks))
}

fn replaced(name: &str, old: &Declared, new: &Declared) -> Diagnostic {
    let message = format!("`{name}` is now a {}, and was a {}", new.kind, old.kind);
    Diagnostic::new(Code::TypeReplaced, message)
        .at(new.span, format!("a {} now", new.kind))
        .note(old.span, format!("a {} before", old.kind))
        .help("give the new type a name of its own, and keep the old one")
        .breaks(Breaks::BOTH)
}
