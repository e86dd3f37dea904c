//! A server as users run it: the program, its clients, scripts, and jobs that are processes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::PATIENCE;

/// The head and tail of scripts of ecFlow's tutorial.
const HEAD: &str = include_str!("tutorial/head.h");
const TAIL: &str = include_str!("tutorial/tail.h");

/// A server in a folder of its own.
pub(crate) struct Installation {
    home: TempDir,
    server: Child,
    port: u16,
}

impl Installation {
    /// Starts a server with these scripts, which lie in ECF_HOME.
    pub(crate) fn start(scripts: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("head.h"), HEAD).unwrap();
        fs::write(home.path().join("tail.h"), TAIL).unwrap();
        let (server, port) = serve(home.path(), 0);
        let installation = Self { home, server, port };
        for (path, text) in scripts {
            installation.script(path, text);
        }
        installation
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Writes the script of a task, between the head and the tail of the tutorial.
    pub(crate) fn script(&self, task: &str, text: &str) {
        let text = format!("%include <head.h>\n{text}\n%include <tail.h>\n");
        self.write(&format!("{}.ecf", &task[1..]), &text);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A file below ECF_HOME; empty if it is not there.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Loads and begins a suite.
    pub(crate) fn begin(&self, suite: &str, definition: &str) {
        self.write("suite.def", definition);
        let path = self.path("suite.def").display().to_string();
        self.ecflow(&[&format!("--load={path}")]);
        self.ecflow(&[&format!("--begin={suite}")]);
    }

    /// A call of `ecflow_client`.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ecflow_client"));
        command
            .args(arguments)
            .envs([
                ("ECF_HOST", "localhost"),
                ("ECF_PORT", &self.port.to_string()),
            ])
            .env_remove("NO_ECF")
            .stdin(Stdio::null());
        command
    }

    /// The output of a command that succeeds.
    pub(crate) fn ecflow(&self, arguments: &[&str]) -> String {
        text(&mut self.client(arguments))
    }

    /// The same with `takler_client`.
    pub(crate) fn takler(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_takler_client"));
        command.args(arguments).envs([
            ("TAKLER_HOST", "localhost"),
            ("TAKLER_PORT", &self.port.to_string()),
        ]);
        text(&mut command)
    }

    pub(crate) fn query(&self, kind: &str, path: &str) -> String {
        self.ecflow(&["--query", kind, path]).trim_end().to_owned()
    }

    pub(crate) fn why(&self, path: &str) -> String {
        self.ecflow(&[&format!("--why={path}")])
    }

    /// Waits until a node is in a state.
    pub(crate) fn wait_for(&self, path: &str, state: &str) {
        let is_there = || self.query("state", path) == state;
        if !comes_true(is_there) {
            let found = self.query("state", path);
            panic!("{path} is {found}, not {state}\n{}", self.why(path));
        }
    }

    /// Waits until a file has so many lines.
    pub(crate) fn wait_for_lines(&self, name: &str, lines: usize) {
        let is_there = || self.read(name).lines().count() >= lines;
        assert!(comes_true(is_there), "{name}: {}", self.read(name));
    }

    /// Ends the server at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts the server again, on the same port.
    pub(crate) fn restart(&mut self) {
        (self.server, _) = serve(self.home.path(), self.port);
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Whether something comes true before the patience ends.
pub(crate) fn comes_true(mut is_true: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !is_true() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

fn serve(home: &Path, port: u16) -> (Child, u16) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_tce-flow"))
        .arg("serve")
        .arg(home)
        .args(["--listen", &format!("tcp://127.0.0.1:{port}")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = server.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
    (server, port)
}

/// What a command prints that succeeds.
fn text(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
