//! The limits of client connections.

use std::time::{Duration, Instant};

use tce_runtime::{ErrorCode, config::Options};

use crate::common::{
    client::{Client, echo, works},
    house::House,
    plan::{FRONTS, Front, Plan},
    raw::{Raw, string},
    scene::Scene,
    watching::{eventually, within},
};

const ECHO: u16 = 0;
const TIMEOUT: u32 = 2;

/// Waits until a new client is accepted.
async fn is_let_in(house: &House) {
    within(async {
        loop {
            let mut client = house.raw().await;
            if client.call(&echo(1, "hello")).await.errcode == 0 {
                return;
            }
        }
    })
    .await;
}

/// Connects over the limit, and asserts that it is refused within about a second
/// with this reason: over a WebSocket at the handshake, and otherwise by the RETURN
/// of the first call.
async fn is_refused(house: &House, front: Front, reason: &str) {
    let (address, began) = (house.address(front).to_string(), Instant::now());
    let connected = Client::connect(&address, house.folder(), Options::default()).await;
    let error = match connected {
        Ok(client) => within(client.server.echo("over")).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.code(), ErrorCode::ConnectReject, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

async fn connections_over_the_limit_are_refused(property: &'static str, reason: &str) {
    let house = House::start(Plan::direct().property(property, "2")).await;
    let (mut first, mut second) = (house.raw().await, house.raw().await);
    works(&mut first).await;
    works(&mut second).await;
    for front in FRONTS {
        is_refused(&house, front, reason).await;
    }
    // One that says nothing is told as well.
    let (began, mut silent) = (Instant::now(), house.raw().await);
    let told = silent.message().await;
    assert_eq!(
        (told.calltype, told.errcode),
        (0x02, ErrorCode::ConnectFailed.to_wire())
    );
    assert!(told.extra("__error__").unwrap().contains(reason));
    silent.closed().await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    works(&mut second).await;
    assert_eq!(house.gateway().connections(), 2);
    drop(first);
    is_let_in(&house).await;
    works(&mut second).await;
    drop(second);
    house.end().await;
}

/// Each connection within the limit has sent a message.
#[tokio::test]
async fn connections_over_the_limit_of_the_gateway_are_refused() {
    let reason = "the gateway has as many connections as it may have";
    connections_over_the_limit_are_refused("max_connections", reason).await;
}

#[tokio::test]
async fn connections_over_the_limit_of_an_address_are_refused() {
    let reason = "the gateway has as many connections of your address as it may have";
    connections_over_the_limit_are_refused("max_connections_per_address", reason).await;
}

/// The first refusals are logged, and not every one.
#[tokio::test]
async fn a_flood_of_refused_connections_does_not_flood_the_log() {
    let scene = Scene::start(Plan::direct().property("max_connections", "1"), &["gw0"]).await;
    let client = scene.client(0).await;
    let address = scene.gateway.addresses()[0].clone();
    for _ in 0..1000 {
        drop(Raw::connect(&address).await);
    }
    scene.gateway.logs("max_connections").await;
    client.works().await;
    let lines = scene.gateway.count("refused a connection");
    assert!((1..500).contains(&lines), "{lines} lines");
}

/// A burst of one second's frames is read at once, later frames at the limited
/// rate; none is lost.
#[tokio::test]
async fn a_client_that_is_too_fast_is_read_more_slowly() {
    let house = House::start(Plan::direct().property("max_frames_per_second", "100")).await;
    let mut client = house.raw().await;
    let start = Instant::now();
    let frames: Vec<_> = (0..160)
        .map(|number| echo(number, "fast").frame())
        .collect();
    client.send(&frames.concat()).await;
    for number in 0..160 {
        assert_eq!(client.message().await.sequence, number);
    }
    let took = start.elapsed();
    assert!(took > Duration::from_millis(550), "{took:?}");
    drop(client);
    house.end().await;
}

#[tokio::test]
async fn calls_over_the_limit_are_read_when_others_have_ended() {
    for plan in [Plan::direct(), Plan::memory()] {
        let house = House::start(plan.property("max_calls_in_flight", "2")).await;
        let mut client = house.raw().await;
        let seen = &house.server().seen;
        let calls = [
            echo(1, "gate"),
            echo(2, "gate"),
            echo(3, "third"),
            echo(4, "fourth"),
        ];
        client.send(&calls.map(|call| call.frame()).concat()).await;
        seen.gate_reached(2).await;
        let mut other = house.raw().await;
        works(&mut other).await;
        assert_eq!(house.snapshot().totals.in_flight, 2);
        seen.gate.add_permits(1);
        assert_eq!(client.message().await.params, string("through"));
        assert_eq!(client.message().await.params, string("Yah! third"));
        assert_eq!(client.message().await.params, string("Yah! fourth"));
        seen.open_gate();
        assert_eq!(client.message().await.params, string("through"));
        drop((client, other));
        house.end().await;
    }
}

#[tokio::test]
async fn a_client_has_to_say_in_time_who_it_is() {
    let plan = Plan::direct()
        .property("userid_check", "true")
        .property("auth", "token")
        .property("first_message_time", "0.3");
    let house = House::start(plan).await;
    let mut known = house.raw().await;
    let hello = echo(1, "hello").with_extra(&[("__token__", "anna")]);
    assert_eq!(known.call(&hello).await.errcode, 0);
    let mut silent = house.raw().await;
    silent.closed().await;
    let mut in_pieces = house.raw().await;
    in_pieces.send(&hello.frame()[..30]).await;
    in_pieces.closed().await;
    works(&mut known).await;
    drop(known);
    house.end().await;
}

#[tokio::test]
async fn a_client_that_is_silent_for_too_long_is_disconnected() {
    let house = House::start(Plan::direct().property("idle_time", "0.5")).await;
    let seen = &house.server().seen;
    let mut waiting = house.raw().await;
    waiting.send(&echo(1, "gate").frame()).await;
    seen.gate_reached(1).await;
    let (mut idle, mut mute) = (house.raw().await, house.raw().await);
    works(&mut idle).await;
    idle.closed().await;
    mute.closed().await;
    // A client that waits for an answer is not idle.
    seen.open_gate();
    assert_eq!(waiting.message().await.params, string("through"));
    waiting.closed().await;
    house.end().await;
}

/// The caller has disconnected before the answer.
#[tokio::test]
async fn answers_to_a_client_that_has_gone_are_dropped() {
    for plan in [Plan::direct(), Plan::memory()] {
        let house = House::start(plan).await;
        let mut client = house.raw().await;
        client.send(&echo(1, "gate").frame()).await;
        house.server().seen.gate_reached(1).await;
        drop(client);
        eventually("it has gone", || house.gateway().connections() == 0).await;
        assert_eq!(house.snapshot().totals.in_flight, 0);
        house.server().seen.open_gate();
        house.dropped("user_gone", 1).await;
        house.end().await;
    }
}

/// The gateway answers TIMEOUT for a server that does not answer; the late RETURN
/// is dropped.
#[tokio::test]
async fn a_call_that_takes_too_long_is_answered_by_the_gateway() {
    for plan in [Plan::direct(), Plan::memory(), Plan::rabbitmq()] {
        let house = House::start(plan.property("call_time", "0.4")).await;
        let mut client = house.raw().await;
        let answer = client.call(&echo(5, "gate")).await;
        assert_eq!((answer.sequence, answer.errcode), (5, TIMEOUT));
        assert_eq!((answer.ifidx, answer.opidx), (2, ECHO));
        works(&mut client).await;
        assert_eq!(house.snapshot().totals.in_flight, 0);
        house.server().seen.open_gate();
        house.dropped("late_return", 1).await;
        works(&mut client).await;
        drop(client);
        house.end().await;
    }
}
