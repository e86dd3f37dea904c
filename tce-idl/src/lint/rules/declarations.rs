//! Rules about the use, the order, the indices and the documentation of declarations.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic, Repair};
use crate::lint::context::{LintContext, kind};
use crate::lint::{Findings, Level, Rule};
use crate::model::{
    self, DictionaryId, EnumId, ExceptionId, IndexOrigin, Model, ModuleId, SequenceId, StructId,
    Type,
};
use crate::source::Span;
use crate::symbols::SymbolKind;
use crate::syntax::ast::{Annotation, Element, Identifier, Interface, Module, TypeName};

pub(super) const UNUSED_TYPE: Rule = Rule {
    code: Code::UnusedType,
    level: Level::Warn,
    why: "No operation in the compiled files takes or returns the type, directly or inside another \
          type, so that no call can transfer it. Modules without interfaces are exempt, since \
          other files may use their types.",
    bad: include_str!("../examples/unused_type.bad.idl"),
    good: include_str!("../examples/unused_type.good.idl"),
    check: check_unused_type,
};

fn check_unused_type(context: &LintContext<'_>, found: &mut Findings<'_>) {
    let model = &context.program.model;
    let homes: HashSet<ModuleId> = model.interfaces.iter().map(|it| it.module).collect();
    let used = used(model, &homes);
    for (ty, kind, name, module, span) in declared(model) {
        if used.contains(&ty) || !homes.contains(&module) || !context.is_checked(span) {
            continue;
        }
        let message = format!("{} `{name}` is not used by any operation", kind.noun());
        let diagnostic = Diagnostic::new(Code::UnusedType, message).at(span, "");
        found.push(diagnostic.help("use it, or remove it"));
    }
    let operations = model.interfaces.iter().flat_map(|it| &it.operations);
    let thrown: HashSet<ExceptionId> = operations.flat_map(|it| it.throws.clone()).collect();
    for (id, it) in (0..).map(ExceptionId).zip(&model.exceptions) {
        if thrown.contains(&id) || !homes.contains(&it.module) || !context.is_checked(it.span) {
            continue;
        }
        let message = format!("exception `{}` is not thrown by any operation", it.name);
        let diagnostic = Diagnostic::new(Code::UnusedType, message).at(it.span, "");
        found.push(diagnostic.help("name it behind an operation, `throws NAME`, or remove it"));
    }
}

/// Every declared type, with its kind, name, module and position.
fn declared(model: &Model) -> Vec<(Type, SymbolKind, &str, ModuleId, Span)> {
    let structs = (0..)
        .map(|id| Type::Struct(StructId(id)))
        .zip(&model.structs);
    let structs =
        structs.map(|(ty, it)| (ty, SymbolKind::Struct, it.name.as_str(), it.module, it.span));
    let sequences = (0..)
        .map(|id| Type::Sequence(SequenceId(id)))
        .zip(&model.sequences);
    let sequences = sequences.map(|(ty, it)| {
        (
            ty,
            SymbolKind::Sequence,
            it.name.as_str(),
            it.module,
            it.span,
        )
    });
    let dictionaries = (0..).map(|id| Type::Dictionary(DictionaryId(id)));
    let dictionaries = dictionaries.zip(&model.dictionaries);
    let dictionaries = dictionaries.map(|(ty, it)| {
        (
            ty,
            SymbolKind::Dictionary,
            it.name.as_str(),
            it.module,
            it.span,
        )
    });
    let enums = (0..).map(|id| Type::Enum(EnumId(id))).zip(&model.enums);
    let enums = enums.map(|(ty, it)| (ty, SymbolKind::Enum, it.name.as_str(), it.module, it.span));
    structs
        .chain(sequences)
        .chain(dictionaries)
        .chain(enums)
        .collect()
}

