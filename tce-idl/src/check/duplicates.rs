//! Members, operations and parameters have names of their own.

use std::collections::HashMap;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::resolve::Program;
use crate::source::Span;
use crate::syntax::ast::Name;

pub(super) fn check(program: &Program<'_>, sink: &mut Diagnostics) {
    for from in &program.origin.structs {
        let what = format!("struct `{}` has two members", from.name.text);
        unique(
            from.members.iter().map(|it| &it.name),
            Code::DuplicateMember,
            &what,
            sink,
        );
    }
    for from in &program.origin.interfaces {
        let what = format!("interface `{}` has two operations", from.name.text);
        unique(
            from.operations.iter().map(|it| &it.name),
            Code::DuplicateOperation,
            &what,
            sink,
        );
        for operation in &from.operations {
            let what = format!("operation `{}` has two parameters", operation.name.text);
            unique(
                operation.parameters.iter().map(|it| &it.name),
                Code::DuplicateParameter,
                &what,
                sink,
            );
        }
    }
}

fn unique<'a>(
    names: impl Iterator<Item = &'a Name>,
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
            Code::DuplicateOperation => diagnostic
                .help("rename one of them: operations are not told apart by their parameters"),
            _ => diagnostic.help("rename one of them"),
        });
    }
}
