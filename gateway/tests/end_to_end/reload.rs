//! Reloads while clients call.

use std::time::Duration;

use tce_gateway::GatewayError;
use tce_runtime::ErrorCode;
use tce_test_rabbitmq::Node;

use crate::common::{
    house::{House, Server},
    plan::{Front, Plan},
    watching::{eventually, soon, within},
};

fn change(house: &House, from: &str, to: &str) {
    let text = std::fs::read_to_string(house.file()).unwrap();
    let changed = text.replace(from, to);
    assert_ne!(text, changed, "{from}");
    std::fs::write(house.file(), changed).unwrap();
}

/// Calls go to another server; the old one answers calls in flight, and its
/// disconnect does not affect calls to the new one.
#[tokio::test]
async fn calls_move_to_another_server() {
    let mut house = House::start(Plan::direct()).await;
    let next = Server::start(&house.plan, "server1").await;
    let client = house.client(Front::Socket).await;
    let at_old = [(); 2].map(|()| client.server.echo("gate"));
    house.server().seen.gate_reached(2).await;
    let port = |server: &Server| format!("127.0.0.1:{}\"", server.port());
    change(&house, &port(house.server()), &port(&next));
    house.servers.push(next);
    within(house.gateway().reload()).await.unwrap();
    house.is_ready().await;
    assert_eq!(within(client.server.datetime()).await.unwrap(), "server1");
    let at_new = client.server.echo("gate");
    house.servers[1].seen.gate_reached(1).await;

    let [answered, lost] = at_old;
    house.server().seen.gate.add_permits(1);
    assert_eq!(within(answered).await.unwrap(), "through");
    let old = house.servers.remove(0);
    old.communicator.shutdown(Duration::ZERO).await;
    let error = soon(lost).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
    house.server().seen.open_gate();
    assert_eq!(within(at_new).await.unwrap(), "through");
    drop(client);
    house.end().await;
}

/// A server that moves to another address is not missed: calls go to the old one until
/// the new one is up.
#[tokio::test]
async fn the_old_server_serves_until_the_new_one_is_up() {
    let mut house = House::start(Plan::direct()).await;
    let client = house.client(Front::Socket).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let old = format!("127.0.0.1:{}\"", house.server().port());
    change(&house, &old, &format!("127.0.0.1:{port}\""));
    let start_next = async {
        for _ in 0..20 {
            assert_eq!(within(client.server.datetime()).await.unwrap(), "server0");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Server::start_at(&house.plan, "server1", port).await
    };
    let (reloaded, next) = tokio::join!(within(house.gateway().reload()), start_next);
    reloaded.unwrap();
    assert_eq!(within(client.server.datetime()).await.unwrap(), "server1");
    house.servers.push(next);
    drop(client);
    house.end().await;
}

/// A new queue is opened, and the others stay open.
#[tokio::test]
async fn calls_move_to_another_queue() {
    for plan in [Plan::memory(), Plan::rabbitmq()] {
        let mut house = House::start(plan).await;
        let mut client = house.client(Front::Socket).await;
        let mut moved = house.plan.clone();
        moved.name_calls("moved");
        let next = Server::start(&moved, "server1").await;
        let call = client.server.echo("gate");
        house.server().seen.gate_reached(1).await;
        std::fs::write(house.file(), moved.services(house.folder(), &[])).unwrap();
        within(house.gateway().reload()).await.unwrap();
        assert_eq!(within(client.server.datetime()).await.unwrap(), "server1");
        within(client.server.bidirection()).await.unwrap();
        assert_eq!(client.next_push().await, "server push message!");
        house.server().seen.open_gate();
        assert_eq!(within(call).await.unwrap(), "through");
        house.servers.push(next);
        drop(client);
        house.end().await;
    }
}

/// A queue that the file reads no longer is left to other readers, and read again if it
/// comes back.
#[tokio::test]
async fn a_queue_that_is_removed_is_read_no_longer() {
    let house = House::start(Plan::rabbitmq()).await;
    let queue = house.plan.queue("events");
    let without = format!("{}\"/>", house.plan.queue("all"));
    let with = format!("{},{queue}\"/>", house.plan.queue("all"));
    let readers = async |expected: &str| {
        let is_reached = || {
            let rows = Node::shared().control(&["list_queues", "name", "consumers"]);
            let row = rows.iter().find(|row| row[0] == queue);
            row.is_some_and(|row| row[1] == expected)
        };
        eventually("the queue has its readers", is_reached).await;
    };
    for _ in 0..2 {
        change(&house, &without, &with);
        within(house.gateway().reload()).await.unwrap();
        readers("1").await;
        change(&house, &with, &without);
        within(house.gateway().reload()).await.unwrap();
        readers("0").await;
    }
    let client = house.client(Front::Socket).await;
    client.works().await;
    drop(client);
    house.end().await;
}

/// A change of `listen` is refused, with the whole file.
#[tokio::test]
async fn other_listeners_need_a_new_start() {
    let house = House::start(Plan::direct()).await;
    let client = house.client(Front::Socket).await;
    let other = r#"name="gw0_socket" compress="1" type"#;
    change(&house, r#"name="gw0_socket" type"#, other);
    let refused = house.gateway().reload().await.unwrap_err();
    assert!(
        matches!(refused, GatewayError::ListenersChanged),
        "{refused}"
    );
    client.works().await;
    change(&house, r#"<server name="gw0""#, r#"<server name="gw9""#);
    let refused = house.gateway().reload().await.unwrap_err();
    assert!(refused.to_string().contains("gw0"), "{refused}");
    client.works().await;
    drop(client);
    eventually("it has gone", || house.gateway().connections() == 0).await;
    house.end().await;
}
