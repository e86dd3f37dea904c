//! Both programs as processes.

#![expect(
    clippy::unwrap_used,
    reason = "a test that can't run its programs fails"
)]

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use example_simple::test::ServerPrx;
use tce_runtime::{Communicator, TypedProxy};

/// What the client prints; `*` stands for text that differs between runs.
const CLIENT: &str = "\
twoway: Yah! hello
inherited: 20*Z
extra: Yah! hello
async: Yah! pingpang
callback: Yah! pingpang
timeout: test::Server::timeout: TIMEOUT: no answer within 1s (*)
onMessage: server push message!
";

/// What the server prints for it.
const SERVER: &str = r#"extra oob data: []
extra oob data: [("name", "scott.bo")]
extra oob data: []
extra oob data: []
enter timeout: 3
heartbeat: hello world!
stopped
"#;

/// A running server; killed when dropped.
struct Server {
    process: Child,
    stdout: BufReader<ChildStdout>,
    endpoint: String,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_simple-server"))
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let endpoint = line.trim_end().strip_prefix("listening on ").unwrap();
        Self {
            process,
            stdout,
            endpoint: endpoint.to_owned(),
        }
    }

    fn terminate(&self) {
        self.signal("-TERM");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until it has ended, and returns the rest of its output.
    fn wait(mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        assert!(self.process.wait().unwrap().success());
        rest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if the program has ended already, as it has when the test passes.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simple-client"))
        .args(args)
        .output()
        .unwrap()
}

/// Asserts that a client has made all its calls and was called back.
#[track_caller]
fn assert_client_output(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed.lines().count(), CLIENT.lines().count(), "{printed}");
    for (line, expected) in printed.lines().zip(CLIENT.lines()) {
        let (start, end) = expected.split_once('*').unwrap_or((expected, ""));
        assert!(line.starts_with(start) && line.ends_with(end), "{line}");
    }
}

#[test]
fn calls_over_tcp_work() {
    let server = Server::start(&["--endpoint", "tcp://127.0.0.1:0"]);
    assert_client_output(&client(&["--endpoint", &server.endpoint]));
    server.terminate();
    assert_eq!(server.wait(), SERVER);
}

/// A self-signed certificate for `localhost`, and its key.
fn certificate(folder: &Path) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, pem: String| {
        let path = folder.join(name);
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    };
    (
        write("server.pem", made.cert.pem()),
        write("server.key", made.signing_key.serialize_pem()),
    )
}

#[test]
fn calls_over_ssl_work() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path());
    let endpoint = "ssl://localhost:0";
    let server = Server::start(&["--endpoint", endpoint, "--cert", &cert, "--key", &key]);
    assert_client_output(&client(&["--endpoint", &server.endpoint, "--ca", &cert]));

    // A client without `--ca` does not trust this certificate.
    let refused = client(&["--endpoint", &server.endpoint]);
    assert!(!refused.status.success());
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(message.contains("certificate"), "{message}");

    server.terminate();
    assert_eq!(server.wait(), SERVER);
}

#[tokio::test]
async fn a_server_completes_its_calls_before_it_stops() {
    let server = Server::start(&["--endpoint", "tcp://127.0.0.1:0"]);
    let communicator = Communicator::new();
    let prx = ServerPrx::connect(&communicator, &server.endpoint)
        .await
        .unwrap();
    let slow = prx.timeout(1);
    // Sent after the slow call: its answer shows that the slow call has arrived.
    prx.echo("second").await.unwrap();
    server.terminate();
    slow.await.unwrap();
    assert!(
        server
            .wait()
            .ends_with("enter timeout: 1\nextra oob data: []\nstopped\n")
    );
}

#[test]
fn without_a_server_the_client_fails_with_its_endpoint() {
    let output = client(&["--endpoint", "tcp://127.0.0.1:1"]);
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("tcp://127.0.0.1:1"), "{message}");
}

#[tokio::test]
async fn a_second_signal_ends_the_server_at_once() {
    for (first, second, status) in [("-INT", "-INT", 130), ("-INT", "-TERM", 143)] {
        let mut server = Server::start(&["--endpoint", "tcp://127.0.0.1:0"]);
        let communicator = Communicator::new();
        let prx = ServerPrx::connect(&communicator, &server.endpoint)
            .await
            .unwrap();
        let _slow = prx.timeout(100);
        // Sent after the slow call: its answer shows that the slow call has arrived.
        prx.echo("second").await.unwrap();
        server.signal(first);
        // What `timeout` does: the same signal to the process and to its group.
        server.signal(first);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(
            server.process.try_wait().unwrap(),
            None,
            "the call has time"
        );
        let start = Instant::now();
        server.signal(second);
        assert_eq!(server.process.wait().unwrap().code(), Some(status));
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn the_first_call_is_that_of_the_readme() {
    let readme = include_str!("../../../README.md");
    let program = include_str!("../examples/first_call.rs");
    let (_, code) = program.split_once("\n\n").unwrap();
    assert!(readme.contains(&format!("```rust\n{code}```\n")), "{code}");
}
