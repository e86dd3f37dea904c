//! Users at two gateways, as processes, with a RabbitMQ node and without one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't run its programs fails"
)]

#[path = "../../common/program.rs"]
mod program;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use program::Program;
use tce_gateway::{Gateway, RunningGateway};
use tce_test_rabbitmq::Node;
use tempfile::TempDir;

/// A folder with the example's files; gateways listen on free ports.
fn files(broker_port: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["services.xml", "config.yml"] {
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let text = fs::read_to_string(original).unwrap();
        let text = text
            .replace("localhost", "127.0.0.1")
            .replace("5672", broker_port)
            .replace("12001", "0")
            .replace("12002", "0");
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn user(name: &str, endpoint: &str) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sendmessage-client"));
    command.args([name, "--endpoint", endpoint]);
    Program::start(command.stdin(Stdio::piped()))
}

fn type_line(user: &mut Program, line: &str) {
    let stdin = user.process.stdin.as_mut().unwrap();
    writeln!(stdin, "{line}").unwrap();
}

/// Closes the standard input of a user's program, and waits until it has ended.
fn log_out(mut user: Program) {
    drop(user.process.stdin.take());
    assert!(user.process.wait().unwrap().success());
}

/// Two users at different gateways send each other messages.
fn exchange_messages(tcp: &str, ws: &str) {
    let mut scott = user("scott", tcp);
    assert_eq!(scott.line(), "logged in as scott");
    type_line(&mut scott, "bob too early");
    assert_eq!(scott.line(), "not sent: bob is not online");
    type_line(&mut scott, "hello?");
    assert_eq!(scott.line(), "write a user's name, a space and the message");

    let mut bob = user("bob", ws);
    assert_eq!(scott.line(), "bob is online");
    // The call about Scott may arrive before the result of the login.
    let mut lines = [bob.line(), bob.line()];
    lines.sort();
    assert_eq!(lines, ["logged in as bob", "scott is online"]);

    type_line(&mut scott, "bob how are you?");
    assert_eq!(bob.line(), "scott: how are you?");
    type_line(&mut bob, "scott well, thank you");
    assert_eq!(scott.line(), "bob: well, thank you");

    log_out(bob);
    assert_eq!(scott.line(), "bob is offline");
    log_out(scott);
}

async fn gateway(folder: &Path, name: &str) -> (RunningGateway, String) {
    let gateway = Gateway::load(folder.join("services.xml"), name, &[]).unwrap();
    let gateway = gateway.start().await.unwrap();
    let address = gateway.addresses().next().unwrap().to_string();
    (gateway, address)
}

/// Asserts what the server prints about users and messages.
fn assert_server_output(server: &mut Program) {
    // The events are from two gateways: either may be the first.
    let mut events = [server.line(), server.line()];
    events.sort();
    assert_eq!(events, ["bob is at gwserver_ws", "scott is at gwserver"]);
    for expected in [
        "scott to bob at gwserver_ws",
        "bob to scott at gwserver",
        "bob has left gwserver_ws",
        "scott has left gwserver",
    ] {
        assert_eq!(server.line(), expected);
    }
}

#[tokio::test]
async fn users_of_two_gateways_exchange_messages_through_a_broker() {
    let node = Node::start();
    let folder = files(&node.port().to_string());
    let mut server =
        Program::start(Command::new(env!("CARGO_BIN_EXE_sendmessage-server")).current_dir(&folder));
    assert_eq!(server.endpoint(), "mq:mq_server");
    let (socket, tcp) = gateway(folder.path(), "gwserver").await;
    let (websocket, ws) = gateway(folder.path(), "gwserver_ws").await;

    // The gateways run on this thread, so the blocking part runs on another.
    let exchange = tokio::task::spawn_blocking(move || {
        exchange_messages(&tcp, &ws);
        assert_server_output(&mut server);
        server
    });
    let server = exchange.await.unwrap();
    assert!(socket.shutdown().await);
    assert!(websocket.shutdown().await);
    assert_eq!(server.stop(), "stopped\n");
}

#[test]
fn users_of_two_gateways_exchange_messages_without_a_broker() {
    let folder = files("5672");
    let mut all = Program::start(
        Command::new(env!("CARGO_BIN_EXE_sendmessage-in-memory")).current_dir(&folder),
    );
    let (tcp, ws) = (all.endpoint(), all.endpoint());
    exchange_messages(&tcp, &ws);
    let printed = all.stop();
    assert!(printed.contains("scott is at gwserver\n"), "{printed}");
    assert!(printed.ends_with("stopped\n"), "{printed}");
}
