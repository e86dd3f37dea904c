//! Many clients at once: each gets its own answers, and only those.

use std::sync::atomic::Ordering;

use tce_runtime::config::Options;
use tce_tests::test::ServerPrx;
use tokio::task::JoinSet;

use crate::common::{
    client::Client,
    house::House,
    plan::{Front, Plan},
    watching::within,
};

/// The number of concurrent calls of a client.
const AT_ONCE: usize = 10;

/// Connects clients to all gateways in turn, each with its kind of endpoint.
async fn clients(house: &House, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in 0..count {
        let gateway = number % house.gateways.len();
        let front = [Front::Socket, Front::WebSocket][gateway % 2];
        let options = Options::default();
        clients.push(house.client_of(gateway, front, options).await);
    }
    clients
}

/// Makes `calls` calls of one client, each with a different answer.
async fn call(server: ServerPrx, client: usize, calls: usize) {
    for round in 0..calls / AT_ONCE {
        let texts = (0..AT_ONCE).map(|place| format!("{client} {round} {place}"));
        let calls: Vec<_> = texts.map(|text| (server.echo(&text), text)).collect();
        for (call, text) in calls {
            assert_eq!(call.await.expect("it is answered"), format!("Yah! {text}"));
        }
    }
}

/// Each client makes `calls` concurrent calls; every server has handled some.
async fn all_call(house: &House, clients: &[Client], calls: usize) {
    let mut calling = JoinSet::new();
    for (number, client) in clients.iter().enumerate() {
        calling.spawn(call(client.server.clone(), number, calls));
    }
    within(calling.join_all()).await;
    let shares: Vec<_> = house
        .servers
        .iter()
        .map(|server| server.seen.echoed.load(Ordering::Relaxed))
        .collect();
    let all = clients.len() * calls;
    assert_eq!(shares.iter().sum::<usize>(), all, "each call once");
    let fair = all / house.servers.len();
    assert!(shares.iter().all(|share| *share > fair / 4), "{shares:?}");
}

/// A push to a user reaches this user only.
async fn push_to_one(clients: &mut [Client], from: usize, to: usize) {
    let user = clients[to].who().await;
    let pushing = format!("push {user} for you alone");
    let pushed = within(clients[from].server.echo(&pushing)).await;
    assert_eq!(pushed.expect("the server pushes"), "pushed");
    assert_eq!(clients[to].next_push().await, "for you alone");
}

/// Broadcasts to all clients of all gateways; each receives it next.
async fn broadcast(house: &House, clients: &mut [Client], text: &str) {
    house.server().tell_all(&house.plan, text).await;
    for client in clients {
        assert_eq!(client.next_push().await, text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_rabbitmq() {
    let house = House::start(Plan::rabbitmq().gateways(2).servers(3)).await;
    let mut clients = clients(&house, 200).await;
    all_call(&house, &clients, 100).await;
    broadcast(&house, &mut clients, "to all").await;
    push_to_one(&mut clients, 0, 4).await;
    push_to_one(&mut clients, 1, 7).await;
    // A duplicate or misdirected push would arrive before this one.
    broadcast(&house, &mut clients, "to all again").await;
    drop(clients);
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directly() {
    let house = House::start(Plan::direct().gateways(2).servers(3)).await;
    let mut clients = clients(&house, 60).await;
    all_call(&house, &clients, 100).await;
    push_to_one(&mut clients, 0, 4).await;
    for client in &mut clients {
        within(client.server.bidirection_oneway()).await.unwrap();
        assert_eq!(client.next_push().await, "server push message!");
    }
    drop(clients);
    house.end().await;
}
