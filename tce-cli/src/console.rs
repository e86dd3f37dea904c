//! Where a subcommand writes to, and how it ends.

use std::{
    ffi::OsStr,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use crate::output::ErrorFormat;

/// The exit status of a command line, or a `tce.toml`, that asks for what does not exist.
const MISUSED: u8 = 2;

/// Standard output for results, standard error for what is wrong.
#[derive(Debug)]
pub(crate) struct Console {
    pub(crate) out: io::Stdout,
    pub(crate) err: io::Stderr,
    /// How diagnostics are written.
    pub(crate) format: ErrorFormat,
    /// Whether there were any.
    pub(crate) has_shown: bool,
}

/// Why a subcommand could not come to a result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Its output, or the system, failed it.
    Io(io::Error),
    /// It was asked for what does not exist, and has said so.
    Misused,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
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

    /// Whether diagnostics are in colour.
    pub(crate) fn has_color(&self) -> bool {
        wants_color(
            self.err.is_terminal(),
            std::env::var_os("NO_COLOR").as_deref(),
        )
    }

    /// The exit status of a subcommand that ended so.
    pub(crate) fn end(mut self, ended: Result<ExitCode, Failure>) -> ExitCode {
        let flushed = ended.and_then(|code| Ok(self.out.flush().map(|()| code)?));
        match flushed {
            Ok(code) => code,
            Err(Failure::Misused) => ExitCode::from(MISUSED),
            // The reader, such as `head`, has all that it wanted.
            Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                ExitCode::SUCCESS
            }
            Err(Failure::Io(error)) => {
                // There may be nowhere left to say it; the exit status does.
                let _ = writeln!(self.err, "error: can't write the output: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

/// As <https://no-color.org> asks: a variable that is set and not empty means none.
fn wants_color(is_terminal: bool, no_color: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_without_no_color() {
        assert!(wants_color(true, None));
        assert!(wants_color(true, Some(OsStr::new(""))));
        assert!(!wants_color(true, Some(OsStr::new("1"))));
        assert!(!wants_color(false, None));
    }
}
