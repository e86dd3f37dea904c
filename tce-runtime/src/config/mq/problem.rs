//! What is wrong with a file: every mistake, with its line.

use std::{collections::BTreeSet, error::Error, fmt};

/// Past this many, nobody reads on, and a hostile file costs no more.
const TOLD: usize = 100;

/// The longest name that a suggestion is looked for: telling two names apart
/// takes time by the product of their lengths.
const COMPARED: usize = 64;

/// One mistake, or one thing that was passed over.
///
/// Shown as `config.yml:12: what is wrong; what would be right`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MqConfigProblem {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; none where the file as a whole is meant.
    pub line: Option<usize>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for MqConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// Every mistake of a `config.yml`, in the order of its lines: shown, each
/// takes a line of its own. Of a file with more than a hundred, a hundred are
/// told and the rest counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqConfigErrors(Vec<MqConfigProblem>);

impl MqConfigErrors {
    pub(super) fn one(file: &str, line: Option<usize>, message: impl Into<String>) -> Self {
        Self(vec![Report::new(file).problem(line, message.into())])
    }

    /// The mistakes; at least one.
    pub fn problems(&self) -> &[MqConfigProblem] {
        &self.0
    }
}

impl fmt::Display for MqConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let border = if index == 0 { "" } else { "\n" };
            write!(f, "{border}{problem}")?;
        }
        Ok(())
    }
}

impl Error for MqConfigErrors {}

/// Collects problems while a file is read.
///
/// A set: what a definition and its use both stumble over is told once.
#[derive(Debug)]
pub(super) struct Report {
    file: String,
    errors: BTreeSet<MqConfigProblem>,
    untold: usize,
    warnings: BTreeSet<MqConfigProblem>,
}

impl Report {
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: file.escape_debug().to_string(),
            errors: BTreeSet::new(),
            untold: 0,
            warnings: BTreeSet::new(),
        }
    }

    pub(super) fn error(&mut self, line: impl Into<Option<usize>>, message: impl Into<String>) {
        if self.errors.len() < TOLD {
            let problem = self.problem(line.into(), message.into());
            self.errors.insert(problem);
        } else {
            self.untold += 1;
        }
    }

    pub(super) fn warn(&mut self, line: impl Into<Option<usize>>, message: impl Into<String>) {
        if self.warnings.len() < TOLD {
            let problem = self.problem(line.into(), message.into());
            self.warnings.insert(problem);
        }
    }

    fn problem(&self, line: Option<usize>, message: String) -> MqConfigProblem {
        MqConfigProblem {
            file: self.file.clone(),
            line,
            message,
        }
    }

    /// ``; did you mean `port`?`` where a candidate is close to `name`.
    pub(super) fn suggestion<'a>(
        &self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<String> {
        if self.errors.len() >= TOLD || self.warnings.len() >= TOLD {
            return None;
        }
        let close = nearest(name, candidates)?;
        Some(format!("; did you mean {}?", quoted(close)))
    }

    /// The warnings, where there is no error.
    pub(super) fn finish(self) -> Result<Vec<MqConfigProblem>, MqConfigErrors> {
        if self.errors.is_empty() {
            return Ok(self.warnings.into_iter().collect());
        }
        let rest = (self.untold > 0)
            .then(|| self.problem(None, format!("and {} more mistakes", self.untold)));
        Err(MqConfigErrors(
            self.errors.into_iter().chain(rest).collect(),
        ))
    }
}

/// `text` in backticks, cut to a length that a line can bear, and with what
/// could break the line escaped.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 100;
    let shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    let cut = if text.chars().nth(SHOWN).is_some() {
        "…"
    } else {
        ""
    };
    format!("`{shown}{cut}`")
}

fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > COMPARED {
        return None;
    }
    let lower = name.to_lowercase();
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= COMPARED)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}
