//! Where a subcommand writes to.

use std::{
    ffi::OsStr,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

/// Standard output for results, standard error for what is wrong.
#[derive(Debug)]
pub(crate) struct Console {
    pub(crate) out: io::Stdout,
    pub(crate) err: io::Stderr,
}

impl Console {
    pub(crate) fn new() -> Self {
        Self {
            out: io::stdout(),
            err: io::stderr(),
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
    pub(crate) fn end(mut self, ended: io::Result<ExitCode>) -> ExitCode {
        match ended.and_then(|code| self.out.flush().map(|()| code)) {
            Ok(code) => code,
            // The reader, such as `head`, has all that it wanted.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
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
