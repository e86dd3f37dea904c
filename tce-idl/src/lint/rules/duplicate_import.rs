//! The same import twice

use std::collections::HashMap;

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::{Findings, Level, Rule, Subject};

pub(super) const RULE: Rule = Rule {
    code: Code::DuplicateImport,
    level: Level::Warn,
    why: "A file is read once however often it is imported, so the second import does nothing.",
    bad: include_str!("../examples/duplicate_import.bad.idl"),
    good: include_str!("../examples/duplicate_import.good.idl"),
    check,
};

fn check(subject: &Subject<'_>, found: &mut Findings<'_>) {
    for file in subject.files() {
        let mut seen = HashMap::new();
        for name in &file.imports {
            let Some(first) = seen.insert(&name.text, name.span) else {
                continue;
            };
            let message = format!("`{}` is imported twice", name.text);
            let diagnostic = Diagnostic::new(Code::DuplicateImport, message).at(name.span, "");
            found.push(
                diagnostic
                    .note(first, "imported here already")
                    .help("remove one of them"),
            );
        }
    }
}
