//! A program of an example, run by a test.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
};

/// A running program; killed when dropped.
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

    /// The next line that it prints, without the line end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits until it prints its endpoint, and returns that.
    #[track_caller]
    pub(crate) fn endpoint(&mut self) -> String {
        let line = self.line();
        let endpoint = line.strip_prefix("listening on ");
        endpoint.unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    /// Stops it by SIGTERM, and returns the rest of its output.
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
        // Fails if the program has ended already, as it has when the test passes.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
