//! Tests of the `tce` command, run as a process.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails if it can't run its command"
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
mod frame;
mod gateway;
mod guide;
mod lint;
mod lock;
mod lsp;
mod new;
mod output;
mod ping;
mod plugin;
mod servers;
mod settings;
mod status;
mod task;

use std::{path::Path, process::Command};

// At the root of the crate, where public items are reachable.
tce_runtime::include_idl!(test, zoo);

/// Exit status and output of a run of `tce`.
#[derive(Debug)]
struct CommandOutput {
    code: Option<i32>,
    out: String,
    err: String,
}

impl CommandOutput {
    /// Asserts the exit status; a failure shows the output.
    #[track_caller]
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Asserts that standard error contains a text.
    #[track_caller]
    fn complains(self, text: &str) -> Self {
        assert!(self.err.contains(text), "no `{text}` in:\n{}", self.err);
        self
    }

    /// Asserts that standard output contains a text.
    #[track_caller]
    fn prints(self, text: &str) -> Self {
        assert!(self.out.contains(text), "no `{text}` in:\n{}", self.out);
        self
    }
}

/// `tce`, without the variables in the environment of the tests that change its behaviour.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tce"));
    for variable in [
        "TCE_HOST",
        "TCE_PORT",
        "NO_COLOR",
        "CLICOLOR_FORCE",
        // Set if a git hook runs the tests: they would name its repository.
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
    ] {
        command.env_remove(variable);
    }
    // Messages of git are passed on, and depend on the locale.
    command.env("LC_ALL", "C");
    command
}

fn ran(command: &mut Command) -> CommandOutput {
    let output = command.output().unwrap();
    CommandOutput {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn tce(args: &[&str]) -> CommandOutput {
    ran(command().args(args))
}

fn tce_in(folder: &Path, args: &[&str]) -> CommandOutput {
    ran(command().args(args).current_dir(folder))
}

/// A temporary folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// A correct IDL.
const GOOD: &str = "module good { interface Echo { string echo(string text); }; }\n";

/// An IDL with one error.
const BAD: &str = "module bad { struct Pet { strng name; }; }\n";

/// Parses each line as JSON.
#[track_caller]
fn json_lines(text: &str) -> Vec<serde_json::Value> {
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}
