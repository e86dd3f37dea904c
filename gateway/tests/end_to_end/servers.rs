//! Servers that disconnect and reconnect.

use std::{sync::Arc, time::Duration};

use tce_runtime::{
    Adapter, Communicator, ErrorCode,
    config::{MqConfig, Options},
};
use tce_tests::test::ServerServant;
use tokio::sync::mpsc;

use crate::common::{
    client::{Client, works},
    house::{House, Server},
    plan::{Front, Plan},
    process::{ServerProcess, say_ready},
    raw::{Message, string},
    seed::Seed,
    watching::{soon, within},
};

/// The environment variables of a server process: its endpoint, and its
/// config.yml.
const SERVER: &str = "TCE_TEST_SERVER";
/// The name of a server in a process of its own.
const FAR: &str = "far";

async fn serve(what: &str) {
    let (endpoint, config) = what.split_once(' ').expect("two words");
    let communicator = Communicator::new();
    if !config.is_empty() {
        let config = MqConfig::load(config, "server").expect("it is right");
        communicator
            .open_mq(config)
            .await
            .expect("the broker is there");
    }
    let adapter = Adapter::listen(&communicator, endpoint).await;
    let adapter = adapter.expect("the endpoint is free");
    let seed = Seed {
        name: FAR.to_owned(),
        seen: Arc::default(),
        heard: mpsc::channel(1).0,
    };
    adapter.add_servant(ServerServant::new(seed)).start();
    say_ready(&adapter.endpoint().port.to_string());
    std::future::pending::<()>().await;
}

/// A server that can be killed, at an endpoint.
async fn far(endpoint: &str, config: &str) -> (ServerProcess, u16) {
    let test = "servers::a_process_of_its_own_serves";
    let what = format!("{endpoint} {config}");
    let (process, port) = ServerProcess::start(test, SERVER, &what).await;
    (process, port.parse().expect("it is a port"))
}

#[test]
fn a_process_of_its_own_serves() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Ok(what) = std::env::var(SERVER) {
        return runtime.block_on(serve(&what));
    }
    runtime.block_on(async {
        let (_process, port) = far("tcp://127.0.0.1:0", "").await;
        let endpoint = format!("tcp://127.0.0.1:{port}");
        let folder = tempfile::tempdir().unwrap();
        Plan::direct().write(folder.path(), &[port]);
        let client = Client::connect(&endpoint, folder.path(), Options::default()).await;
        client.unwrap().works().await;
    });
}

/// Another server executes the calls that the killed one had started.
#[tokio::test]
async fn calls_of_a_server_that_is_killed_go_to_the_next_by_queue() {
    let plan = Plan::rabbitmq();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yml");
    std::fs::write(&config, plan.config()).unwrap();
    let queue = format!("mq:{}", plan.calls());
    let (mut process, _) = far(&queue, &config.display().to_string()).await;
    let mut house = House::before(plan, &[], |it| it).await;
    let client = house.client(Front::Socket).await;
    let calls: Vec<_> = (0..5).map(|_| client.server.echo("gate")).collect();
    // This call is queued behind them.
    assert_eq!(within(client.server.datetime()).await.unwrap(), FAR);
    let near = Server::start(&house.plan, "near").await;
    near.seen.open_gate();
    house.servers.push(near);
    process.kill();
    for call in calls {
        assert_eq!(within(call).await.unwrap(), "through");
    }
    house.server().seen.gate_reached(5).await;
    assert_eq!(within(client.server.datetime()).await.unwrap(), "near");
    drop(client);
    house.end().await;
}

/// Two clients, the first at the server of that name.
async fn clients_at(house: &House, name: &str) -> (Client, Client) {
    let one = house.client(Front::Socket).await;
    let other = house.client(Front::WebSocket).await;
    let first = within(one.server.datetime()).await.unwrap();
    let second = within(other.server.datetime()).await.unwrap();
    assert_ne!(first, second, "they share the work");
    if first == name {
        (one, other)
    } else {
        (other, one)
    }
}

/// Calls to a server that disconnects fail at once; later ones go to another
/// server, and to the same one after it reconnects.
#[tokio::test]
async fn calls_of_a_server_that_is_killed_fail_at_once() {
    let (mut process, port) = far("tcp://127.0.0.1:0", "").await;
    let plan = Plan::direct();
    let near = Server::start(&plan, "near").await;
    let mut house = House::before(plan, &[port, near.port()], |it| it).await;
    house.servers.push(near);
    house.is_ready().await;
    let (there, here) = clients_at(&house, FAR).await;
    let calls: Vec<_> = (0..5).map(|_| there.server.echo("gate")).collect();
    let unaffected = here.server.echo("gate");
    assert_eq!(within(there.server.datetime()).await.unwrap(), FAR);
    house.server().seen.gate_reached(1).await;
    process.kill();
    for call in calls {
        let error = soon(call).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectionLost, "{error}");
    }
    assert_eq!(within(there.server.datetime()).await.unwrap(), "near");
    house.server().seen.open_gate();
    assert_eq!(within(unaffected).await.unwrap(), "through");

    let (process, _) = far(&format!("tcp://127.0.0.1:{port}"), "").await;
    within(async {
        while there.server.datetime().await.unwrap() != FAR {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    drop((there, here, process));
    house.end().await;
}

/// What the system has received when the shutdown begins is forwarded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_have_arrived_at_a_shutdown_are_forwarded() {
    const CALLS: usize = 20_000;
    const HEARTBEAT: u16 = 2;
    for plan in [Plan::direct(), Plan::memory()] {
        let house = House::start(plan.property("shutdown_time", "20")).await;
        let mut client = house.raw().await;
        works(&mut client).await;
        let frames = (0..CALLS).map(|number| {
            let call = Message {
                calltype: 0x21,
                ..Message::call(0, HEARTBEAT, string(&number.to_string()))
            };
            call.frame()
        });
        client.send(&frames.collect::<Vec<_>>().concat()).await;
        let (gateway, server) = (house.gateway(), house.server());
        let receive = async {
            for number in 0..CALLS {
                let heard = tokio::time::timeout(Duration::from_secs(5), server.next_heard()).await;
                if heard.is_err() {
                    panic!(
                        "{number} {:?} {:?}",
                        house.snapshot().drops,
                        house.snapshot().totals
                    );
                }
            }
        };
        let (ended, ()) = tokio::join!(gateway.shutdown(), receive);
        assert!(ended);
        drop(client);
        house.end().await;
    }
}

#[tokio::test]
async fn without_any_server_calls_fail_at_once() {
    let (mut process, port) = far("tcp://127.0.0.1:0", "").await;
    let house = House::before(Plan::direct(), &[port], |it| it).await;
    house.is_ready().await;
    let client = house.client(Front::Socket).await;
    client.works().await;
    let call = client.server.echo("gate");
    assert_eq!(within(client.server.datetime()).await.unwrap(), FAR);
    process.kill();
    let error = soon(call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost, "{error}");
    let error = soon(client.server.echo("hello")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SendFailed, "{error}");
    client.server.heartbeat_oneway("lost").await.unwrap();
    house.dropped("not_sent", 1).await;
    drop(client);
    house.end().await;
}
