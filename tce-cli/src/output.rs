//! Diagnostics on standard error, for people, programs and GitHub.

use std::{
    fmt,
    io::{self, Write},
};

use clap::ValueEnum;
use tce_idl::{
    diagnostic::{Code, Diagnostic, Severity},
    render,
    source::SourceMap,
};

use crate::console::Console;

/// How diagnostics are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ErrorFormat {
    /// For people
    #[default]
    Text,
    /// For programs: a JSON object on each line
    Json,
    /// For GitHub Actions: a workflow command on each line, shown beside the code
    Github,
}

impl Console {
    /// Shows diagnostics of the files in `sources`.
    pub(crate) fn show(
        &mut self,
        diagnostics: &[Diagnostic],
        sources: &SourceMap,
    ) -> io::Result<()> {
        if diagnostics.is_empty() {
            return Ok(());
        }
        self.gap()?;
        self.has_shown = true;
        let text = match self.format {
            ErrorFormat::Text => render::human(diagnostics, sources, self.has_color()),
            ErrorFormat::Json => render::json(diagnostics, sources),
            ErrorFormat::Github => render::github(diagnostics, sources),
        };
        self.err.write_all(text.as_bytes())
    }

    /// Sets what comes apart from diagnostics before, for people.
    pub(crate) fn gap(&mut self) -> io::Result<()> {
        match self.format {
            ErrorFormat::Text if self.has_shown => writeln!(self.err),
            _ => Ok(()),
        }
    }

    /// Sums diagnostics of so many files up in one line, which programs do without.
    pub(crate) fn summarize(&mut self, diagnostics: &[Diagnostic], files: usize) -> io::Result<()> {
        if self.format != ErrorFormat::Text {
            return Ok(());
        }
        let count = |severity| {
            let of_severity = diagnostics.iter().filter(|diagnostic| {
                diagnostic.severity == severity
                    && !matches!(diagnostic.code, Code::MoreErrors | Code::MoreWarnings)
            });
            of_severity.count()
        };
        let errors = match count(Severity::Error) {
            0 => "no errors".to_owned(),
            some => Count(some, "error").to_string(),
        };
        let warnings = match count(Severity::Warning) {
            0 => String::new(),
            some => format!(" and {}", Count(some, "warning")),
        };
        self.gap()?;
        writeln!(self.err, "{errors}{warnings} in {}", Count(files, "file"))
    }
}

/// A number of things: `1 file`, `2 files`.
pub(crate) struct Count(pub(crate) usize, pub(crate) &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}
