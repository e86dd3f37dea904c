//! `string userName` or `string user_name`

use super::case;
use crate::diagnostic::Code;
use crate::lint::{Level, Rule};
use crate::names::Kind;

pub(super) const RULE: Rule = Rule {
    code: Code::MemberCase,
    level: Level::Warn,
    why: "As with operations, lowerCamelCase and snake_case are both fine, and mixing them in one name is not.",
    bad: include_str!("../examples/member_case.bad.idl"),
    good: include_str!("../examples/member_case.good.idl"),
    check: |subject, found| {
        case::check(
            Code::MemberCase,
            &case::CAMEL_OR_SNAKE,
            &[Kind::Member, Kind::Parameter],
            subject,
            found,
        );
    },
};
