//! Rules for what is right and yet better otherwise: names, indices that a
//! move would change, what legacy compilers refuse.
//!
//! A rule is data: its code, what it is about, an example. Its findings are
//! diagnostics like any other. The warnings of the compiler can be switched in
//! the same way. In a file, `// tce-lint: allow(rule)` switches rules off: on a
//! line of its own for the declaration that follows, with all inside of it;
//! behind something, for that line.

mod allow;
mod language;
mod rules;
mod settings;
mod subject;

pub use language::Language;
pub use settings::{Level, Settings};
pub(crate) use subject::{Subject, given};

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Severity};
use allow::Allowed;

/// One rule of the linter.
#[derive(Debug)]
pub struct Rule {
    /// Its code, with its name and what it is about in one line.
    pub code: Code,
    /// What it is set to unless settings say otherwise.
    pub level: Level,
    /// Why it exists, and what to do: sentences for people.
    pub why: &'static str,
    /// An `.idl` file that it has something to say of.
    pub bad: &'static str,
    /// The same, as the rule wants it.
    pub good: &'static str,
    /// Reports what it finds.
    check: fn(&Subject<'_>, &mut Findings<'_>),
}

/// The rules of the linter, by code.
#[must_use]
pub fn rules() -> &'static [&'static Rule] {
    rules::ALL
}

/// The codes that can be switched: those of the rules, and warnings of the compiler.
pub fn switchable() -> impl Iterator<Item = Code> {
    let all = Code::ALL.iter().copied();
    all.filter(|code| {
        code.severity() == Severity::Warning && !matches!(code, Code::MoreWarnings | Code::Layout)
    })
}

/// The rules' findings beside what the compiler has said, at the levels of `settings`.
pub(crate) fn judge(subject: &Subject<'_>, settings: &Settings, said: Diagnostics) -> Diagnostics {
    let (allowed, odd) = allow::comments(subject);
    let mut found = Findings {
        settings,
        allowed,
        judged: Diagnostics::default(),
    };
    for diagnostic in said.into_list().into_iter().chain(odd) {
        found.push(diagnostic);
    }
    let wanted = |rule: &&&Rule| settings.level(rule.code) != Level::Allow;
    for rule in rules().iter().filter(wanted) {
        (rule.check)(subject, &mut found);
    }
    found.judged
}

/// What the rules have found, but for what is allowed.
struct Findings<'s> {
    settings: &'s Settings,
    allowed: Allowed,
    judged: Diagnostics,
}

impl Findings<'_> {
    /// Adds a finding, as severe as the settings want it.
    fn push(&mut self, finding: Diagnostic) {
        let severity = match self.settings.level(finding.code) {
            Level::Allow => return,
            Level::Warn => Severity::Warning,
            Level::Deny => Severity::Error,
        };
        if !self.allowed.covers(&finding) {
            self.judged.push(Diagnostic {
                severity,
                ..finding
            });
        }
    }
}
