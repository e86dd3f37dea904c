//! A private Redis server for one test, at a socket in a directory of its own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test without its server fails"
)]

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const PROGRAM: &str = "/usr/bin/redis-server";
const START_TIME: Duration = Duration::from_secs(30);

/// Runs the server. Kills it when the pipe closes, because the test stops it or has
/// ended.
const SUPERVISOR: &str = r#"
"$0" "$@" &
echo "$!"
read -r line
kill -KILL "$!"
wait
"#;

/// A running server; killed when it is dropped or this process ends.
#[derive(Debug)]
pub struct RedisServer {
    home: TempDir,
    settings: Vec<String>,
    running: Option<(Child, u32)>,
}

impl RedisServer {
    /// A server without data.
    ///
    /// # Panics
    /// Redis is not installed, or is not up after 30 seconds.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Like [`RedisServer::start`], with additional arguments of `redis-server`.
    ///
    /// # Panics
    /// As [`RedisServer::start`] does.
    pub fn start_with(settings: &[&str]) -> Self {
        assert!(
            Path::new(PROGRAM).exists(),
            "{PROGRAM} is missing: apt-get install -y redis-server"
        );
        let mut server = Self {
            home: tempfile::tempdir().expect("a directory for the server"),
            settings: settings.iter().map(|&it| it.to_owned()).collect(),
            running: None,
        };
        server.restart();
        server
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("redis.sock")
    }

    /// The URL of the server.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Kills the server; its data is lost.
    pub fn kill(&mut self) {
        if let Some((mut supervisor, _)) = self.running.take() {
            drop(supervisor.stdin.take());
            let _ = supervisor.wait();
        }
    }

    /// Starts the server again, without data.
    ///
    /// # Panics
    /// As [`RedisServer::start`] does.
    pub fn restart(&mut self) {
        self.kill();
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, PROGRAM])
            .args(["--port", "0", "--save", "", "--appendonly", "no"])
            .arg("--unixsocket")
            .arg(self.socket())
            .args(["--logfile", "redis.log", "--dir"])
            .arg(self.home.path())
            .args(&self.settings)
            // Not in the tests' process group: a terminal's Ctrl-C must not reach it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let mut pid = String::new();
        let output = supervisor.stdout.take().expect("it is piped");
        let read = BufReader::new(output).read_line(&mut pid);
        read.expect("sh writes the process id");
        let pid = pid.trim().parse().expect("sh writes the process id");
        self.running = Some((supervisor, pid));
        let deadline = Instant::now() + START_TIME;
        while !self.answers() {
            if Instant::now() > deadline {
                let log = self.home.path().join("redis.log");
                let log = std::fs::read_to_string(log).unwrap_or_default();
                panic!("the server did not come up in {START_TIME:?}:\n{log}");
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Whether it answers anything, even that a password is missing.
    fn answers(&self) -> bool {
        let Ok(mut socket) = UnixStream::connect(self.socket()) else {
            return false;
        };
        let mut answer = String::new();
        socket.write_all(b"PING\r\n").is_ok()
            && BufReader::new(socket).read_line(&mut answer).is_ok()
            && !answer.is_empty()
    }

    /// Stops the server's process as SIGSTOP does: its connections stay open, and it
    /// answers nothing until [`RedisServer::resume`].
    ///
    /// # Panics
    /// The server does not run.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Ends [`RedisServer::pause`].
    ///
    /// # Panics
    /// The server does not run.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let (_, pid) = self.running.as_ref().expect("the server runs");
        let sent = Command::new("kill")
            .args([signal, &pid.to_string()])
            .status();
        assert!(sent.expect("kill runs").success(), "{signal} {pid}");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
