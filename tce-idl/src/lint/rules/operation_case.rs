//! `void onMessage()` or `void on_message()`

use super::case;
use crate::diagnostic::Code;
use crate::lint::{Level, Rule};
use crate::names::Kind;

pub(super) const RULE: Rule = Rule {
    code: Code::OperationCase,
    level: Level::Warn,
    why: "Both ways are common in TCE, so both are fine. A name that mixes them, or begins with a capital, reads as a type, and becomes yet another name in languages that spell operations in one way.",
    bad: include_str!("../examples/operation_case.bad.idl"),
    good: include_str!("../examples/operation_case.good.idl"),
    check: |subject, found| {
        case::check(
            Code::OperationCase,
            &case::CAMEL_OR_SNAKE,
            &[Kind::Operation],
            subject,
            found,
        );
    },
};
