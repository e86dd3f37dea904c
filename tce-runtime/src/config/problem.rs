//! The text of a configuration file, and the problems in it with their
//! locations.

use std::{
    collections::BTreeSet,
    error::Error,
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The most bytes of a configuration file: enough for some thousand endpoints.
pub const MAX_FILE_SIZE: usize = 1 << 20;

/// The most errors, and the most warnings, that are collected: more would not
/// be read, and a hostile file must not cost more memory.
const MAX_COLLECTED: usize = 100;

/// The longest name in bytes that suggestions are made for: comparing two names
/// takes time proportional to the product of their lengths.
const MAX_COMPARED_SIZE: usize = 64;

/// The most names that a name is compared with, for the same reason.
const MAX_CANDIDATES: usize = 1000;

/// Reads a configuration file, without its byte order mark.
///
/// # Errors
/// Where the file can't be read, is larger than [`MAX_FILE_SIZE`] or is not
/// UTF-8.
pub fn read_text(path: &Path) -> Result<String, Problems> {
    let file_name = path.display().to_string();
    let bytes = read_bytes(path).map_err(|error| {
        let message = format!("the file can't be read: {error}");
        Problems::one(&file_name, None, message)
    })?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to());
        let line = before.filter(|byte| **byte == b'\n').count() + 1;
        Problems::one(
            &file_name,
            line,
            "this is not UTF-8; save the file as UTF-8",
        )
    })?;
    check_size(text, &file_name)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
}

/// Checks the size of a file's text.
///
/// # Errors
/// Where it is larger than [`MAX_FILE_SIZE`].
pub fn check_size(text: &str, file_name: &str) -> Result<(), Problems> {
    if text.len() <= MAX_FILE_SIZE {
        return Ok(());
    }
    let message = format!("the file has more than {MAX_FILE_SIZE} bytes");
    Err(Problems::one(file_name, None, message))
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed is enough to refuse the file.
    let limit = u64::try_from(MAX_FILE_SIZE + 1).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A location in a file: the file as a whole, a line, or a line and a column.
///
/// It converts from `None`, a line, and a pair of line and column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Location {
    /// The line, from 1; `None` for the file as a whole.
    pub line: Option<usize>,
    /// The column in characters, from 1; `None` for the line as a whole.
    pub column: Option<usize>,
}

impl From<Option<usize>> for Location {
    fn from(line: Option<usize>) -> Self {
        Self { line, column: None }
    }
}

impl From<usize> for Location {
    fn from(line: usize) -> Self {
        Self::from(Some(line))
    }
}

impl From<(usize, usize)> for Location {
    fn from((line, column): (usize, usize)) -> Self {
        Self {
            line: Some(line),
            column: Some(column),
        }
    }
}

