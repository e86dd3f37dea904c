//! `tce call` through a gateway and over message queues.

use std::{
    thread,
    time::{Duration, Instant},
};

use tce_gateway::{Gateway, config::Override};
use tce_runtime::{Adapter, Communicator, config::MqConfig};
use tce_test_faults::{Direction, FaultProxy};
use tce_test_rabbitmq::Node;

use super::{call, idl};
use crate::{
    folder,
    servers::{self, SimpleServer},
    tce,
    test::ServerServant,
};

/// A file of the examples.
fn example(name: &str) -> String {
    let path = format!("{}/../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_through_a_gateway() {
    let simple = SimpleServer::default();
    let servant = ServerServant::new(simple.clone());
    let (_adapter, endpoint) = servers::listen(&Communicator::new(), servant).await;
    let (_, port) = endpoint.rsplit_once(':').unwrap();
    let services = example("cluster/services-direct.xml")
        .replace("localhost", "127.0.0.1")
        .replace("12002", "0")
        .replace("12003", port);
    let folder = folder(&[("services.xml", &services)]);
    let gateway = Gateway::load(folder.path().join("services.xml"), "gwserver", &[]).unwrap();
    let gateway = gateway.start().await.unwrap();
    let endpoint = gateway.addresses().next().unwrap().to_string();

    // The gateway describes its servers only if it is configured so.
    call(&endpoint, &["echo", "hello"])
        .exits(1)
        .complains("CONNECT_REJECT")
        .complains("name their IDL file, or set the property `describe`");

    let idl = idl("test.idl");
    let by = |args: &[&str]| call(&endpoint, &[args, &["--idl", &idl]].concat());
    assert_eq!(by(&["echo", "hello"]).exits(0).out, "\"Yah! hello\"\n");
    by(&["echo", "hello", "-x", "name=ann", "--token", "A1001"]).exits(0);
    assert!(
        simple
            .extras()
            .contains("(\"name\", \"ann\"), (\"__user_id__\", ")
    );
    let inherited = by(&["Server.datetime"]).exits(0);
    assert_eq!(inherited.out, "\"2025-01-31T12:00:00Z\"\n");
    // There is no route for this interface.
    by(&["ITerminalGatewayServer.ping"])
        .exits(1)
        .complains("INTERFACE_NOTFOUND");
}

/// The table of an operation's interface in the listing.
const SERVER: &str = "test.Server (2)\n  0  string echo(string text)\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_describes_its_servers() {
    let servant = ServerServant::new(SimpleServer::default());
    let (_adapter, endpoint) = servers::listen(&Communicator::new(), servant).await;
    let (_, port) = endpoint.rsplit_once(':').unwrap();
    let services = example("cluster/services-direct.xml")
        .replace("localhost", "127.0.0.1")
        .replace("12002", "0")
        .replace("12003", port);
    let folder = folder(&[("services.xml", &services)]);
    let describe = Override::from_flag("describe=all").unwrap();
    let file = folder.path().join("services.xml");
    let gateway = Gateway::load(file, "gwserver", &[describe]).unwrap();
    let gateway = gateway.start().await.unwrap();
    let endpoint = gateway.addresses().next().unwrap().to_string();

    let listed = call(&endpoint, &[]).exits(0);
    assert!(listed.out.contains(SERVER), "{listed:?}");
    assert_eq!(
        call(&endpoint, &["echo", "hi"]).exits(0).out,
        "\"Yah! hi\"\n"
    );
    // Its description has the interface, which has no route.
    assert!(!listed.out.contains("ITerminalGatewayServer"), "{listed:?}");
    let described = tce(&["describe", &endpoint, "Server.echo"]).exits(0);
    let expected = "module test\n\ninterface Server extends BaseServer, index 2\n  0  string echo(string text)\n";
    assert_eq!(described.out, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_message_queues() {
    let node = Node::start();
    let config = example("base_mq/config.yml").replace("5672", &node.port().to_string());
    let folder = folder(&[("config.yml", &config)]);
    let file = folder.path().join("config.yml");
    let communicator = Communicator::new();
    let queues = MqConfig::load(&file, "server").unwrap();
    communicator.open_mq(queues).await.unwrap();
    let adapter = Adapter::listen(&communicator, "mq:mq_server")
        .await
        .unwrap();
    adapter
        .add_servant(ServerServant::new(SimpleServer::default()))
        .start();

    let queues_args = ["--mq-config", file.to_str().unwrap(), "--process", "client"];
    let over = |args: &[&str]| call("mq:mq_server", &[args, &queues_args].concat());
    assert_eq!(over(&["echo", "hello"]).exits(0).out, "\"Yah! hello\"\n");
    let named = over(&["echo", "hello", "--idl", &idl("test.idl")]).exits(0);
    assert_eq!(named.out, "\"Yah! hello\"\n");
    over(&["timeout", "0", "--oneway"]).exits(0);
    over(&["echo", "a", "--repeat", "20", "--concurrency", "4"])
        .exits(0)
        .prints("20 answered, 0 failed");
    call("mq:mq_sever", &[&["echo", "a"][..], &queues_args].concat())
        .exits(1)
        .complains("mq_sever");
}

/// A folder with a `config.yml` whose process `client` calls by `mq_server`, at a broker's port.
fn client_config(port: u16) -> tempfile::TempDir {
    let mut config = example("cluster/config.yml").replace("5672", &port.to_string());
    config.push_str("client:\n  endpoints: [{name: mq_server, af_mode: AF_WRITE}]\n");
    folder(&[("config.yml", &config)])
}

/// Calls by `mq_server` with a time limit of 2 s, and asserts that the exit does not wait for
/// anything else.
fn call_in_time(config: &tempfile::TempDir, args: &[&str]) -> super::CommandOutput {
    let file = config.path().join("config.yml");
    let idl = idl("test.idl");
    let options = ["--mq-config", file.to_str().unwrap(), "--process", "client"];
    let limit = ["--idl", idl.as_str(), "--timeout", "2s"];
    let start = Instant::now();
    let ran = call("mq:mq_server", &[args, &options, &limit].concat());
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_secs(6), "{elapsed:?}: {ran:?}");
    ran
}

#[test]
fn the_exit_does_not_wait_for_a_broker() {
    let node = Node::start();
    let config = client_config(node.port());
    // A broker that accepts no messages.
    node.control(&["set_vm_memory_high_watermark", "absolute", "1"]);
    for args in [&["echo", "hi"][..], &["heartbeat", "hi", "--oneway"]] {
        call_in_time(&config, args).exits(1).complains("error: ");
    }
    node.control(&["set_vm_memory_high_watermark", "0.6"]);

    // A broker that falls silent during the call.
    let proxy = FaultProxy::start(format!("127.0.0.1:{}", node.port()));
    let config = client_config(proxy.port());
    thread::scope(|scope| {
        let calling = scope.spawn(|| call_in_time(&config, &["timeout", "60"]));
        thread::sleep(Duration::from_secs(1));
        proxy.freeze(Direction::ToServer);
        proxy.freeze(Direction::ToClient);
        calling.join().unwrap().exits(1).complains("TIMEOUT");
    });
}

#[test]
fn a_broker_that_is_away_is_named() {
    let ran = call_in_time(&client_config(1), &["echo", "hi"])
        .exits(1)
        .complains("the broker at localhost:1")
        .complains("Try this: start the broker");
    assert!(!ran.err.contains("tce.reply"), "{ran:?}");
}
