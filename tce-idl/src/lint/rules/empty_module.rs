//! `module m {}`

use crate::diagnostic::{Code, Diagnostic};
use crate::lint::{Findings, Level, Rule, Subject};

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
