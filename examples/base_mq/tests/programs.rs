//! Both programs as processes, with a RabbitMQ node; and the program that needs none.

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
    time::Duration,
};

use example_base_mq::test::ServerPrx;
use program::Program;
use tce_runtime::{config::MqConfig, prelude::*};
use tce_test_rabbitmq::Node;

/// What the client prints.
const CLIENT: &str = "\
twoway: Yah! hello
extra: Yah! hello
async: Yah! pingpang
timeout: test::Server::timeout: TIMEOUT: no answer within 1s (mq:mq_server)
onMessage: server push message!
";

/// What the server prints for it.
const SERVER: &str = r#"extra oob data: [("__mq_return__", "mq_client")]
extra oob data: [("name", "scott.bo"), ("__mq_return__", "mq_client")]
extra oob data: [("__mq_return__", "mq_client")]
enter timeout: 3
heartbeat: hello world!
"#;

/// A copy of the programs' configuration, with the node's port.
fn configuration(folder: &Path, port: u16) -> PathBuf {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.yml")).unwrap();
    let text = text.replace("host: localhost", "host: 127.0.0.1");
    let path = folder.join("config.yml");
    fs::write(&path, text.replace("port: 5672", &format!("port: {port}"))).unwrap();
    path
}

fn server(config: &Path) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_base-mq-server"));
    let mut server = Program::start(command.arg("--config").arg(config));
    assert_eq!(server.endpoint(), "mq:mq_server");
    server
}

fn client(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_base-mq-client"));
    command.arg("--config").arg(config);
    command
}

/// What a server prints, without the deadlines of calls, which change with the time.
fn without_deadlines(printed: &str) -> String {
    let mut pieces = printed.split(r#"("__deadline__", ""#);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let rest = piece.split_once(r#""), "#).map_or(piece, |(_, rest)| rest);
        text + rest
    })
}

#[track_caller]
fn assert_printed(output: &Output, expected: &str) {
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[tokio::test]
async fn calls_through_a_broker_work() {
    let node = Node::start();
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), node.port());

    // A call sent while no server runs waits in the queue for the first one.
    let communicator = Communicator::new();
    let queues = MqConfig::load(&config, "client").unwrap();
    communicator.open_mq(queues).await.unwrap();
    let early = ServerPrx::connect(&communicator, "mq:mq_server")
        .await
        .unwrap();
    early.heartbeat_oneway("early").await.unwrap();
    communicator.shutdown(Duration::from_secs(5)).await;

    let server = server(&config);
    assert_printed(&client(&config).output().unwrap(), CLIENT);
    let printed = without_deadlines(&server.stop());
    assert_eq!(printed, format!("heartbeat: early\n{SERVER}stopped\n"));
}

#[test]
fn calls_in_one_process_work() {
    let output = Command::new(env!("CARGO_BIN_EXE_base-mq-in-memory"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = without_deadlines(&String::from_utf8_lossy(&output.stdout));
    for line in CLIENT.lines().chain(SERVER.lines()) {
        assert!(
            printed.lines().any(|other| other == line),
            "{line}\n{printed}"
        );
    }
}

#[test]
fn without_a_broker_the_client_fails_with_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), 1);
    let output = client(&config).output().unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("127.0.0.1:1"), "{message}");
}
