//! Changes of types, exceptions and constants.

use std::collections::HashMap;

use super::enums;
use super::list::{ListComparison, ListTerms, TypedName};
use super::versions::{self, Versions};
use crate::diagnostic::{Breaks, Code, Diagnostic};
use crate::model::{Constant, Element, Exception, Member, Model, ModuleId, Type};
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

const EXCEPTION_MEMBERS: ListTerms = ListTerms {
    instead: "leave this exception unchanged, and declare a new one for new operations",
    ..MEMBERS
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
            None => found.push(removed(&name, old.kind, old.span)),
            Some(new) => compare_type(versions, &name, &old, new, found),
        }
    }
    compare_exceptions(versions, found);
    compare_constants(versions, found);
}

fn compare_exceptions(versions: &Versions<'_>, found: &mut Vec<Diagnostic>) {
    let named = |model: &'_ Model, it: &Exception| model.full_name(it.module, &it.name);
    let exceptions = versions.new.exceptions.iter();
    let new: HashMap<String, &Exception> =
        exceptions.map(|it| (named(versions.new, it), it)).collect();
    for old in &versions.old.exceptions {
        let name = named(versions.old, old);
        let Some(new) = new.get(&name) else {
            found.push(removed(&name, "exception", old.span));
            continue;
        };
        let list = ListComparison {
            versions,
            old: members(&old.members),
            new: members(&new.members),
            owner: name,
            span: new.span,
            modules: (old.module, new.module),
            terms: &EXCEPTION_MEMBERS,
        };
        list.compare(found);
    }
}

/// A constant is compiled into programs: another value breaks none of them.
fn compare_constants(versions: &Versions<'_>, found: &mut Vec<Diagnostic>) {
    let named = |model: &'_ Model, it: &Constant| model.full_name(it.module, &it.name);
    let constants = versions.new.constants.iter();
    let new: HashMap<String, &Constant> =
        constants.map(|it| (named(versions.new, it), it)).collect();
    for old in &versions.old.constants {
        let name = named(versions.old, old);
        let Some(new) = new.get(&name) else {
            let message = format!("constant `{name}` is removed");
            let diagnostic = Diagnostic::new(Code::ConstantRemoved, message)
                .at(old.span, "it was declared here")
                .help("keep it as long as programs that use it are compiled");
            found.push(diagnostic.breaks(Breaks::SOURCE));
            continue;
        };
        if old.ty != new.ty {
            let was = versions.old.spell(Some(old.ty), old.module);
            let is = versions.new.spell(Some(new.ty), new.module);
            let message = format!("the type of constant `{name}` changed from `{was}` to `{is}`");
            let diagnostic = Diagnostic::new(Code::ConstantRetyped, message)
                .at(new.span, format!("`{is}` now"))
                .note(old.span, format!("`{was}` before"))
                .help(format!("keep `{was}`, and declare a new constant"));
            found.push(diagnostic.breaks(Breaks::SOURCE));
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
            Element::Enum(id) => (Type::Enum(id), model.enum_(id).span, "enum"),
            Element::Interface(_) | Element::Exception(_) | Element::Constant(_) => return None,
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

fn removed(name: &str, kind: &str, span: Span) -> Diagnostic {
    let message = format!("{kind} `{name}` is removed");
    Diagnostic::new(Code::TypeRemoved, message)
        .at(span, "it was declared here")
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
                old: members(&before.members),
                new: members(&after.members),
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
        (Type::Enum(before), Type::Enum(after)) => {
            let enums = (versions.old.enum_(before), versions.new.enum_(after));
            enums::compare(name, enums, found);
        }
        _ => found.push(replaced(name, old, new)),
    }
}

fn members(members: &[Member]) -> Vec<TypedName<'_>> {
    let members = members.iter().map(|member| TypedName {
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
    let (was, is) = (with_article(old.kind), with_article(new.kind));
    let message = format!("`{name}` changed from {was} to {is}");
    Diagnostic::new(Code::TypeReplaced, message)
        .at(new.span, format!("{is} now"))
        .note(old.span, format!("{was} before"))
        .help("keep the old type, and give the new one another name")
        .breaks(Breaks::BOTH)
}

fn with_article(kind: &str) -> String {
    match kind {
        "enum" => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}
