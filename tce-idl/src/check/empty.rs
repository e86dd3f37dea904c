//! A struct has a member, an interface an operation.

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::resolve::Program;

pub(super) fn check(program: &Program<'_>, sink: &mut Diagnostics) {
    for from in &program.origin.structs {
        if from.members.is_empty() && !from.broken {
            let message = format!("struct `{}` has no members", from.name.text);
            let diagnostic = Diagnostic::new(Code::EmptyStruct, message).at(from.name.span, "");
            sink.push(diagnostic.help("give it one, or leave the struct out"));
        }
    }
    for from in &program.origin.interfaces {
        if from.operations.is_empty() && !from.broken {
            let message = format!(
                "interface `{}` has no operations of its own",
                from.name.text
            );
            let diagnostic = Diagnostic::new(Code::EmptyInterface, message).at(from.name.span, "");
            sink.push(diagnostic.help("give it one, or leave the interface out"));
        }
    }
}
