//! A program of an example, as a test runs it.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
};

/// A program that runs; it is killed where a test ends early.
pub(crate) struct Program {
    pub(crate) process: Child,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Self { process, stdout }
    }

    /// The next line that it prints, without its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits until it says where it listens.
    #[track_caller]
    pub(crate) fn endpoint(&mut self) -> String {
        let line = self.line();
        let endpoint = line.strip_prefix("listening on ");
        endpoint.unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    /// Stops it by SIGTERM, and gives the rest of what it printed.
    pub(crate) fn stop(mut self) -> String {
        let id = self.process.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(status.success());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert!(self.process.wait().unwrap().success());
        rest
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