/// The types that operations use, and those of modules without interfaces.
fn used(model: &Model, homes: &HashSet<ModuleId>) -> HashSet<Type> {
    let operations = model.interfaces.iter().flat_map(|it| &it.operations);
    let mut open: Vec<Type> = operations
        .flat_map(|it| it.parameters.iter().map(|it| it.ty).chain(it.returns))
        .collect();
    // Whether or not an operation throws it: an unused exception is reported itself.
    let exceptions = model.exceptions.iter();
    open.extend(exceptions.flat_map(|it| it.members.iter().map(|it| it.ty)));
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

/// The types that a type directly contains.
fn parts(model: &Model, ty: Type) -> Vec<Type> {
    match ty {
        Type::Struct(id) => model.struct_(id).members.iter().map(|it| it.ty).collect(),
        Type::Sequence(id) => vec![model.sequence(id).element],
        Type::Dictionary(id) => {
            let dictionary = model.dictionary(id);
            vec![dictionary.key, dictionary.value]
        }
        _ => Vec::new(),
    }
}

pub(super) const FORWARD_REFERENCE: Rule = Rule {
    code: Code::ForwardReference,
    level: Level::Warn,
    why: "Legacy compilers read a file from top to bottom, and reject a type or a base that is \
          declared further down; this compiler does not. Move the declaration up. Legacy \
          compilers do not support types that contain each other.",
    bad: include_str!("../examples/forward_reference.bad.idl"),
    good: include_str!("../examples/forward_reference.good.idl"),
    check: check_forward_reference,
};

fn check_forward_reference(context: &LintContext<'_>, found: &mut Findings<'_>) {
    let mut seen = HashSet::new();
    for (used, declared) in uses(context) {
        let is_forward = declared.file == used.span.file && declared.start > used.span.start;
        // Reported once: moving the declaration up fixes later uses too.
        if is_forward && context.is_checked(declared) && seen.insert(declared) {
            let name = &used.name.text;
            let message = format!("`{name}` is used before it is declared");
            let diagnostic = Diagnostic::new(Code::ForwardReference, message).at(used.span, "");
            let diagnostic = diagnostic.note(declared, "declared here");
            found.push(
                diagnostic
                    .help("move the declaration up: legacy compilers read from top to bottom"),
            );
        }
    }
}

/// Every use of a declared type, with the position of its declaration.
fn uses<'a>(context: &LintContext<'a>) -> Vec<(&'a TypeName, Span)> {
    let (model, ast) = (&context.program.model, &context.program.ast);
    let mut uses: Vec<(&TypeName, Option<Span>)> = Vec::new();
    for (it, from) in model.structs.iter().zip(&ast.structs) {
        let members = it.members.iter().zip(&from.members);
        uses.extend(members.map(|(it, from)| (&from.ty, declaration(model, it.ty))));
    }
    for (it, from) in model.sequences.iter().zip(&ast.sequences) {
        uses.push((&from.element, declaration(model, it.element)));
    }
    for (it, from) in model.dictionaries.iter().zip(&ast.dictionaries) {
        uses.push((&from.value, declaration(model, it.value)));
    }
    for (it, from) in model.interfaces.iter().zip(&ast.interfaces) {
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

/// The position of the declaration of a type; `None` for a builtin one.
fn declaration(model: &Model, ty: Type) -> Option<Span> {
    match ty {
        Type::Struct(id) => Some(model.struct_(id).span),
        Type::Sequence(id) => Some(model.sequence(id).span),
        Type::Dictionary(id) => Some(model.dictionary(id).span),
        _ => None,
    }
}

pub(super) const IMPLICIT_INDEX: Rule = Rule {
    code: Code::ImplicitIndex,
    level: Level::Warn,
    why: "The index of an interface without an explicit one is its position in the module. Moving \
          it, or inserting an interface before it, changes the index on the wire, and peers that \
          are not recompiled call another interface. Write the current index, or keep the indices \
          in a lock file or an index file. A module with a single interface is exempt.",
    bad: include_str!("../examples/implicit_index.bad.idl"),
    good: include_str!("../examples/implicit_index.good.idl"),
    check: check_implicit_index,
};

fn check_implicit_index(context: &LintContext<'_>, found: &mut Findings<'_>) {
    if context.has_lock {
        return;
    }
    let model = &context.program.model;
    for module in &model.modules {
        let interfaces = interfaces(model, module);
        let is_implicit =
            |it: &&&model::Interface| !matches!(it.index_origin, IndexOrigin::Explicit(_));
        let is_alone = interfaces.len() < 2;
        for it in interfaces.iter().filter(is_implicit) {
            if !is_alone && context.is_checked(it.span) {
                found.push(finding(it));
            }
        }
    }
}

fn interfaces<'m>(model: &'m Model, module: &model::Module) -> Vec<&'m model::Interface> {
    let interface = |element: &model::Element| match element {
        model::Element::Interface(id) => Some(model.interface(*id)),
        _ => None,
    };
    module.elements.iter().filter_map(interface).collect()
}

