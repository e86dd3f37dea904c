//! Indices tell interfaces and operations apart.

use std::collections::{BTreeMap, HashMap};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{Interface, ModuleId};
use crate::resolve::Program;
use crate::source::Span;

/// The index of the built-in interface.
const BUILT_IN: u16 = u16::MAX;

/// How many modules are shown that have an index, beside the first two.
const SHOWN: usize = 3;

pub(super) fn check(program: &Program<'_>, sink: &mut Diagnostics) {
    reserved(program, sink);
    operations(program, sink);
    // Positions count for nothing while an interface may be missing among them.
    if program.origin.broken.is_empty() {
        interfaces(program, sink);
        shared(program, sink);
    }
}

/// Every interface, with the place that gave it its index.
fn placed<'p>(program: &'p Program<'_>) -> impl Iterator<Item = (&'p Interface, Span)> {
    let interfaces = program.model.interfaces.iter();
    interfaces.map(|it| (it, it.index_place.or_name(it.span)))
}

fn reserved(program: &Program<'_>, sink: &mut Diagnostics) {
    for (interface, place) in placed(program).filter(|(interface, _)| interface.index == BUILT_IN) {
        let message = format!("interface `{}` can't have index {BUILT_IN}", interface.name);
        let diagnostic = Diagnostic::new(Code::ReservedIndex, message)
            .at(place, "reserved for the built-in interface");
        sink.push(diagnostic.help("choose a number from 0 to 65534"));
    }
}

fn operations(program: &Program<'_>, sink: &mut Diagnostics) {
    let origins = program.origin.interfaces.iter();
    let interfaces = program.model.interfaces.iter().zip(origins);
    for (interface, _) in interfaces.filter(|(_, from)| !from.broken) {
        let mut seen: HashMap<u16, (&str, Span)> = HashMap::new();
        for operation in &interface.operations {
            let place = operation.index_place.or_name(operation.span);
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
                sink.push(explained(
                    diagnostic.note(*there, format!("`{first}` has it too")),
                ));
            } else {
                seen.insert(operation.index, (&operation.name, place));
            }
        }
    }
}

fn interfaces(program: &Program<'_>, sink: &mut Diagnostics) {
    let mut seen: HashMap<(ModuleId, u16), (&str, Span)> = HashMap::new();
    for (interface, place) in placed(program) {
        let name = interface.name.as_str();
        if let Some((first, there)) = seen.get(&(interface.module, interface.index)) {
            let module = &program.model.module(interface.module).name;
            let message = format!(
                "interfaces `{first}` and `{name}` of module `{module}` have the same index"
            );
            let diagnostic = Diagnostic::new(Code::DuplicateInterfaceIndex, message);
            let diagnostic =
                diagnostic.at(place, format!("`{name}` has index {}", interface.index));
            sink.push(explained(
                diagnostic.note(*there, format!("`{first}` has it too")),
            ));
        } else {
            seen.insert((interface.module, interface.index), (name, place));
        }
    }
}

fn explained(diagnostic: Diagnostic) -> Diagnostic {
    diagnostic.help("without `[index=N]` an index is the position, from 0; an explicit one does not move the others")
}

/// One warning an index, with every module that has it.
fn shared(program: &Program<'_>, sink: &mut Diagnostics) {
    let mut users: BTreeMap<u16, Vec<(&Interface, Span)>> = BTreeMap::new();
    for (interface, place) in placed(program) {
        let users = users.entry(interface.index).or_default();
        if users
            .iter()
            .all(|(other, _)| other.module != interface.module)
        {
            users.push((interface, place));
        }
    }
    for (index, users) in users {
        let says = |interface: &Interface| {
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
            .at(*place, says(second))
            .note(*there, says(first));
        let shown = more.iter().take(SHOWN);
        let diagnostic = shown.fold(diagnostic, |diagnostic, (interface, place)| {
            diagnostic.note(*place, says(interface))
        });
        sink.push(diagnostic.help("a gateway routes by index alone: give one of them another by `[index=N]` or an index file"));
    }
}
