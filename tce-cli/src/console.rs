//! Output of the subcommands: results, diagnostics, errors and exit statuses.

use std::{
    fmt::{self, Display},
    io::{self, Write},
    process::ExitCode,
};

use tce_gateway::{ErrorFormat, Level, terminal::takes_escapes};
use tce_idl::{
    diagnostic::{Code, Diagnostic, Severity},
    render,
    source::SourceMap,
};

/// The exit status for a wrong command line or a wrong `tce.toml`.
const USAGE_STATUS: u8 = 2;

/// Standard output for results, standard error for diagnostics and errors.
#[derive(Debug)]
pub(crate) struct Console {
    pub(crate) out: io::Stdout,
    pub(crate) err: io::Stderr,
    /// Format of diagnostics.
    pub(crate) format: ErrorFormat,
    /// Whether diagnostics have been written, so that the next text needs an empty line before it.
    has_shown: bool,
}

/// Why a subcommand ended without an exit status of its own.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// Writing the output failed.
    Output(io::Error),
    /// Something other than writing the output failed; the text says what.
    Failed(String),
    /// The command line or a `tce.toml` is wrong; the message has been written.
    Usage,
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Console {
    pub(crate) fn new() -> Self {
        Self {
            out: io::stdout(),
            err: io::stderr(),
            format: ErrorFormat::default(),
            has_shown: false,
        }
    }

    /// Writes diagnostics of the files in `sources`.
    pub(crate) fn show(
        &mut self,
        diagnostics: &[Diagnostic],
        sources: &SourceMap,
    ) -> io::Result<()> {
        if diagnostics.is_empty() {
            return Ok(());
        }
        self.separate()?;
        self.has_shown = true;
        let text = match self.format {
            ErrorFormat::Text => render::human(diagnostics, sources, takes_escapes(&self.err)),
            ErrorFormat::Short => render::short(diagnostics, sources),
            ErrorFormat::Json => render::json(diagnostics, sources),
            ErrorFormat::Github => render::github(diagnostics, sources),
        };
        self.err.write_all(text.as_bytes())
    }

    /// Writes an empty line if diagnostics precede it; only in the format for people.
    pub(crate) fn separate(&mut self) -> io::Result<()> {
        match self.format {
            ErrorFormat::Text if self.has_shown => writeln!(self.err),
            _ => Ok(()),
        }
    }

    /// Writes the number of errors and warnings in `files` files; only in the format for people.
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
        self.separate()?;
        writeln!(self.err, "{errors}{warnings} in {}", Count(files, "file"))
    }

    /// Writes an error message, and gives the exit status of a command that failed.
    pub(crate) fn fail(&mut self, error: impl Display) -> io::Result<ExitCode> {
        self.error(&error.to_string())?;
        Ok(ExitCode::FAILURE)
    }

    /// Writes an error message about the command line.
    pub(crate) fn usage_error(&mut self, error: impl Display) -> CommandError {
        match self.error(&error.to_string()) {
            Ok(()) => CommandError::Usage,
            Err(error) => error.into(),
        }
    }

    /// Flushes the output, and gives the exit status of the command.
    pub(crate) fn finish(mut self, result: Result<ExitCode, CommandError>) -> ExitCode {
        let flushed = result.and_then(|code| Ok(self.out.flush().map(|()| code)?));
        match flushed {
            Ok(code) => code,
            Err(CommandError::Usage) => ExitCode::from(USAGE_STATUS),
            // The reader, such as `head`, has read as much as it needs.
            Err(CommandError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                ExitCode::SUCCESS
            }
            Err(CommandError::Output(error)) => {
                self.finish_failed(&format!("can't write the output: {error}"))
            }
            Err(CommandError::Failed(text)) => self.finish_failed(&text),
        }
    }

    fn finish_failed(&mut self, text: &str) -> ExitCode {
        // If this fails too, the exit status still tells.
        let _ = self.error(text);
        ExitCode::FAILURE
    }

    /// Writes an error message.
    fn error(&mut self, text: &str) -> io::Result<()> {
        let line = self.format.message(Level::Error, text);
        writeln!(self.err, "{line}")
    }
}

/// The exit status of a command that has succeeded or failed.
pub(crate) fn exit_code(is_success: bool) -> ExitCode {
    if is_success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A number with its noun: `1 file`, `2 files`.
pub(crate) struct Count(pub(crate) usize, pub(crate) &'static str);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}
