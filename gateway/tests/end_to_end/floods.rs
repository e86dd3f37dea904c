//! Work whose amount a client decides: log lines, logins, handshakes, inflating.

use std::time::{Duration, Instant};

use tce_runtime::config::Options;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    common::{
        client::{Client, echo, works},
        house::House,
        plan::{Front, Plan},
        raw::{Message, Raw, deflate, frame},
        scene::Scene,
        watching::{eventually, within},
    },
    peer::Peer,
};

/// Far more than a call takes beside a flood on a busy machine, and far less than
/// it takes behind one.
const USUAL: Duration = Duration::from_millis(500);

/// Asserts that a client's calls are answered as usual.
async fn is_answered_as_usual(client: &Client, calls: usize) {
    let mut times = Vec::new();
    for _ in 0..calls {
        let start = Instant::now();
        client.works().await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let slow = times[calls * 95 / 100];
    assert!(slow < USUAL, "{slow:?}");
}

fn with_login(plan: Plan) -> Plan {
    plan.property("userid_check", "true")
        .property("auth", "token")
}

/// A frame whose message has one byte.
fn malformed() -> Vec<u8> {
    frame(0, &[7])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_messages_are_logged_once_and_end_their_connection() {
    let scene = Scene::start(Plan::direct(), &["gw0"]).await;
    let bystander = scene.client(0).await;
    let flood = malformed().repeat(20_000);
    for (number, front) in [0, 1].into_iter().enumerate() {
        let address = scene.gateway.addresses()[front].clone();
        if front == 0 {
            let mut client = Raw::connect(&address).await;
            let _ = within(client.0.write_all(&flood)).await;
            client.closed().await;
        } else {
            let mut client = Peer::connect(&address).await;
            client.send_bytes(flood.clone()).await;
            client.ended().await;
        }
        eventually("the end is logged", || {
            scene.gateway.logged("dropped malformed messages") == number + 1
        })
        .await;
        assert_eq!(scene.gateway.logged("dropped a message"), number + 1);
    }
    bystander.works().await;
}

/// A client may send a few, whose text tells what is wrong with them.
#[tokio::test]
async fn a_few_malformed_messages_are_tolerated() {
    let house = House::start(Plan::direct()).await;
    let mut client = house.raw().await;
    client.send(&malformed().repeat(10)).await;
    works(&mut client).await;
    drop(client);
    house.end().await;
}

/// Clients that connect again after each malformed message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_does_not_flood_the_log() {
    let scene = Scene::start(with_login(Plan::direct()), &["gw0"]).await;
    let address = scene.gateway.addresses()[0].clone();
    let start = Instant::now();
    for _ in 0..500 {
        let mut client = Raw::connect(&address).await;
        client
            .send(&[malformed(), echo(1, "no token").frame()].concat())
            .await;
        client.closed().await;
    }
    // Each kind of line: a burst of 50, then 10 a second.
    let allowed = 51 + 10 * (usize::try_from(start.elapsed().as_secs()).unwrap() + 1);
    for line in ["dropped a message", "closing a connection"] {
        let logged = scene.gateway.logged(line);
        assert!((20..=allowed).contains(&logged), "{line}: {logged}");
    }
    let options = Options {
        token: Some("anna".to_owned()),
        ..Options::default()
    };
    let address = address.to_string();
    let client = Client::connect(&address, scene.folder.path(), options);
    client.await.expect("it is let in").works().await;
}

#[tokio::test]
async fn failed_logins_of_an_address_are_limited() {
    let plan = with_login(Plan::direct()).property("max_failed_logins", "3");
    let house = House::start(plan).await;
    let mut texts = Vec::new();
    for number in 0..5 {
        let mut client = house.raw().await;
        let hello = echo(number, "hello").with_extra(&[("__token__", "")]);
        let answer = client.call(&hello).await;
        texts.push(answer.extra("__error__").unwrap_or_default().to_owned());
        client.closed().await;
    }
    assert!(texts[2].contains("carries no token"), "{texts:?}");
    for limited in &texts[3..] {
        assert!(limited.contains("too many logins"), "{texts:?}");
    }
    house.end().await;
}

/// Connections that have not said anything, or are in their handshake.
#[tokio::test]
async fn silent_connections_keep_no_other_out() {
    let house = House::start(Plan::direct().property("max_connections", "4")).await;
    let mut speaking = house.raw().await;
    works(&mut speaking).await;
    for front in [Front::Socket, Front::WebSocket, Front::Ssl, Front::Wss] {
        let mut silent = Vec::new();
        for _ in 0..300 {
            let address = house.address(front);
            let socket = TcpStream::connect((address.host.as_str(), address.port));
            silent.push(within(socket).await.expect("it is accepted"));
        }
        let newcomer = house.client(front).await;
        newcomer.works().await;
        works(&mut speaking).await;
        drop((newcomer, silent));
    }
    eventually("they have gone", || house.gateway().connections() == 1).await;
    drop(speaking);
    house.end().await;
}

/// A peer that does not answer a close message: its connection ends after a second.
#[tokio::test]
async fn a_connection_that_gives_way_counts_no_more() {
    let house = House::start(Plan::direct().property("max_connections", "2")).await;
    let first = house.client(Front::Socket).await;
    first.works().await;
    let silent = Peer::connect(house.address(Front::WebSocket)).await;
    eventually("it is connected", || house.gateway().connections() == 2).await;
    let second = house.client(Front::Socket).await;
    second.works().await;
    drop(first);
    eventually("it has gone", || house.gateway().connections() == 2).await;
    let third = house.client(Front::Socket).await;
    third.works().await;
    second.works().await;
    drop((second, third, silent));
    house.end().await;
}

/// One core serves all clients: inflating must leave time for others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inflating_leaves_time_for_others() {
    let scene = Scene::start(Plan::direct(), &["gw0"]).await;
    let bystander = scene.client(0).await;
    let call = Message {
        calltype: 0x21,
        ..echo(2, &"0".repeat(3 << 20))
    };
    let bombs = frame(1, &deflate(&call.bytes())).repeat(20);
    let mut attackers = JoinSet::new();
    for _ in 0..4 {
        let (address, bombs) = (scene.gateway.addresses()[0].clone(), bombs.clone());
        attackers.spawn(async move {
            let mut client = Raw::connect(&address).await;
            while client.0.write_all(&bombs).await.is_ok() {}
        });
    }
    sleep(Duration::from_millis(200)).await;
    is_answered_as_usual(&bystander, 40).await;
    drop(attackers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_leave_time_for_others() {
    let scene = Scene::start(Plan::direct(), &["gw0"]).await;
    let bystander = scene.client(0).await;
    let address = scene.gateway.addresses()[2].to_string();
    let mut attackers = JoinSet::new();
    for _ in 0..16 {
        let (address, folder) = (address.clone(), scene.folder.path().to_owned());
        attackers.spawn(async move {
            loop {
                let client = Client::connect(&address, &folder, Options::default());
                drop(timeout(Duration::from_secs(5), client).await);
            }
        });
    }
    sleep(Duration::from_millis(200)).await;
    is_answered_as_usual(&bystander, 100).await;
    drop(attackers);
}

/// The rate counts the bytes of the inflated message.
#[tokio::test]
async fn the_byte_rate_counts_inflated_bytes() {
    let plan = Plan::direct().property("max_bytes_per_second", "1000000");
    let house = House::start(plan).await;
    let mut client = house.raw().await;
    let call = echo(1, &"0".repeat(1_000_000));
    let start = Instant::now();
    client
        .send(&frame(1, &deflate(&call.bytes())).repeat(2))
        .await;
    client.send(&echo(2, "hello").frame()).await;
    for _ in 0..3 {
        assert_eq!(client.message().await.errcode, 0);
    }
    let took = start.elapsed();
    assert!(took > Duration::from_millis(900), "{took:?}");
    drop(client);
    house.end().await;
}
