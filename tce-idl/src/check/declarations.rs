//! Rules about single declarations: structs and interfaces are not empty, names
//! are unique, operations are not redeclared, dictionary keys have an allowed type.

use std::collections::HashMap;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::{EnumMember, InterfaceId, Type};
use crate::resolve::ResolvedProgram;
use crate::source::Span;
use crate::syntax::ast::{Identifier, TypeName};

pub(super) fn check(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    check_not_empty(program, sink);
    check_unique_names(program, sink);
    check_enum_numbers(program, sink);
    check_not_redeclared(program, sink);
    check_key_types(program, sink);
}

fn check_not_empty(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    for from in &program.ast.structs {
        if from.members.is_empty() && !from.broken {
            let message = format!("struct `{}` has no members", from.name.text);
            let diagnostic = Diagnostic::new(Code::EmptyStruct, message).at(from.name.span, "");
            sink.push(diagnostic.help("add a member, or remove the struct"));
        }
    }
    for from in &program.ast.enums {
        if from.members.is_empty() && !from.broken {
            let message = format!("enum `{}` has no members", from.name.text);
            let diagnostic = Diagnostic::new(Code::EmptyEnum, message).at(from.name.span, "");
            sink.push(diagnostic.help("add a member, or remove the enum"));
        }
    }
    for from in &program.ast.interfaces {
        if from.operations.is_empty() && !from.broken {
            let message = format!(
                "interface `{}` has no operations of its own",
                from.name.text
            );
            let diagnostic = Diagnostic::new(Code::EmptyInterface, message).at(from.name.span, "");
            sink.push(diagnostic.help("add an operation, or remove the interface"));
        }
    }
}

fn check_unique_names(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    for from in &program.ast.structs {
        let what = format!("struct `{}` has two members", from.name.text);
        report_duplicates(
            from.members.iter().map(|it| &it.name),
            Code::DuplicateMember,
            &what,
            sink,
        );
    }
    for from in &program.ast.exceptions {
        let what = format!("exception `{}` has two members", from.name.text);
        report_duplicates(
            from.members.iter().map(|it| &it.name),
            Code::DuplicateMember,
            &what,
            sink,
        );
    }
    for from in &program.ast.enums {
        let what = format!("enum `{}` has two members", from.name.text);
        report_duplicates(
            from.members.iter().map(|it| &it.name),
            Code::DuplicateEnumMember,
            &what,
            sink,
        );
    }
    for from in &program.ast.interfaces {
        let what = format!("interface `{}` has two operations", from.name.text);
        report_duplicates(
            from.operations.iter().map(|it| &it.name),
            Code::DuplicateOperation,
            &what,
            sink,
        );
        for operation in &from.operations {
            let what = format!("operation `{}` has two parameters", operation.name.text);
            report_duplicates(
                operation.parameters.iter().map(|it| &it.name),
                Code::DuplicateParameter,
                &what,
                sink,
            );
        }
    }
}

fn report_duplicates<'a>(
    names: impl Iterator<Item = &'a Identifier>,
    code: Code,
    what: &str,
    sink: &mut Diagnostics,
) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for name in names {
        let Some(first) = seen.get(name.text.as_str()) else {
            seen.insert(&name.text, name.span);
            continue;
        };
        let diagnostic = Diagnostic::new(code, format!("{what} called `{}`", name.text));
        let diagnostic = diagnostic
            .at(name.span, "defined again here")
            .note(*first, "first defined here");
        sink.push(match code {
            Code::DuplicateOperation => {
                diagnostic.help("rename one of them: TCE has no overloading")
            }
            _ => diagnostic.help("rename one of them"),
        });
    }
}

/// Reports numbers that two members of an enum have: a number would have two names.
fn check_enum_numbers(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    for it in &program.model.enums {
        let mut seen: HashMap<i32, &EnumMember> = HashMap::new();
        for member in &it.members {
            let Some(first) = seen.get(&member.number) else {
                seen.insert(member.number, member);
                continue;
            };
            // Two members of one name are reported as such.
            if first.name == member.name {
                continue;
            }
            let message = format!(
                "`{}` and `{}` have the same number {}",
                first.name, member.name, member.number
            );
            let diagnostic = Diagnostic::new(Code::DuplicateEnumNumber, message)
                .at(member.span, "the number again")
                .note(first.span, "it has the number first");
            sink.push(diagnostic.help(
                "give each its own number; without `= NUMBER`, it is one more than that of the member before",
            ));
        }
    }
}

