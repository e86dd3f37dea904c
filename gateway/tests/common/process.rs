//! Programs in processes of their own, which tests stop or kill.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tce_runtime::config::Endpoint;
use tokio::sync::watch;

use super::watching::{eventually, within};

/// The program `tce-gateway`, with its log.
pub(crate) struct GatewayProcess {
    process: Child,
    lines: Arc<watch::Sender<Vec<Value>>>,
}

impl GatewayProcess {
    /// Runs gateways of a file, and waits until they accept clients at the given
    /// number of addresses.
    pub(crate) async fn start(file: &Path, arguments: &[&str], addresses: usize) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tce-gateway"))
            .arg(file)
            .args(arguments)
            .args(["--set", "log_format=json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let errors = process.stderr.take().expect("it is piped");
        let lines = Arc::new(watch::channel(Vec::new()).0);
        let sender = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                // Lines that are not JSON are printed as they are.
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                sender.send_modify(|lines| lines.push(line));
            }
        });
        let program = Self { process, lines };
        let served = |lines: &[Value]| addresses_in(lines).len() >= addresses;
        program.wait_until(served).await;
        program
    }

    async fn wait_until(&self, is_so: impl Fn(&[Value]) -> bool) {
        let mut lines = self.lines.subscribe();
        let waited = tokio::time::timeout(
            super::watching::PATIENCE,
            lines.wait_for(|lines| is_so(lines)),
        )
        .await;
        assert!(
            waited.is_ok(),
            "it did not log that: {:#?}",
            *self.lines.borrow()
        );
    }

    /// Waits until it has logged a line with this text.
    pub(crate) async fn logs(&self, text: &str) {
        self.wait_until(|lines| lines.iter().any(|line| line.to_string().contains(text)))
            .await;
    }

    /// The field of the line that it has logged with this message.
    pub(crate) fn value(&self, message: &str, field: &str) -> String {
        let lines = self.lines.borrow();
        let mut lines = lines.iter();
        let line = lines.find(|line| line["message"] == message);
        let value = line.and_then(|line| line[field].as_str());
        value.expect("it was logged").to_owned()
    }

    /// How many lines it has logged with this message.
    pub(crate) fn count(&self, message: &str) -> usize {
        let lines = self.lines.borrow();
        lines
            .iter()
            .filter(|line| line["message"] == message)
            .count()
    }

    /// The number of lines with this text that it has logged so far.
    pub(crate) fn logged(&self, text: &str) -> usize {
        let lines = self.lines.borrow();
        lines
            .iter()
            .filter(|line| line.to_string().contains(text))
            .count()
    }

    /// The addresses that clients connect to, in the order of `listen`.
    pub(crate) fn addresses(&self) -> Vec<Endpoint> {
        addresses_in(&self.lines.borrow())
    }

    /// Whether it has logged that it closed a connection.
    pub(crate) fn has_ended_a_connection(&self) -> bool {
        let lines = self.lines.borrow();
        lines.iter().any(|line| line["message"] == ENDED)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw);
        kill_process(id.expect("it is an id"), signal).expect("it runs");
    }

    /// The resident memory, in bytes.
    pub(crate) fn resident(&self) -> usize {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.process.id()));
        let statm = statm.expect("the memory of a process is only known on Linux");
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        pages
            .map(|pages: usize| pages * 4096)
            .expect("statm has its second number")
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let status = Mutex::new(None);
        let process = Mutex::new(&mut self.process);
        eventually("the program ends", || {
            let now = process.lock().unwrap().try_wait().expect("it is ours");
            *status.lock().unwrap() = now;
            now.is_some()
        })
        .await;
        let status = *status.lock().unwrap();
        status.expect("it has ended")
    }
}

const ENDED: &str = "closing a connection";

fn addresses_in(lines: &[Value]) -> Vec<Endpoint> {
    let served = lines
        .iter()
        .filter(|line| line["message"] == "accepting clients");
    let endpoints = served.filter_map(|line| line["endpoint"].as_str());
    endpoints
        .map(|endpoint| endpoint.parse().expect("it is an endpoint"))
        .collect()
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server in a process of its own: this very program, with another test.
pub(crate) struct ServerProcess(Child);

impl ServerProcess {
    /// Runs `test` with the variable set; it says when it is ready with
    /// [`say_ready`].
    pub(crate) async fn start(test: &str, variable: &str, value: &str) -> (Self, String) {
        let mut process = Command::new(std::env::current_exe().expect("it runs"))
            .args(["--exact", test, "--nocapture"])
            .env(variable, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program runs");
        let output = process.stdout.take().expect("it is piped");
        let (sender, ready) = tokio::sync::oneshot::channel();
        thread::spawn(move || {
            let mut sender = Some(sender);
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let said = line.split_once(READY).map(|(_, said)| said.to_owned());
                if let (Some(said), Some(sender)) = (said, sender.take_if(|_| line.contains(READY)))
                {
                    let _ = sender.send(said);
                }
            }
        });
        let said = within(ready).await.expect("it begins to serve");
        (Self(process), said)
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const READY: &str = "ready: ";

/// Reports to the parent process that the server is ready.
pub(crate) fn say_ready(what: &str) {
    println!("{READY}{what}");
}
