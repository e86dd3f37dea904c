//! Files that open more than one module

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::lint::{Level, Rule, Subject};
use crate::syntax::ast::Name;

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

fn check(subject: &Subject<'_>, sink: &mut Diagnostics) {
    for file in subject.files() {
        let mut seen: Vec<&Name> = Vec::new();
        for module in &file.modules {
            let name = &module.name;
            if seen.iter().any(|other| other.text == name.text) {
                continue;
            }
            if let Some(first) = seen.first() {
                let message = format!("this file opens module `{}` too", name.text);
                let diagnostic = Diagnostic::new(Code::SeveralModules, message).at(name.span, "");
                let diagnostic =
                    diagnostic.note(first.span, format!("the first is `{}`", first.text));
                sink.push(diagnostic.help("give each module a file, and import it"));
            }
            seen.push(name);
        }
    }
}
