//! Rules for valid IDL that can be improved: names, indices that depend on
//! positions, constructs that legacy compilers reject.
//!
//! A rule is data: its code, its reason, examples. Its findings are ordinary
//! diagnostics. The warnings of the compiler can be switched like rules. In a
//! file, the comment `// tce-lint: allow(rule)` switches rules off: on its own
//! line for the whole declaration that follows, at the end of a line for that line.

mod language;
mod context;
mod allow;
mod rules;

use std::collections::BTreeMap;

pub(crate) use context::{LintContext, checked_files};
pub use language::Language;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, Severity};
use allow::Suppressions;

/// How the findings of a rule are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The findings are not reported.
    Allow,
    /// The findings are warnings.
    Warn,
    /// The findings are errors.
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

/// The levels of the rules, and the parameters of some.
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
    /// Every rule at its default level.
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

    /// Sets the languages whose keywords should not be used as names. By default all.
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

    /// The switchable code with this name or number.
    #[must_use]
    pub fn find(name: &str) -> Option<Code> {
        switchable().find(|code| code.name() == name || code.id() == name)
    }
}

/// One rule of the linter.
#[derive(Debug)]
pub struct Rule {
    /// Its code, which has its name and a summary.
    pub code: Code,
    /// Its default level.
    pub level: Level,
    /// Why it exists, and what to do about a finding, as sentences.
    pub why: &'static str,
    /// An `.idl` file that breaks the rule.
    pub bad: &'static str,
    /// The same file without findings.
    pub good: &'static str,
    /// Reports the findings.
    check: fn(&LintContext<'_>, &mut Findings<'_>),
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

/// Applies the rules, and the levels of `settings` to their findings and the
/// warnings of the compiler.
pub(crate) fn apply(
    context: &LintContext<'_>,
    settings: &Settings,
    reported: Diagnostics,
) -> Diagnostics {
    let (suppressions, malformed) = allow::read_comments(context);
    let mut found = Findings {
        settings,
        suppressions,
        reported: Diagnostics::default(),
    };
    for diagnostic in reported.into_list().into_iter().chain(malformed) {
        found.push(diagnostic);
    }
    let is_enabled = |rule: &&&Rule| settings.level(rule.code) != Level::Allow;
    for rule in rules().iter().filter(is_enabled) {
        (rule.check)(context, &mut found);
    }
    found.reported
}

/// The findings of all rules, except for allowed ones.
struct Findings<'s> {
    settings: &'s Settings,
    suppressions: Suppressions,
    reported: Diagnostics,
}

impl Findings<'_> {
    /// Adds a finding with the severity of its level.
    fn push(&mut self, finding: Diagnostic) {
        let severity = match self.settings.level(finding.code) {
            Level::Allow => return,
            Level::Warn => Severity::Warning,
            Level::Deny => Severity::Error,
        };
        if !self.suppressions.cover(&finding) {
            self.reported.push(Diagnostic {
                severity,
                ..finding
            });
        }
    }
}
