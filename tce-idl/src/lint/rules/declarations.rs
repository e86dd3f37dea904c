//! Rules about the order, the indices, the documentation and the use of declarations.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic, Repair};
use crate::lint::subject::{Subject, kind};
use crate::lint::{Findings, Level, Rule};
use crate::model::{DictionaryId, Element as ModelElement, IndexPlace, Interface as ModelInterface, Model, Module as ModelModule, ModuleId, SequenceId, StructId, Type};
use crate::symbols::Kind;
use crate::source::Span;
use crate::syntax::ast::{Annotation, Element, Interface, Module, Name, TypeName};

pub(super) const RULE: Rule = Rule {
    code: Code::UnusedType,
    level: Level::Warn,
    why: "No operation of the files at hand takes or returns it, nor anything that contains it: no \
          call can carry it. A module without interfaces is there for others to use, and is let off.",
    bad: include_str!("../examples/unused_type.bad.idl"),
    good: include_str!("../examples/unused_type.good.idl"),
    check,
};

fn check(subject: &Subject<'_>, found: &mut Findings<'_>) {
    let model = &subject.program.model;
    let homes: HashSet<ModuleId> = model.interfaces.iter().map(|it| it.module).collect();
    let used = used(model, &homes);
    for (ty, kind, name, module, span) in declared(model) {
        if used.contains(&ty) || !homes.contains(&module) || !subject.is_given(span) {
            continue;
        }
        let message = format!("no call can carry {} `{name}`", kind.noun());
        let diagnostic = Diagnostic::new(Code::UnusedType, message).at(span, "");
        found.push(diagnostic.help("use it, or leave it out"));
    }
}

/// Every declared type, with what it is, its name, its module and its place.
fn declared(model: &Model) -> Vec<(Type, Kind, &str, ModuleId, Span)> {
    let structs = (0..)
        .map(|id| Type::Struct(StructId(id)))
        .zip(&model.structs);
    let structs = structs.map(|(ty, it)| (ty, Kind::Struct, it.name.as_str(), it.module, it.span));
    let sequences = (0..)
        .map(|id| Type::Sequence(SequenceId(id)))
        .zip(&model.sequences);
    let sequences =
        sequences.map(|(ty, it)| (ty, Kind::Sequence, it.name.as_str(), it.module, it.span));
    let dictionaries = (0..).map(|id| Type::Dictionary(DictionaryId(id)));
    let dictionaries = dictionaries.zip(&model.dictionaries);
    let dictionaries =
        dictionaries.map(|(ty, it)| (ty, Kind::Dictionary, it.name.as_str(), it.module, it.span));
    structs.chain(sequences).chain(dictionaries).collect()
}

/// The types that a call can carry, or that another module can use.
fn used(model: &Model, homes: &HashSet<ModuleId>) -> HashSet<Type> {
    let operations = model.interfaces.iter().flat_map(|it| &it.operations);
    let mut open: Vec<Type> = operations
        .flat_map(|it| it.parameters.iter().map(|it| it.ty).chain(it.returns))
        .collect();
    let elsewhere = declared(model).into_iter();
    open.extend(elsewhere.filter(|it| !homes.contains(&it.3)).map(|it| it.0));
    let mut used = HashSet::new();
    while let Some(ty) = open.pop() {
        if used.insert(ty) {
            open.extend(parts(model, ty));
        }
    }
    used
}

/// The types that one is made of.
fn parts(model: &Model, ty: Type) -> Vec<Type> {
    match ty {
        Type::Struct(id) => model.struct_(id).members.iter().map(|it| it.ty).collect(),
        Type::Sequence(id) => vec![model.sequence(id).element],
        Type::Dictionary(id) => vec![model.dictionary(id).value],
        _ => Vec::new(),
    }
}

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

pub(super) const RULE: Rule = Rule {
    code: Code::ImplicitIndex,
    level: Level::Warn,
    why: "An interface without an index has that of its position in its module. Whoever moves it, \
          or puts another one before it, changes what goes on the wire, and peers that are not \
          compiled again call something else. Write the index that it has, or keep the indices \
          in a lock file or an index file. A module with a single interface is let off.",
    bad: include_str!("../examples/implicit_index.bad.idl"),
    good: include_str!("../examples/implicit_index.good.idl"),
    check,
};

fn check(subject: &Subject<'_>, found: &mut Findings<'_>) {
    if subject.has_lock {
        return;
    }
    let model = &subject.program.model;
    for module in &model.modules {
        let interfaces = interfaces(model, module);
        let is_counted = |it: &&&Interface| !matches!(it.index_place, IndexPlace::Written(_));
        let is_alone = interfaces.len() < 2;
        for it in interfaces.iter().filter(is_counted) {
            if !is_alone && subject.is_given(it.span) {
                found.push(finding(it));
            }
        }
    }
}

fn interfaces<'m>(model: &'m Model, module: &Module) -> Vec<&'m Interface> {
    let interface = |element: &Element| match element {
        Element::Interface(id) => Some(model.interface(*id)),
        _ => None,
    };
    module.elements.iter().filter_map(interface).collect()
}

fn finding(it: &Interface) -> Diagnostic {
    let message = format!(
        "interface `{}` has index {} by its position",
        it.name, it.index
    );
    let diagnostic = Diagnostic::new(Code::ImplicitIndex, message);
    Diagnostic {
        repair: Some(Repair {
            message: format!("write it: `[index={}]`", it.index),
            edit: Some(it.index_place.write(it.index)),
        }),
        ..diagnostic.at(it.span, "moving it changes the wire")
    }
}

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
