//! Outages of the broker.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tce_runtime::{ErrorCode, Proxy, TypedProxy};
use tce_test_rabbitmq::Node;
use tce_tests::test::ServerPrx;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    common::{
        client::Client,
        house::House,
        plan::{Front, Plan},
        watching::{eventually, soon, within},
    },
    wire::Wire,
};

/// Calls until one succeeds; earlier ones fail with a reason. A call that the
/// broker has accepted may wait for the server, which reconnects by itself.
async fn works_again(client: &Client) {
    within(async {
        loop {
            match within(client.server.echo("again")).await {
                Ok(answer) => return assert_eq!(answer, "Yah! again"),
                Err(error) => assert!(error.can_retry(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn is_away(house: &House) {
    eventually("the gateway knows that the broker is away", || {
        let upstreams = house.snapshot().upstreams;
        upstreams
            .iter()
            .all(|row| row.state != tce_gateway::admin::UpstreamState::Up)
    })
    .await;
}

/// Calls fail at once, and the gateway reports the broker.
async fn fails_at_once(client: &Client) {
    let error = soon(client.server.echo("away")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SendFailed);
    assert!(error.to_string().contains("calls"), "{error}");
}

/// The same connection still serves calls that need no broker.
async fn is_still_connected(client: &Client) {
    let proxy = Proxy::new(client.server.connection());
    soon(proxy.ping())
        .await
        .expect("the gateway itself answers");
}

/// Calls repeatedly until told to stop; each call ends in time. Returns the
/// number of calls answered after the outage.
async fn keep_calling(server: ServerPrx, told: watch::Receiver<Told>) -> usize {
    let mut answered = 0;
    loop {
        let now = *told.borrow();
        let start = Instant::now();
        match within(server.echo("busy")).await {
            Ok(answer) => {
                assert_eq!(answer, "Yah! busy");
                answered += usize::from(now != Told::Begin);
            }
            Err(error) => {
                let expected = [
                    ErrorCode::SendFailed,
                    ErrorCode::ConnectionLost,
                    ErrorCode::Timeout,
                ];
                assert!(expected.contains(&error.code()), "{error}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let took = start.elapsed();
        assert!(took < CALL_TIME + Duration::from_secs(3), "{took:?}");
        if now == Told::Stop {
            return answered;
        }
    }
}

/// The phase of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Begin,
    BrokerIsBack,
    Stop,
}

/// The time limit of calls in this test.
const CALL_TIME: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_and_comes_again_is_survived() {
    let mut node = Node::start();
    let plan = Plan::at_broker(node.port()).property("call_time", "5");
    let house = House::start(plan).await;
    let told = watch::channel(Told::Begin).0;
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let client = house.client(Front::Socket).await;
        load.spawn(keep_calling(client.server, told.subscribe()));
    }
    let mut clients = [
        house.client(Front::Socket).await,
        house.client(Front::WebSocket).await,
        house.client(Front::Ssl).await,
    ];
    let seen = &house.server().seen;
    let waiting = clients[0].server.echo("gate");
    seen.gate_reached(1).await;
    eventually("all are connected", || numbers(&house).len() == 7).await;
    let first_numbers = numbers(&house);

    tokio::task::block_in_place(|| node.kill());
    is_away(&house).await;
    for client in &clients {
        fails_at_once(client).await;
        is_still_connected(client).await;
    }
    tokio::task::block_in_place(|| node.restart());
    works_again(&clients[0]).await;
    told.send_replace(Told::BrokerIsBack);
    for client in &mut clients {
        works_again(client).await;
        within(client.server.bidirection()).await.unwrap();
        assert_eq!(client.next_push().await, "server push message!");
    }
    // Only sockets receive broadcasts; they received nothing else.
    hears_broadcasts(&house, &mut clients[0]).await;
    // The message was durable and not acknowledged: it is executed again.
    seen.open_gate();
    match within(waiting).await {
        Ok(answer) => assert_eq!(answer, "through"),
        Err(error) => {
            let expected = [ErrorCode::ConnectionLost, ErrorCode::Timeout];
            assert!(expected.contains(&error.code()), "{error}");
        }
    }
    assert_eq!(numbers(&house), first_numbers, "the same connections");
    told.send_replace(Told::Stop);
    let answered = within(load.join_all()).await;
    assert!(answered.iter().all(|count| *count > 0), "{answered:?}");
    drop(clients);
    house.end().await;
}

/// Broadcasts until one is received: a topic drops those that are sent before the
/// gateway reads it again.
async fn hears_broadcasts(house: &House, client: &mut Client) {
    within(async {
        loop {
            house.server().tell_all(&house.plan, "to all").await;
            let next = tokio::time::timeout(Duration::from_millis(50), client.pushed.recv());
            if let Ok(heard) = next.await {
                return assert_eq!(heard.as_deref(), Some("to all"));
            }
        }
    })
    .await;
}

/// The numbers of the clients' connections.
fn numbers(house: &House) -> BTreeSet<u64> {
    let rows = house.snapshot().connections.rows;
    rows.iter().map(|row| row.id).collect()
}

/// A house whose gateway, unlike the server, reaches the broker through a proxy.
async fn behind_wire() -> (Wire, House) {
    let wire = Wire::to(Node::shared().port()).await;
    let plan = Plan::at_broker(wire.port());
    let mut house = House::before(plan, &[], |it| it).await;
    let mut at_broker = house.plan.clone();
    at_broker.by = Plan::rabbitmq().by;
    let server = crate::common::house::Server::start(&at_broker, "server0").await;
    house.servers.push(server);
    (wire, house)
}

#[tokio::test]
async fn what_is_answered_while_the_way_is_cut_arrives_later() {
    let (wire, house) = behind_wire().await;
    let client = house.client(Front::Socket).await;
    let call = client.server.echo("gate");
    house.server().seen.gate_reached(1).await;
    // The broker has confirmed the messages before this answer.
    client.works().await;
    wire.close().await;
    is_away(&house).await;
    fails_at_once(&client).await;
    house.server().seen.open_gate();
    wire.open();
    assert_eq!(within(call).await.unwrap(), "through");
    works_again(&client).await;
    drop(client);
    house.end().await;
}

#[tokio::test]
async fn oneway_calls_wait_for_the_broker() {
    let (wire, house) = behind_wire().await;
    let client = house.client(Front::Socket).await;
    client.works().await;
    wire.close().await;
    is_away(&house).await;
    for number in 0..3 {
        let sent = client.server.heartbeat_oneway(&format!("{number}")).await;
        sent.unwrap();
    }
    fails_at_once(&client).await;
    wire.open();
    for number in 0..3 {
        assert_eq!(house.server().next_heard().await, format!("{number}"));
    }
    works_again(&client).await;
    drop(client);
    house.end().await;
}

/// Messages that can't be sent do not delay the shutdown.
#[tokio::test]
async fn a_gateway_ends_though_its_broker_is_away() {
    let (wire, house) = behind_wire().await;
    let client = house.client(Front::Socket).await;
    client.works().await;
    wire.close().await;
    is_away(&house).await;
    client.server.heartbeat_oneway("lost").await.unwrap();
    assert!(soon(house.gateway().shutdown()).await);
    drop(client);
    house.end().await;
}

/// A gateway that is started before its broker serves once the broker is up.
#[tokio::test]
async fn a_broker_that_is_late_is_waited_for() {
    let wire = Wire::to(Node::shared().port()).await;
    wire.close().await;
    let plan = Plan::at_broker(wire.port());
    let starting = House::before(plan, &[], |it| it);
    let mut starting = std::pin::pin!(starting);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut starting).await;
    assert!(early.is_err(), "nobody is served by a gateway that can't");
    wire.open();
    let house = within(starting).await;
    let mut at_broker = house.plan.clone();
    at_broker.by = Plan::rabbitmq().by;
    let server = crate::common::house::Server::start(&at_broker, "server0").await;
    let client = house.client(Front::Socket).await;
    client.works().await;
    drop((client, server));
    house.end().await;
}
