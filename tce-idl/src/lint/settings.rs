//! What the linter is told.

use std::collections::BTreeMap;

use super::{Language, rules, switchable};
use crate::diagnostic::Code;

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
