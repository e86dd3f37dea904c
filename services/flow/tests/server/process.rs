//! The program `tce-flow`: how it starts, refuses to start, and ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tce_flow::idl::flow::{FlowControlPrx, FlowQueryPrx};
use tce_runtime::{Communicator, TypedProxy};

use crate::common::text;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tce-flow");

/// A server as a process, and its port.
struct Process {
    child: Child,
    port: u16,
}

impl Process {
    /// Starts a server in a folder; `shell` runs before it, in the same process.
    fn start(home: &Path, shell: &str) -> Self {
        let line = format!("{shell} exec {PROGRAM} serve . --listen tcp://127.0.0.1:0");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &line]).current_dir(home);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut first).unwrap();
        let port = first.trim_end().rsplit(':').next().unwrap();
        let port = port.parse().unwrap_or_else(|_| panic!("{first}"));
        Self { child, port }
    }

    async fn client(&self) -> (FlowControlPrx, FlowQueryPrx) {
        let endpoint = format!("tcp://127.0.0.1:{}", self.port);
        let control = FlowControlPrx::connect(&Communicator::new(), &endpoint).await;
        let control = control.unwrap();
        let query = FlowQueryPrx::new(control.connection());
        (control.with_extra([("user", "tester")]), query)
    }

    fn signal(&self, signal: &str) {
        let process = self.child.id().to_string();
        let killed = Command::new("kill").args([signal, &process]).status();
        assert!(killed.unwrap().success());
    }

    /// Ends the server by SIGTERM.
    fn terminate(mut self) -> ExitStatus {
        self.signal("-TERM");
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not end");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(home);
    command.stdin(Stdio::null()).output().unwrap()
}

fn errors(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_server_ends_by_sigterm_and_goes_on_when_it_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let server = Process::start(home, "");
    let (control, _) = server.client().await;
    text(
        control
            .load("suite s\n task t\n", "def", false)
            .await
            .unwrap(),
    );
    let listen = ["serve", ".", "--listen", "tcp://127.0.0.1:0"];
    let second = errors(&run(home, &listen));
    assert!(second.contains("is in use by another process"), "{second}");
    let endpoint = format!("tcp://127.0.0.1:{}", server.port);
    let arguments = ["serve", ".", "--store", "other", "--listen", &endpoint];
    let second = errors(&run(home, &arguments));
    assert!(second.contains("can't listen on"), "{second}");
    let open = ["serve", ".", "--listen", "tcp://0.0.0.0:0"];
    let refused = errors(&run(home, &open));
    assert!(refused.contains("--insecure"), "{refused}");
    let busy = errors(&run(home, &["store", "check", "tce-flow.redb"]));
    assert!(busy.contains("in use"), "{busy}");
    assert!(server.terminate().success());
    let checked = run(home, &["store", "check", "tce-flow.redb"]);
    let checked = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.contains("intact up to record"), "{checked}");
    for name in ["tce-flow.redb", "tce-flow.log"] {
        let mode = fs::metadata(home.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let server = Process::start(home, "");
    let (control, query) = server.client().await;
    assert_eq!(query.suites().await.unwrap(), ["s"]);
    let statistics = text(query.statistics("").await.unwrap());
    assert!(statistics.contains("RUNNING"), "{statistics}");
    // An operator ends it likewise.
    text(control.state("terminate").await.unwrap());
    let mut server = server;
    assert!(server.child.wait().unwrap().success());
}

#[tokio::test]
async fn a_server_without_space_halts_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // Blocks of 512 bytes: what the empty store has, and a little more.
    let limit = "ulimit -S -f 4000; trap '' XFSZ;";
    let server = Process::start(folder.path(), limit);
    let (control, query) = server.client().await;
    let mut confirmed = 0;
    let refused = loop {
        let edits: String = (0..2000)
            .map(|at| format!(" edit V{at} '{}'\n", "x".repeat(100)))
            .collect();
        let definition = format!("suite s{confirmed}\n{edits}");
        let reply = control.load(&definition, "def", false).await.unwrap();
        if reply.code != 0 {
            break reply;
        }
        confirmed += 1;
        assert!(confirmed < 100);
    };
    assert_eq!(refused.code, 60, "{}", refused.text);
    assert!(refused.text.contains("HALTED"), "{}", refused.text);
    assert!(confirmed > 0);
    assert_eq!(query.suites().await.unwrap().len(), confirmed);
    let process = server.child.id().to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &process, "--fsize=unlimited"])
        .status();
    assert!(raised.unwrap().success());
    text(control.state("running").await.unwrap());
    text(
        control
            .load("suite last\n task t\n", "def", false)
            .await
            .unwrap(),
    );
    server.signal("-KILL");
    drop(server);
    let server = Process::start(folder.path(), "");
    let (_, query) = server.client().await;
    assert_eq!(query.suites().await.unwrap().len(), confirmed + 1);
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let added = run(home, &["token", "add", "ada", "--read", "--suite", "s"]);
    assert!(added.stdout.starts_with(b"tceflow_"));
    let listed = run(home, &["token", "list"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "ada: read; s\n");
    assert!(run(home, &["token", "revoke", "ada"]).status.success());
    assert!(errors(&run(home, &["token", "revoke", "ada"])).contains("has no token"));
    let mode = fs::metadata(home.join("tce-flow.tokens")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
}

#[test]
fn definitions_are_checked_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    fs::write(home.join("good.def"), "suite s\nendsuite\n").unwrap();
    fs::write(
        home.join("bad.def"),
        "suite s\n task t\n  trigger x ==\nendsuite\n",
    )
    .unwrap();
    assert!(run(home, &["check", "good.def"]).status.success());
    let checked = run(home, &["check", "good.def", "bad.def"]);
    assert_eq!(checked.status.code(), Some(1));
    let found = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(found.contains("bad.def:3:"), "{found}");
}
