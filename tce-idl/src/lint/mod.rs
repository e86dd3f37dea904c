//! Rules for what is right and yet better otherwise: names, indices that a
//! move would change, what legacy compilers refuse.
//!
//! A rule is data: its code, what it is about, an example. Its findings are
//! diagnostics like any other. The warnings of the compiler can be switched in
//! the same way. In a file, `// tce-lint: allow(rule)` switches rules off: on a
//! line of its own for the declaration that follows, with all inside of it;
//! behind something, for that line.

mod language;
mod subject;
mod allow;
mod rules;

use std::collections::BTreeMap;

pub use language::Language;
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

/// What becomes of a rule's findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nobody hears of them.
    Allow,
    /// They are warnings.
    Warn,
    /// They are errors.
    Deny,
}

impl Level {
    /// `allow`, `warn` or `deny`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }
}

/// The levels of the rules, and what some of them need to know.
#[derive(Debug, Clone)]
pub struct Settings {
    levels: BTreeMap<Code, Level>,
    pub(crate) languages: Vec<Language>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            levels: BTreeMap::new(),
            languages: Language::ALL.to_vec(),
        }
    }
}

impl Settings {
    /// Every rule at its own level.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the level of a rule, or of a warning of the compiler.
    #[must_use]
    pub fn with(mut self, code: Code, level: Level) -> Self {
        self.levels.insert(code, level);
        self
    }

    /// Sets the languages whose keywords are no good names: all, unless set.
    #[must_use]
    pub fn with_languages(mut self, languages: impl Into<Vec<Language>>) -> Self {
        self.languages = languages.into();
        self
    }

    /// The level of a rule, or of a warning of the compiler.
    #[must_use]
    pub fn level(&self, code: Code) -> Level {
        let own = || rules().iter().find(|rule| rule.code == code);
        let set = self.levels.get(&code).copied();
        set.unwrap_or_else(|| own().map_or(Level::Warn, |rule| rule.level))
    }

    /// The code with this name or number, if it can be switched.
    #[must_use]
    pub fn find(name: &str) -> Option<Code> {
        switchable().find(|code| code.name() == name || code.id() == name)
    }
}
