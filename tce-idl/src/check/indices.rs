//! Indices are unique: of operations in an interface, of interfaces in a module and, for gateways, in all modules.

use std::collections::{BTreeMap, HashMap};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{Interface, ModuleId};
use crate::resolve::ResolvedProgram;
use crate::source::Span;

/// The index of the built-in interface of every server.
const BUILT_IN: u16 = u16::MAX;

/// The most modules with the same index that a diagnostic shows, beside the first two.
const SHOWN: usize = 3;

pub(super) fn check(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    reserved(program, sink);
    operations(program, sink);
    // A declaration that could not be parsed may be an interface, and then the positions are wrong.
    if program.ast.broken.is_empty() {
        interfaces(program, sink);
        shared(program, sink);
    }
}

/// Every interface, with the position that determines its index.
fn interfaces_with_spans<'p>(
    program: &'p ResolvedProgram<'_>,
) -> impl Iterator<Item = (&'p Interface, Span)> {
    let interfaces = program.model.interfaces.iter();
    interfaces.map(|it| (it, it.index_origin.label_span(it.span)))
}

fn reserved(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    for (interface, place) in
        interfaces_with_spans(program).filter(|(interface, _)| interface.index == BUILT_IN)
    {
        let message = format!("interface `{}` can't have index {BUILT_IN}", interface.name);
        let diagnostic = Diagnostic::new(Code::ReservedIndex, message)
            .at(place, "reserved for the built-in interface");
        sink.push(diagnostic.help("choose a number from 0 to 65534"));
    }
}

fn operations(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    let origins = program.ast.interfaces.iter();
    let interfaces = program.model.interfaces.iter().zip(origins);
    for (interface, _) in interfaces.filter(|(_, from)| !from.broken) {
        let mut seen: HashMap<u16, (&str, Span)> = HashMap::new();
        for operation in &interface.operations {
            let place = operation.index_origin.label_span(operation.span);
            if let Some((first, there)) = seen.get(&operation.index) {
                let message = format!(
                    "operations `{first}` and `{}` of `{}` have the same index",
                    operation.name, interface.name
                );
                let diagnostic = Diagnostic::new(Code::DuplicateOperationIndex, message);
                let diagnostic = diagnostic.at(
                    place,
                    format!("`{}` has index {}", operation.name, operation.index),
                );
                sink.push(with_rule(
                    diagnostic.note(*there, format!("`{first}` has it too")),
                ));
            } else {
                seen.insert(operation.index, (&operation.name, place));
            }
        }
    }
}

fn interfaces(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    let mut seen: HashMap<(ModuleId, u16), (&str, Span)> = HashMap::new();
    for (interface, place) in interfaces_with_spans(program) {
        let name = interface.name.as_str();
        if let Some((first, there)) = seen.get(&(interface.module, interface.index)) {
            let module = &program.model.module(interface.module).name;
            let message = format!(
                "interfaces `{first}` and `{name}` of module `{module}` have the same index"
            );
            let diagnostic = Diagnostic::new(Code::DuplicateInterfaceIndex, message);
            let diagnostic =
                diagnostic.at(place, format!("`{name}` has index {}", interface.index));
            sink.push(with_rule(
                diagnostic.note(*there, format!("`{first}` has it too")),
            ));
        } else {
            seen.insert((interface.module, interface.index), (name, place));
        }
    }
}

fn with_rule(diagnostic: Diagnostic) -> Diagnostic {
    diagnostic.help("without `[index=N]`, the index is the position, counted from 0; explicit indices do not shift the others")
}

/// One warning for each index that interfaces of several modules have.
fn shared(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    let mut users: BTreeMap<u16, Vec<(&Interface, Span)>> = BTreeMap::new();
    for (interface, place) in interfaces_with_spans(program) {
        let users = users.entry(interface.index).or_default();
        if users
            .iter()
            .all(|(other, _)| other.module != interface.module)
        {
            users.push((interface, place));
        }
    }
    for (index, users) in users {
        let name = |interface: &Interface| {
            format!(
                "`{}::{}`",
                program.model.module(interface.module).name,
                interface.name
            )
        };
        let [(first, there), (second, place), more @ ..] = users.as_slice() else {
            continue;
        };
        let message = match more.len() {
            0 => format!("interfaces of two modules have index {index}"),
            others => format!("interfaces of {} modules have index {index}", others + 2),
        };
        let diagnostic = Diagnostic::new(Code::SharedIndex, message)
            .at(*place, name(second))
            .note(*there, name(first));
        let shown = more.iter().take(SHOWN);
        let diagnostic = shown.fold(diagnostic, |diagnostic, (interface, place)| {
            diagnostic.note(*place, name(interface))
        });
        sink.push(diagnostic.help("a gateway routes by index only: give one of them another index with `[index=N]` or an index file"));
    }
}
