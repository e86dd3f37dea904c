//! Clients that have more under way than a server serves at once: the others are
//! answered as usual.

use std::time::{Duration, Instant};

use crate::common::{
    client::{Client, echo},
    house::House,
    plan::{Front, Plan},
    raw::Raw,
    watching::{eventually, within},
};

/// The calls that are measured.
const SAMPLES: usize = 100;
/// Far more than a call takes on a busy machine, and far less than the slow calls
/// take, which never end here.
const USUAL: Duration = Duration::from_millis(500);

/// Sends calls that the server does not answer until its gate opens.
async fn send_slow_calls(client: &mut Raw, count: u32) {
    let calls = (0..count).map(|number| echo(number, "gate").frame());
    client.send(&calls.collect::<Vec<_>>().concat()).await;
}

/// A client that sends slow calls.
async fn attacker(house: &House, calls: u32) -> Raw {
    let mut client = house.raw().await;
    send_slow_calls(&mut client, calls).await;
    client
}

/// Asserts that a client's calls are answered as usual.
async fn is_answered_as_usual(client: &Client) {
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let start = Instant::now();
        client.works().await;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let slowest = times[SAMPLES - 2];
    assert!(slowest < USUAL, "{slowest:?}");
}

/// Every kind of upstream, with one server.
fn plans() -> [Plan; 4] {
    [
        Plan::direct(),
        Plan::memory(),
        Plan::rabbitmq(),
        Plan::rabbitmq_in_batches(),
    ]
}

async fn end(house: House) {
    house.server().seen.open_gate();
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_does_not_use_up_a_server() {
    for plan in plans() {
        let house = House::start(plan).await;
        let bystander = house.client(Front::Socket).await;
        bystander.works().await;
        let attacker = attacker(&house, 5000).await;
        house.server().seen.gate_reached(220).await;
        is_answered_as_usual(&bystander).await;
        let newcomer = house.client(Front::WebSocket).await;
        is_answered_as_usual(&newcomer).await;
        assert!(house.snapshot().totals.in_flight < 256);
        drop((attacker, bystander, newcomer));
        end(house).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_with_many_slow_calls_leave_capacity_for_others() {
    for plan in plans() {
        let plan = plan
            .property("userid_check", "true")
            .property("auth", "token");
        let house = House::start(plan).await;
        let mut attackers = Vec::new();
        for number in 0..11 {
            let mut attacker = house.raw().await;
            let token = format!("attacker{number}");
            let hello = echo(1, "hello").with_extra(&[("__token__", &token)]);
            assert_eq!(attacker.call(&hello).await.errcode, 0);
            send_slow_calls(&mut attacker, 1024).await;
            attackers.push(attacker);
        }
        house.server().seen.gate_reached(1000).await;
        let bystander = house.user("bystander").await;
        is_answered_as_usual(&bystander).await;
        assert!(house.snapshot().totals.in_flight < 1600);
        drop((attackers, bystander));
        end(house).await;
    }
}

/// The server does not know that the client of its calls is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reconnects_does_not_exceed_its_share() {
    for plan in [Plan::direct(), Plan::memory(), Plan::rabbitmq()] {
        let house = House::start(plan.property("max_calls_per_upstream", "200")).await;
        let seen = &house.server().seen;
        let first = attacker(&house, 200).await;
        seen.gate_reached(22).await;
        drop(first);
        for number in 1..=20 {
            let next = attacker(&house, 200).await;
            seen.gate_reached(22 + number).await;
            drop(next);
        }
        assert!(*seen.at_gate.borrow() < 50, "{}", *seen.at_gate.borrow());
        let bystander = house.client(Front::Socket).await;
        is_answered_as_usual(&bystander).await;
        // Calls that have ended take no capacity any more.
        seen.open_gate();
        eventually("they have ended", || house.snapshot().totals.in_flight == 0).await;
        let calls = (0..150).map(|_| bystander.server.echo("gate"));
        for answer in within(futures_util::future::join_all(calls)).await {
            assert_eq!(answer.unwrap(), "through");
        }
        drop(bystander);
        house.end().await;
    }
}

/// A call that the gateway has answered with TIMEOUT still runs at the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_time_out_count_until_the_server_has_answered() {
    let plan = Plan::direct()
        .property("max_calls_per_upstream", "80")
        .property("call_time", "1.5");
    let house = House::start(plan).await;
    let seen = &house.server().seen;
    let mut attacker = attacker(&house, 100).await;
    for _ in 0..10 {
        assert_eq!(attacker.message().await.errcode, 2);
    }
    let served = *seen.at_gate.borrow();
    assert!(served < 14, "{served}");
    let bystander = house.client(Front::Socket).await;
    is_answered_as_usual(&bystander).await;
    drop((attacker, bystander));
    end(house).await;
}
