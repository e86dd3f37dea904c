//! What is wrong with a configuration file: every mistake, with its place.

use std::{collections::BTreeSet, error::Error, fmt};

/// Past this many, nobody reads on, and a hostile file costs no more.
const TOLD: usize = 100;

/// The longest name that a suggestion is looked for: telling two names apart
/// takes time by the product of their lengths.
const COMPARED: usize = 64;

/// The most names that are looked through, for the same reason.
const CANDIDATES: usize = 1000;

/// Where in a file: nowhere in particular, on a line, or at a column of it.
///
/// Made of nothing, a line, or a line and a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// The line, from 1; none where the file as a whole is meant.
    pub line: Option<usize>,
    /// The column in characters, from 1; none where the line as a whole is
    /// meant.
    pub column: Option<usize>,
}

impl From<Option<usize>> for Place {
    fn from(line: Option<usize>) -> Self {
        Self { line, column: None }
    }
}

impl From<usize> for Place {
    fn from(line: usize) -> Self {
        Self::from(Some(line))
    }
}

impl From<(usize, usize)> for Place {
    fn from((line, column): (usize, usize)) -> Self {
        Self {
            line: Some(line),
            column: Some(column),
        }
    }
}

/// One mistake, or one thing that was passed over.
///
/// Shown as `config.yml:12: what is wrong; what would be right`, with the
/// column behind the line where it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, as it was named; or what else said it, as a variable of the
    /// environment.
    pub file: String,
    /// Where in the file.
    pub place: Place,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        for number in [self.place.line, self.place.column].into_iter().flatten() {
            write!(f, "{number}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// Every mistake of a file, in the order of its lines: shown, each takes a
/// line of its own. Of a file with more than a hundred, a hundred are told and
/// the rest counted.
#[derive(Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// One mistake, for which nothing else could be looked at.
    pub fn one(file: &str, place: impl Into<Place>, message: impl Into<String>) -> Self {
        Self(vec![problem(file, place.into(), message.into())])
    }

    /// The mistakes; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let border = if index == 0 { "" } else { "\n" };
            write!(f, "{border}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Problems {
    /// As for people: it is what `main` prints of an error that it returns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Problems {}

/// Collects problems while a file is read.
///
/// A set: what a definition and its use both stumble over is told once. Of
/// errors and of warnings a hundred each are told.
#[derive(Debug)]
pub struct Report {
    file: String,
    errors: BTreeSet<Problem>,
    untold: usize,
    warnings: BTreeSet<Problem>,
}

impl Report {
    /// Nothing found yet in `file`.
    pub fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            errors: BTreeSet::new(),
            untold: 0,
            warnings: BTreeSet::new(),
        }
    }

    /// A mistake in the file.
    pub fn error(&mut self, place: impl Into<Place>, message: impl Into<String>) {
        let problem = problem(&self.file, place.into(), message.into());
        self.insert_error(problem);
    }

    /// Something in the file that does no harm, and likely not what was meant.
    pub fn warn(&mut self, place: impl Into<Place>, message: impl Into<String>) {
        let problem = problem(&self.file, place.into(), message.into());
        self.insert_warning(problem);
    }

    /// A mistake of what goes with the file, as a variable of the environment.
    pub fn error_of(&mut self, origin: &str, message: impl Into<String>) {
        self.insert_error(problem(origin, Place::default(), message.into()));
    }

    /// The same that does no harm.
    pub fn warn_of(&mut self, origin: &str, message: impl Into<String>) {
        self.insert_warning(problem(origin, Place::default(), message.into()));
    }

    fn insert_error(&mut self, problem: Problem) {
        if self.errors.len() < TOLD {
            self.errors.insert(problem);
        } else {
            self.untold += 1;
        }
    }

    fn insert_warning(&mut self, problem: Problem) {
        if self.warnings.len() < TOLD {
            self.warnings.insert(problem);
        }
    }

    /// ``; did you mean `port`?`` where a candidate is close to `name`.
    pub fn suggestion<'a>(
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
    ///
    /// # Errors
    /// All errors; the warnings are not among them.
    pub fn finish(self) -> Result<Vec<Problem>, Problems> {
        if self.errors.is_empty() {
            return Ok(self.warnings.into_iter().collect());
        }
        let rest = (self.untold > 0).then(|| {
            let message = format!("and {} more mistakes", self.untold);
            problem(&self.file, Place::default(), message)
        });
        Err(Problems(self.errors.into_iter().chain(rest).collect()))
    }
}

fn problem(file: &str, place: Place, message: String) -> Problem {
    Problem {
        file: file.escape_debug().to_string(),
        place,
        message: on_one_line(message),
    }
}

/// A message may have in it what stands in the file, and what a reader of the
/// format said of that: neither breaks the line, or speaks to a terminal.
fn on_one_line(message: String) -> String {
    if !message.contains(char::is_control) {
        return message;
    }
    let mut line = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() {
            line.extend(c.escape_debug());
        } else {
            line.push(c);
        }
    }
    line
}

/// `text` in backticks, cut to a length that a line can bear, and with what
/// could break the line escaped.
///
/// ```
/// use tce_runtime::config::problem::quoted;
///
/// assert_eq!(quoted("mq\nserver"), r"`mq\nserver`");
/// ```
pub fn quoted(text: &str) -> String {
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
        .take(CANDIDATES)
        .filter(|candidate| candidate.len() <= COMPARED)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}