/// Reports operations that a base declares too. Walks down from each interface
/// without a base, so that a long chain of bases is visited once, not once for
/// each of its interfaces.
fn check_not_redeclared(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    let interfaces = &program.model.interfaces;
    let mut derived: Vec<Vec<usize>> = vec![Vec::new(); interfaces.len()];
    let mut open = Vec::new();
    for (at, interface) in interfaces.iter().enumerate() {
        match interface.base {
            Some(InterfaceId(base)) => derived[base as usize].push(at),
            None => open.push(TraversalStep::Enter(at)),
        }
    }
    let mut inherited: HashMap<&str, (usize, usize)> = HashMap::new();
    while let Some(step) = open.pop() {
        match step {
            TraversalStep::Enter(at) => {
                open.push(TraversalStep::Leave(at));
                for (position, operation) in interfaces[at].operations.iter().enumerate() {
                    match inherited.get(operation.name.as_str()) {
                        Some((base, first)) if *base != at => {
                            sink.push(redeclared(program, (at, position), (*base, *first)));
                        }
                        Some(_) => {}
                        None => {
                            inherited.insert(&operation.name, (at, position));
                        }
                    }
                }
                open.extend(
                    derived[at]
                        .iter()
                        .map(|derived| TraversalStep::Enter(*derived)),
                );
            }
            TraversalStep::Leave(at) => {
                let own = |name: &str| inherited.get(name).is_some_and(|(owner, _)| *owner == at);
                let leaving = interfaces[at]
                    .operations
                    .iter()
                    .map(|operation| operation.name.as_str());
                for name in leaving.filter(|name| own(name)).collect::<Vec<_>>() {
                    inherited.remove(name);
                }
            }
        }
    }
}

/// A step of the depth-first walk through interfaces and those that extend them.
enum TraversalStep {
    Enter(usize),
    Leave(usize),
}

/// The operation `here` has the name of the one `there`; both are an interface and a position in it.
fn redeclared(
    program: &ResolvedProgram<'_>,
    here: (usize, usize),
    there: (usize, usize),
) -> Diagnostic {
    let operation = |(interface, position): (usize, usize)| {
        &program.ast.interfaces[interface].operations[position]
    };
    let base = &program.ast.interfaces[there.0].name.text;
    let name = &operation(here).name;
    let message = format!(
        "`{}` is inherited from `{base}` and can't be redeclared",
        name.text
    );
    let diagnostic =
        Diagnostic::new(Code::InheritedOperation, message).at(name.span, "redeclared here");
    let diagnostic = diagnostic.note(
        operation(there).name.span,
        format!("declared in `{base}` here"),
    );
    diagnostic.help("remove it: a servant of this interface implements the inherited operation")
}

/// Legacy compilers accept it.
fn float_key(key: &TypeName) -> Diagnostic {
    let message = format!("`{}` should not be the key of a dictionary", key.name.text);
    let why = "floating-point numbers can't be compared reliably";
    let diagnostic = Diagnostic::new(Code::FloatKey, message).at(key.span, why);
    diagnostic.help("in Rust such a dictionary is a list of pairs; use a `long` or a `string`")
}

fn check_key_types(program: &ResolvedProgram<'_>, sink: &mut Diagnostics) {
    for (it, from) in program
        .model
        .dictionaries
        .iter()
        .zip(&program.ast.dictionaries)
    {
        let why = match it.key {
            Type::Byte
            | Type::Bool
            | Type::Short
            | Type::Int
            | Type::Long
            | Type::String
            | Type::Enum(_) => continue,
            Type::Float | Type::Double => {
                sink.push(float_key(&from.key));
                continue;
            }
            Type::Struct(_) => "it is a struct",
            Type::Sequence(_) => "it is a sequence",
            Type::Dictionary(_) => "it is a dictionary",
        };
        let message = format!("`{}` can't be the key of a dictionary", from.key.name.text);
        let diagnostic = Diagnostic::new(Code::DictionaryKey, message).at(from.key.span, why);
        sink.push(
            diagnostic
                .help("a key is a `byte`, `bool`, `short`, `int`, `long`, `string` or an enum"),
        );
    }
}
