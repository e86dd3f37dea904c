//! The `tce` command as its users have it: run as a process.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't run its command fails"
)]

mod breaking;
mod call;
mod check;
mod command;
mod compile;
mod demo;
mod describe;
mod doc;
mod fmt;
mod gateway;
mod guide;
mod lint;
mod lock;
mod lsp;
mod new;
mod output;
mod ping;
mod servers;
mod settings;

use std::{path::Path, process::Command};

// At the root: generated items are public, and here that is what they are.
tce_runtime::include_idl!(test, zoo);

/// What a run of `tce` came to.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// Asserts the exit status, and shows everything where it is another.
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Asserts that standard error holds a text.
    #[track_caller]
    fn complains(self, text: &str) -> Self {
        assert!(self.err.contains(text), "no `{text}` in:\n{}", self.err);
        self
    }

    /// Asserts that standard output holds a text.
    #[track_caller]
    fn prints(self, text: &str) -> Self {
        assert!(self.out.contains(text), "no `{text}` in:\n{}", self.out);
        self
    }
}

/// `tce`, without what the environment of the tests might say to it.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tce"));
    for variable in [
        "TCE_HOST",
        "TCE_PORT",
        "NO_COLOR",
        "CLICOLOR_FORCE",
        // A git hook that runs the tests means its own repository, not theirs.
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
    ] {
        command.env_remove(variable);
    }
    // What git complains is passed on, and it speaks many languages.
    command.env("LC_ALL", "C");
    command
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn tce(args: &[&str]) -> Ran {
    ran(command().args(args))
}

fn tce_in(folder: &Path, args: &[&str]) -> Ran {
    ran(command().args(args).current_dir(folder))
}

/// A folder with files in it.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// An IDL that is right.
const GOOD: &str = "module good { interface Echo { string echo(string text); }; }\n";

/// An IDL with one mistake.
const BAD: &str = "module bad { struct Pet { strng name; }; }\n";

/// Asserts that each line is a JSON object, and gives them.
#[track_caller]
fn json_lines(text: &str) -> Vec<serde_json::Value> {
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}
