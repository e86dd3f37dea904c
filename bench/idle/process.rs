//! The processes of a run: this program in another role.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// A process that answers each line on its standard input with one on its standard output. Killed
/// when dropped.
pub(crate) struct RoleProcess {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl RoleProcess {
    /// Starts this program with `arguments`.
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a process of the run")?;
        let input = process.stdin.take().context("the input is a pipe")?;
        let output = process.stdout.take().context("the output is a pipe")?;
        Ok(Self {
            process,
            input,
            output: BufReader::new(output),
        })
    }

    pub(crate) fn ask(&mut self, question: &str) -> Result<String> {
        self.send(question)?;
        self.answer()
    }

    pub(crate) fn send(&mut self, question: &str) -> Result<()> {
        Ok(writeln!(self.input, "{question}")?)
    }

    /// Waits for the next line.
    ///
    /// # Errors
    /// The process has ended; its standard error says why.
    pub(crate) fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "a process of the run has ended");
        Ok(line.trim_end().to_owned())
    }

    /// Whether the process runs.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }

    /// The resident memory, in bytes. It excludes what the kernel holds for sockets.
    pub(crate) fn resident(&self) -> Result<usize> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let kib: usize = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .and_then(|number| number.trim().parse().ok())
            .context("no VmRSS in the status of a process")?;
        Ok(kib << 10)
    }
}

impl Drop for RoleProcess {
    fn drop(&mut self) {
        // Both fail only if the process has already been reaped.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
