//! `// tce-lint: allow(…)` with a name that is none

use crate::diagnostic::Code;
use crate::lint::{Level, Rule};

pub(super) const RULE: Rule = Rule {
    code: Code::LintComment,
    level: Level::Warn,
    why: "A misspelt name allows nothing. Write `// tce-lint: allow(rule, …)`, with names or codes \
          of rules, on the line before a declaration or behind something on its line.",
    bad: include_str!("../examples/lint_comment.bad.idl"),
    good: include_str!("../examples/lint_comment.good.idl"),
    // Whoever reads the comments, for every rule, reports them too.
    check: |_, _| {},
};
