//! Types that no call carries

use std::collections::HashSet;

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::subject::Subject;
use crate::lint::{Findings, Level, Rule};
use crate::model::{DictionaryId, Model, ModuleId, SequenceId, StructId, Type};
use crate::names::Kind;
use crate::source::Span;

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
