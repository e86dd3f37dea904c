//! `struct Pet`, not `struct pet`

use super::case;
use crate::diagnostic::Code;
use crate::lint::{Level, Rule};
use crate::names::Kind;

pub(super) const RULE: Rule = Rule {
    code: Code::TypeCase,
    level: Level::Warn,
    why: "Types begin with a capital in every language that code is generated for. A back end that has to change the case makes a second name, which nobody finds by searching for the first.",
    bad: include_str!("../examples/type_case.bad.idl"),
    good: include_str!("../examples/type_case.good.idl"),
    check: |subject, found| {
        case::check(
            Code::TypeCase,
            &case::UPPER_CAMEL,
            &[
                Kind::Struct,
                Kind::Sequence,
                Kind::Dictionary,
                Kind::Interface,
            ],
            subject,
            found,
        );
    },
};
