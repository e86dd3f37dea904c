//! Rules about modules and imports.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::{Findings, Level, Rule, Subject};

pub(super) const RULE: Rule = Rule {
    code: Code::SeveralModules,
    level: Level::Warn,
    why: "An import names a file, and a type names a module: where both have one name, a reader \
          finds the one by the other. Legacy compilers write one file for each IDL, which holds \
          one module.",
    bad: include_str!("../examples/several_modules.bad.idl"),
    good: include_str!("../examples/several_modules.good.idl"),
    check,
};

fn check(subject: &Subject<'_>, found: &mut Findings<'_>) {
    for file in subject.files() {
        let mut seen: HashSet<&str> = HashSet::new();
        let first = file.modules.first().map(|module| &module.name);
        for name in file.modules.iter().map(|module| &module.name) {
            if !seen.insert(&name.text) {
                continue;
            }
            if let Some(first) = first.filter(|first| first.text != name.text) {
                let message = format!("this file opens module `{}` too", name.text);
                let diagnostic = Diagnostic::new(Code::SeveralModules, message).at(name.span, "");
                let diagnostic =
                    diagnostic.note(first.span, format!("the first is `{}`", first.text));
                found.push(diagnostic.help("give each module a file, and import it"));
            }
        }
    }
}

pub(super) const RULE: Rule = Rule {
    code: Code::EmptyModule,
    level: Level::Warn,
    why: "An opening without elements adds nothing. It is often what is left of a module that \
          moved, or one that somebody means to write.",
    bad: include_str!("../examples/empty_module.bad.idl"),
    good: include_str!("../examples/empty_module.good.idl"),
    check,
};

fn check(subject: &Subject<'_>, found: &mut Findings<'_>) {
    for module in subject
        .modules()
        .filter(|module| module.elements.is_empty())
    {
        let message = format!("module `{}` has nothing in it", module.name.text);
        let diagnostic = Diagnostic::new(Code::EmptyModule, message).at(module.name.span, "");
        found.push(diagnostic.help("remove it"));
    }
}

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
