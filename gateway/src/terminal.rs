//! Escape sequences, such as colours: the one rule about where programs write them, and
//! text of peers, which must hold none.

use std::{env, ffi::OsStr, io::IsTerminal};

use clap::ColorChoice;

/// Whether a program may write escape sequences to a stream: it is a terminal
/// that understands them (`TERM` is not `dumb`), and the user has not turned them
/// off (`NO_COLOR`, <https://no-color.org>).
#[must_use]
pub fn takes_escapes(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && are_wanted()
}

/// The rule for the help and the errors of a command line. clap decides whether
/// the stream is a terminal; by itself it would colour a dumb one in CI.
#[must_use]
pub fn color_choice() -> ColorChoice {
    match are_wanted() {
        true => ColorChoice::Auto,
        false => ColorChoice::Never,
    }
}

fn are_wanted() -> bool {
    let [term, no_color] = ["TERM", "NO_COLOR"].map(env::var_os);
    allow_escapes(term.as_deref(), no_color.as_deref())
}

/// A variable that is empty counts as not set.
fn allow_escapes(term: Option<&OsStr>, no_color: Option<&OsStr>) -> bool {
    term.is_none_or(|term| term != "dumb") && no_color.is_none_or(OsStr::is_empty)
}

/// Escapes control characters: text of a peer could hold sequences for the terminal.
#[must_use]
pub fn escape_control(text: &str) -> String {
    let characters = text.chars().map(|c| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    });
    characters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_and_the_user_decide() {
        let allows = |term: Option<&str>, no_color: Option<&str>| {
            allow_escapes(term.map(OsStr::new), no_color.map(OsStr::new))
        };
        assert!(allows(None, None));
        assert!(allows(Some("xterm"), Some("")));
        assert!(!allows(Some("xterm"), Some("1")));
        assert!(!allows(Some("dumb"), None));
        assert!(!allows(Some("dumb"), Some("")));
    }

    #[test]
    fn a_pipe_takes_none() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert!(!takes_escapes(&std::os::fd::OwnedFd::from(reader)));
    }
}
