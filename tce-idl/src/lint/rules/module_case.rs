//! `module shop`, not `module Shop`

use super::case;
use crate::diagnostic::Code;
use crate::lint::{Level, Rule};
use crate::names::Kind;

pub(super) const RULE: Rule = Rule {
    code: Code::ModuleCase,
    level: Level::Warn,
    why: "A module becomes a module, package or namespace, and often a file. Where the file system knows no case, two spellings are one file.",
    bad: include_str!("../examples/module_case.bad.idl"),
    good: include_str!("../examples/module_case.good.idl"),
    check: |subject, found| {
        case::check(
            Code::ModuleCase,
            &case::LOWER,
            &[Kind::Module],
            subject,
            found,
        );
    },
};
