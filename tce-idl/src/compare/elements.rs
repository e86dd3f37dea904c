//! Changes of structs, sequences and dictionaries.

use std::collections::HashMap;

use super::list::{ListComparison, ListTerms, TypedName};
use super::versions::{self, Versions};
use crate::diagnostic::{Breaks, Code, Diagnostic};
use crate::model::{Element, Model, ModuleId, Struct, Type};
use crate::source::Span;

const MEMBERS: ListTerms = ListTerms {
    noun: "member",
    instead: "leave this struct unchanged, and declare a new one for new operations",
    added: Code::MemberAdded,
    removed: Code::MemberRemoved,
    retyped: Code::MemberRetyped,
    renamed: Code::MemberRenamed,
    reordered: Code::MembersReordered,
};

/// A declared type.
struct Declared {
    ty: Type,
    module: ModuleId,
    span: Span,
    kind: &'static str,
}

pub(super) fn compare(versions: &Versions<'_>, found: &mut Vec<Diagnostic>) {
    let new: HashMap<String, Declared> = declared(versions.new).collect();
    for (name, old) in declared(versions.old) {
        match new.get(&name) {
            None => found.push(removed(&name, &old)),
            Some(new) => compare_type(versions, &name, &old, new, found),
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
    let message = format!("{} `{name}` is removed", old.kind);
    Diagnostic::new(Code::TypeRemoved, message)
        .at(old.span, "it was declared here")
        .help("keep it as long as programs that use it are compiled")
        .breaks(Breaks::SOURCE)
}

fn compare_type(
    versions: &Versions<'_>,
    name: &str,
    old: &Declared,
    new: &Declared,
    found: &mut Vec<Diagnostic>,
) {
    match (old.ty, new.ty) {
        (Type::Struct(before), Type::Struct(after)) => {
            let (before, after) = (versions.old.struct_(before), versions.new.struct_(after));
            let list = ListComparison {
                versions,
                old: members(before),
                new: members(after),
                owner: name.to_owned(),
                span: new.span,
                modules: (old.module, new.module),
                terms: &MEMBERS,
            };
            list.compare(found);
        }
        (Type::Sequence(before), Type::Sequence(after)) => {
            let element = (
                versions.old.sequence(before).element,
                versions.new.sequence(after).element,
            );
            found.extend(content(versions, name, "elements", (old, new), element));
        }
        (Type::Dictionary(before), Type::Dictionary(after)) => {
            let (before, after) = (
                versions.old.dictionary(before),
                versions.new.dictionary(after),
            );
            let (keys, values) = ((before.key, after.key), (before.value, after.value));
            found.extend(content(versions, name, "keys", (old, new), keys));
            found.extend(content(versions, name, "values", (old, new), values));
        }
        _ => found.push(replaced(name, old, new)),
    }
}

fn members(from: &Struct) -> Vec<TypedName<'_>> {
    let members = from.members.iter().map(|member| TypedName {
        name: &member.name,
        ty: member.ty,
        span: member.span,
    });
    members.collect()
}

fn content(
    versions: &Versions<'_>,
    name: &str,
    what: &str,
    (old, new): (&Declared, &Declared),
    (before, after): (Type, Type),
) -> Option<Diagnostic> {
    let breaks = versions::change(versions, Some(before), Some(after))?;
    let (was, is) = versions::spelled(
        versions,
        (Some(before), old.module),
        (Some(after), new.module),
    );
    let message = format!("the type of the {what} of `{name}` changed from `{was}` to `{is}`");
    let diagnostic = Diagnostic::new(Code::ContentChanged, message)
        .at(new.span, format!("`{is}` now"))
        .note(old.span, format!("`{was}` before"));
    let help = format!("keep `{was}`, and declare a new type for new operations");
    Some(diagnostic.help(help).breaks(breaks))
}

fn replaced(name: &str, old: &Declared, new: &Declared) -> Diagnostic {
    let message = format!("`{name}` changed from a {} to a {}", old.kind, new.kind);
    Diagnostic::new(Code::TypeReplaced, message)
        .at(new.span, format!("a {} now", new.kind))
        .note(old.span, format!("a {} before", old.kind))
        .help("keep the old type, and give the new one another name")
        .breaks(Breaks::BOTH)
}