/// One error or warning about a file.
///
/// Displayed as `config.yml:12: what is wrong; what would be right`, with the
/// column after the line where it is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The path of the file as it was given; or another source of the value,
    /// such as an environment variable.
    pub file: String,
    /// The location in the file.
    pub location: Location,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        for number in [self.location.line, self.location.column]
            .into_iter()
            .flatten()
        {
            write!(f, "{number}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// All errors of a file in the order of its lines; displayed, one on each line.
/// The first 100 found are listed, further ones are counted.
#[derive(Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// A single error, because of which the file was not examined further.
    pub fn one(file: &str, location: impl Into<Location>, message: impl Into<String>) -> Self {
        Self(vec![problem(file, location.into(), message.into())])
    }

    /// The errors; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Problems {
    /// The same as [`fmt::Display`], since `main` prints an error that it returns
    /// by its `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Problems {}

/// Collects the problems of a file while it is read, up to 100 errors and 100
/// warnings.
///
/// A problem that is found several times, in a definition and where it is used,
/// is collected once.
#[derive(Debug)]
pub struct ProblemReport {
    file: String,
    errors: BTreeSet<Problem>,
    /// The number of errors found after the first 100.
    uncollected: usize,
    warnings: BTreeSet<Problem>,
}

impl ProblemReport {
    /// A report on `file` without problems.
    pub fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            errors: BTreeSet::new(),
            uncollected: 0,
            warnings: BTreeSet::new(),
        }
    }

    /// Adds an error at a location of the file.
    pub fn error(&mut self, location: impl Into<Location>, message: impl Into<String>) {
        let problem = problem(&self.file, location.into(), message.into());
        self.insert_error(problem);
    }

    /// Adds a warning at a location of the file: the file works, but likely not
    /// as intended.
    pub fn warn(&mut self, location: impl Into<Location>, message: impl Into<String>) {
        let problem = problem(&self.file, location.into(), message.into());
        self.insert_warning(problem);
    }

    /// Adds an error in another source of a value, such as an environment
    /// variable.
    pub fn error_of(&mut self, source: &str, message: impl Into<String>) {
        self.insert_error(problem(source, Location::default(), message.into()));
    }

    /// Adds a warning about another source of a value.
    pub fn warn_of(&mut self, source: &str, message: impl Into<String>) {
        self.insert_warning(problem(source, Location::default(), message.into()));
    }

    fn insert_error(&mut self, problem: Problem) {
        if self.errors.len() < MAX_COLLECTED {
            self.errors.insert(problem);
        } else {
            self.uncollected += 1;
        }
    }

    fn insert_warning(&mut self, problem: Problem) {
        if self.warnings.len() < MAX_COLLECTED {
            self.warnings.insert(problem);
        }
    }

    /// Takes the warnings out of the report, for a caller that sorts them.
    #[doc(hidden)]
    pub fn take_warnings(&mut self) -> BTreeSet<Problem> {
        std::mem::take(&mut self.warnings)
    }

    /// Puts warnings into the report.
    #[doc(hidden)]
    pub fn add_warnings(&mut self, warnings: BTreeSet<Problem>) {
        for warning in warnings {
            self.insert_warning(warning);
        }
    }

    /// ``; did you mean `port`?`` where a candidate is similar to `name`.
    pub fn suggestion<'a>(
        &self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<String> {
        if self.errors.len() >= MAX_COLLECTED || self.warnings.len() >= MAX_COLLECTED {
            return None;
        }
        let nearest = nearest(name, candidates)?;
        Some(format!("; did you mean {}?", quoted(nearest)))
    }

    /// The warnings, if there is no error.
    ///
    /// # Errors
    /// The collected errors, without the warnings.
    pub fn finish(self) -> Result<Vec<Problem>, Problems> {
        if self.errors.is_empty() {
            return Ok(self.warnings.into_iter().collect());
        }
        let rest = (self.uncollected > 0).then(|| {
            let message = format!("and {} more errors", self.uncollected);
            problem(&self.file, Location::default(), message)
        });
        Err(Problems(self.errors.into_iter().chain(rest).collect()))
    }
}

fn problem(file: &str, location: Location, message: String) -> Problem {
    Problem {
        file: file.escape_debug().to_string(),
        location,
        message: on_one_line(message),
    }
}

/// Escapes control characters: a message quotes text of the file, which must
/// neither break the line nor control a terminal.
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

/// `text` in backticks, cut to 100 characters and with control characters
/// escaped.
///
/// ```
/// use tce_runtime::config::problem::quoted;
///
/// assert_eq!(quoted("mq\nserver"), r"`mq\nserver`");
/// ```
pub fn quoted(text: &str) -> String {
    const MAX_SHOWN: usize = 100;
    let shown: String = text
        .chars()
        .take(MAX_SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    let cut = if text.chars().nth(MAX_SHOWN).is_some() {
        "…"
    } else {
        ""
    };
    format!("`{shown}{cut}`")
}

fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_COMPARED_SIZE {
        return None;
    }
    let lower = name.to_lowercase();
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .take(MAX_CANDIDATES)
        .filter(|candidate| candidate.len() <= MAX_COMPARED_SIZE)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}