fn finding(it: &model::Interface) -> Diagnostic {
    let message = format!(
        "the index of interface `{}` is its position, {}",
        it.name, it.index
    );
    let diagnostic = Diagnostic::new(Code::ImplicitIndex, message);
    Diagnostic {
        repair: Some(Repair {
            message: format!("write the index: `[index={}]`", it.index),
            edit: Some(it.index_origin.edit(it.index)),
        }),
        ..diagnostic.at(it.span, "moving it changes the index on the wire")
    }
}

pub(super) const MISSING_DOCS: Rule = Rule {
    code: Code::MissingDocs,
    level: Level::Allow,
    why: "Documentation is part of the generated code, where users of the interface read it. Write \
          `///` or `/** */` before the declaration, or a `comment` annotation. A module needs it \
          once. Members, constants, sequences and dictionaries are exempt. This rule is off by default.",
    bad: include_str!("../examples/missing_docs.bad.idl"),
    good: include_str!("../examples/missing_docs.good.idl"),
    check: check_missing_docs,
};

fn check_missing_docs(context: &LintContext<'_>, found: &mut Findings<'_>) {
    let known = context.program.model.modules.iter();
    let documented = known.map(|it| (it.name.as_str(), it.doc.is_some()));
    let mut open: HashMap<&str, bool> = documented.collect();
    for module in context.modules() {
        // Only the first opening of a module is reported.
        if let Some(has_doc) = open.remove(module.name.text.as_str()) {
            require_doc(has_doc, SymbolKind::Module, &module.name, found);
        }
        missing_docs_in(module, found);
    }
}

fn missing_docs_in(module: &Module, found: &mut Findings<'_>) {
    for element in &module.elements {
        match element {
            Element::Struct(it) | Element::Exception(it) => {
                require_doc(it.doc.is_some(), kind(element), &it.name, found);
            }
            Element::Enum(it) => require_doc(it.doc.is_some(), kind(element), &it.name, found),
            Element::Interface(it) => missing_docs_of(it, found),
            Element::Constant(_) | Element::Sequence(_) | Element::Dictionary(_) => {}
        }
    }
}

fn missing_docs_of(it: &Interface, found: &mut Findings<'_>) {
    let has_comment = |annotations: &[Annotation]| {
        annotations
            .iter()
            .any(|annotation| annotation.key.text == "comment")
    };
    let has_doc = it.doc.is_some() || has_comment(&it.annotations);
    require_doc(has_doc, SymbolKind::Interface, &it.name, found);
    for operation in &it.operations {
        let has_doc = operation.doc.is_some() || has_comment(&operation.annotations);
        require_doc(has_doc, SymbolKind::Operation, &operation.name, found);
    }
}

fn require_doc(has_doc: bool, kind: SymbolKind, name: &Identifier, found: &mut Findings<'_>) {
    if !has_doc {
        let message = format!("{} `{}` has no documentation", kind.noun(), name.text);
        let diagnostic = Diagnostic::new(Code::MissingDocs, message).at(name.span, "");
        found.push(diagnostic.help("describe it in a `///` comment on the line before"));
    }
}
