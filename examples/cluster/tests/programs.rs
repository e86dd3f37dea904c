//! The three programs, run as processes: by a RabbitMQ node, and without one.

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

/// What a client prints; `*` stands for what differs each time.
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

/// What the server prints of a user whose calls name a queue for their RETURNs, or none.
fn server_log(user: &str, returns: &str) -> String {
    let extra = |own: &str| {
        let own = [own, &format!(r#"("__user_id__", "{user}")"#), returns];
        let pairs: Vec<_> = own.into_iter().filter(|pair| !pair.is_empty()).collect();
        format!("extra oob data: [{}]\n", pairs.join(", "))
    };
    let (plain, named) = (extra(""), extra(r#"("name", "scott.bo")"#));
    format!("{plain}{named}{plain}enter timeout: 3\nheartbeat: hello world!\ncall back: {user}\n")
}

/// A folder with the example's files, changed so that nothing stands in their way here.
struct Files(TempDir);

impl Files {
    /// `ports` of the files are replaced by others.
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

/// The server, and where it listens.
fn server(files: &Files, endpoint: &str) -> (Program, String) {
    let mut server = Program::start(
        Command::new(env!("CARGO_BIN_EXE_cluster-server"))
            .args(["--endpoint", endpoint, "--config"])
            .arg(files.path("config.yml")),
    );
    let endpoint = server.endpoint();
    (server, endpoint)
}

/// A gateway, and where clients find it.
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

/// Asserts that a client calls and is called in every way.
#[track_caller]
fn assert_talk(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed.lines().count(), CLIENT.lines().count(), "{printed}");
    for (line, expected) in printed.lines().zip(CLIENT.lines()) {
        let (start, end) = expected.split_once('*').unwrap_or((expected, ""));
        assert!(line.starts_with(start) && line.ends_with(end), "{line}");
    }
}

#[test]
fn users_of_both_gateways_reach_the_server_by_a_broker() {
    let node = Node::start();
    let port = node.port().to_string();
    let files = Files::copy(&[("5672", &port), ("12001", "0"), ("12002", "0")]);
    let (server, _) = server(&files, "mq:mq_server");
    let (socket, tcp) = gateway(&files, "services.xml", "gwserver");
    let (websocket, ws) = gateway(&files, "services.xml", "gwserver_ws");

    assert_talk(&client(&tcp, "scott:tiger"));
    assert_talk(&client(&ws, "bob:tiger"));

    assert_eq!(socket.stop(), gateway_log("scott"));
    assert_eq!(websocket.stop(), gateway_log("bob"));
    let by = |queue: &str| format!(r#"("__mq_return__", "{queue}")"#);
    let of_scott = server_log("scott", &by("mq_gateway"));
    let of_bob = server_log("bob", &by("mq_gateway_ws"));
    assert_eq!(server.stop(), format!("{of_scott}{of_bob}stopped\n"));
}

#[test]
fn users_of_both_gateways_reach_the_server_without_a_broker() {
    let (server, at) = server(&Files::copy(&[]), "tcp://127.0.0.1:0");
    let (_, port) = at.rsplit_once(':').unwrap();
    let files = Files::copy(&[("12003", port), ("12001", "0"), ("12002", "0")]);
    let (socket, tcp) = gateway(&files, "services-direct.xml", "gwserver");
    let (websocket, ws) = gateway(&files, "services-direct.xml", "gwserver_ws");

    assert_talk(&client(&tcp, "scott:tiger"));
    assert_talk(&client(&ws, "bob:tiger"));

    assert_eq!(socket.stop(), gateway_log("scott"));
    assert_eq!(websocket.stop(), gateway_log("bob"));
    let (of_scott, of_bob) = (server_log("scott", ""), server_log("bob", ""));
    assert_eq!(server.stop(), format!("{of_scott}{of_bob}stopped\n"));
}

#[test]
fn who_has_a_wrong_password_is_turned_away() {
    let files = Files::copy(&[("12003", "1"), ("12002", "0")]);
    let (_gateway, tcp) = gateway(&files, "services-direct.xml", "gwserver");
    let output = client(&tcp, "scott:lion");
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaint.contains("CONNECT_REJECT: unknown user"),
        "{complaint}"
    );
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_line() {
    let files = Files::copy(&[(r#"out="server""#, r#"out="sever""#)]);
    let file = files.path("services-direct.xml");
    let output = Command::new(env!("CARGO_BIN_EXE_cluster-gateway"))
        .args(["gwserver", "--services"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    let begin = format!("Error: {}:", file.display());
    assert!(complaint.starts_with(&begin), "{complaint}");
    assert!(complaint.contains("did you mean `server`?"), "{complaint}");
}
