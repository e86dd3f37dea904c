//! The three programs as processes, with a RabbitMQ node and without one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't run its programs fails"
)]

#[path = "../../common/program.rs"]
mod program;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use program::Program;
use tce_test_rabbitmq::Node;
use tempfile::TempDir;

/// What a client prints; `*` stands for text that differs between runs.
const CLIENT: &str = "\
twoway: Yah! hello
inherited: 20*Z
extra: Yah! hello
async: Yah! pingpang
timeout: test::Server::timeout: TIMEOUT: no answer within 1s (*)
ping: the gateway answered
onMessage: server push message!
";

/// Output of a gateway for a user who logs in, calls and logs out.
fn gateway_log(user: &str) -> String {
    format!("{user} logged in\nping from {user}\n{user} logged out\nstopped\n")
}

/// What the server prints for the calls of a user, with `returns` in their extra if not empty.
fn server_log(user: &str, returns: &str) -> String {
    let extra = |own: &str| {
        let own = [own, returns, &format!(r#"("__user_id__", "{user}")"#)];
        let pairs: Vec<_> = own.into_iter().filter(|pair| !pair.is_empty()).collect();
        format!("extra oob data: [{}]\n", pairs.join(", "))
    };
    let (plain, named) = (extra(""), extra(r#"("name", "scott.bo")"#));
    format!("{plain}{named}{plain}enter timeout: 3\nheartbeat: hello world!\ncall back: {user}\n")
}

/// What a server has printed, without the deadlines of calls, which change with the time.
fn without_deadlines(printed: &str) -> String {
    let mut pieces = printed.split(r#", ("__deadline__", ""#);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let rest = piece.split_once(r#"")"#).map_or(piece, |(_, rest)| rest);
        text + rest
    })
}

/// A folder with the example's files, with addresses that fit the test.
struct Files(TempDir);

impl Files {
    /// Copies the files, and replaces ports by others.
    fn copy(ports: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["services.xml", "services-direct.xml", "config.yml"] {
            let original = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            let mut text = fs::read_to_string(original).unwrap();
            text = text.replace("localhost", "127.0.0.1");
            for (port, other) in ports {
                text = text.replace(port, other);
            }
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The server, and the endpoint at which it listens.
fn server(files: &Files, endpoint: &str) -> (Program, String) {
    let mut server = Program::start(
        Command::new(env!("CARGO_BIN_EXE_cluster-server"))
            .args(["--endpoint", endpoint, "--config"])
            .arg(files.path("config.yml")),
    );
    let endpoint = server.endpoint();
    (server, endpoint)
}

/// A gateway, and its endpoint for clients.
fn gateway(files: &Files, services: &str, name: &str) -> (Program, String) {
    let mut gateway = Program::start(
        Command::new(env!("CARGO_BIN_EXE_cluster-gateway"))
            .args([name, "--services"])
            .arg(files.path(services)),
    );
    let endpoint = gateway.endpoint();
    (gateway, endpoint)
}

fn client(endpoint: &str, token: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cluster-client"))
        .args(["--endpoint", endpoint, "--token", token])
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
fn users_of_both_gateways_reach_the_server_through_a_broker() {
    let node = Node::start();
    let port = node.port().to_string();
    let files = Files::copy(&[("5672", &port), ("12001", "0"), ("12002", "0")]);
    let (server, _) = server(&files, "mq:mq_server");
    let (socket, tcp) = gateway(&files, "services.xml", "gwserver");
    let (websocket, ws) = gateway(&files, "services.xml", "gwserver_ws");

    assert_client_output(&client(&tcp, "scott:tiger"));
    assert_client_output(&client(&ws, "bob:tiger"));

    assert_eq!(socket.stop(), gateway_log("scott"));
    assert_eq!(websocket.stop(), gateway_log("bob"));
    let returns = |queue: &str| format!(r#"("__mq_return__", "{queue}")"#);
    let of_scott = server_log("scott", &returns("mq_gateway"));
    let of_bob = server_log("bob", &returns("mq_gateway_ws"));
    let printed = without_deadlines(&server.stop());
    assert_eq!(printed, format!("{of_scott}{of_bob}stopped\n"));
}

#[test]
fn users_of_both_gateways_reach_the_server_without_a_broker() {
    let (server, at) = server(&Files::copy(&[]), "tcp://127.0.0.1:0");
    let (_, port) = at.rsplit_once(':').unwrap();
    let files = Files::copy(&[("12003", port), ("12001", "0"), ("12002", "0")]);
    let (socket, tcp) = gateway(&files, "services-direct.xml", "gwserver");
    let (websocket, ws) = gateway(&files, "services-direct.xml", "gwserver_ws");

    assert_client_output(&client(&tcp, "scott:tiger"));
    assert_client_output(&client(&ws, "bob:tiger"));

    assert_eq!(socket.stop(), gateway_log("scott"));
    assert_eq!(websocket.stop(), gateway_log("bob"));
    let (of_scott, of_bob) = (server_log("scott", ""), server_log("bob", ""));
    let printed = without_deadlines(&server.stop());
    assert_eq!(printed, format!("{of_scott}{of_bob}stopped\n"));
}

#[test]
fn a_wrong_password_is_refused() {
    let files = Files::copy(&[("12003", "1"), ("12002", "0")]);
    let (_gateway, tcp) = gateway(&files, "services-direct.xml", "gwserver");
    let output = client(&tcp, "scott:lion");
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        message.contains("CONNECT_REJECT: unknown user"),
        "{message}"
    );
}

#[test]
fn a_mistake_in_the_file_is_reported_with_its_line() {
    let files = Files::copy(&[(r#"out="server""#, r#"out="sever""#)]);
    let file = files.path("services-direct.xml");
    let output = Command::new(env!("CARGO_BIN_EXE_cluster-gateway"))
        .args(["gwserver", "--services"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    let begin = format!("Error: {}:", file.display());
    assert!(message.starts_with(&begin), "{message}");
    assert!(message.contains("did you mean `server`?"), "{message}");
}
