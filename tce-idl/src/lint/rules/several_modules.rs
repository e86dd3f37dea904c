//! Files that open more than one module

use std::collections::HashSet;

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
