//! Rules about modules and imports.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::{Findings, Level, LintContext, Rule};

pub(super) const SEVERAL_MODULES: Rule = Rule {
    code: Code::SeveralModules,
    level: Level::Warn,
    why: "An import names a file, a type its module: with one module a file, and the same name for \
          both, a reader finds the file of a type. Legacy compilers write one file for each IDL, \
          with a single module.",
    bad: include_str!("../examples/several_modules.bad.idl"),
    good: include_str!("../examples/several_modules.good.idl"),
    check: check_several_modules,
};

fn check_several_modules(context: &LintContext<'_>, found: &mut Findings<'_>) {
    for file in context.files() {
        let mut seen: HashSet<&str> = HashSet::new();
        let first = file.modules.first().map(|module| &module.name);
        for name in file.modules.iter().map(|module| &module.name) {
            if !seen.insert(&name.text) {
                continue;
            }
            if let Some(first) = first.filter(|first| first.text != name.text) {
                let message = format!("this file also opens module `{}`", name.text);
                let diagnostic = Diagnostic::new(Code::SeveralModules, message).at(name.span, "");
                let diagnostic =
                    diagnostic.note(first.span, format!("the first module is `{}`", first.text));
                found.push(diagnostic.help("move each module to its own file, and import it"));
            }
        }
    }
}

pub(super) const EMPTY_MODULE: Rule = Rule {
    code: Code::EmptyModule,
    level: Level::Warn,
    why: "A module without elements declares nothing. It is often the rest of a module that was \
          moved, or a module that is not written yet.",
    bad: include_str!("../examples/empty_module.bad.idl"),
    good: include_str!("../examples/empty_module.good.idl"),
    check: check_empty_module,
};

fn check_empty_module(context: &LintContext<'_>, found: &mut Findings<'_>) {
    for module in context
        .modules()
        .filter(|module| module.elements.is_empty())
    {
        let message = format!("module `{}` is empty", module.name.text);
        let diagnostic = Diagnostic::new(Code::EmptyModule, message).at(module.name.span, "");
        found.push(diagnostic.help("remove it"));
    }
}

pub(super) const DUPLICATE_IMPORT: Rule = Rule {
    code: Code::DuplicateImport,
    level: Level::Warn,
    why: "A file is read once, however often it is imported, so that the second import has no effect.",
    bad: include_str!("../examples/duplicate_import.bad.idl"),
    good: include_str!("../examples/duplicate_import.good.idl"),
    check: check_duplicate_import,
};

fn check_duplicate_import(context: &LintContext<'_>, found: &mut Findings<'_>) {
    for file in context.files() {
        let mut seen = HashMap::new();
        for name in &file.imports {
            let Some(first) = seen.insert(&name.text, name.span) else {
                continue;
            };
            let message = format!("`{}` is imported twice", name.text);
            let diagnostic = Diagnostic::new(Code::DuplicateImport, message).at(name.span, "");
            found.push(
                diagnostic
                    .note(first, "first imported here")
                    .help("remove one of them"),
            );
        }
    }
}
