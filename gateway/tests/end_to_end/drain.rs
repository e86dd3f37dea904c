//! A gateway that sends its clients to another one before it ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tce_gateway::{Gateway, RunningGateway, admin::SnapshotSource};
use tce_runtime::{BUILTIN_INTERFACE, RpcError, config::Options};
use tokio::time::sleep;

use crate::{
    common::{
        client::{Client, echo},
        house::House,
        plan::{FRONTS, Front, Plan},
        raw::Raw,
        watching::{eventually, within},
    },
    peer::Peer,
    resume::login,
};

const DRAIN_TIME: Duration = Duration::from_secs(2);

fn plan() -> Plan {
    let seconds = DRAIN_TIME.as_secs().to_string();
    Plan::direct().property("drain_time", &seconds)
}

fn with_logins(plan: Plan) -> Plan {
    let plan = plan.property("userid_check", "true");
    plan.property("auth", "token")
}

/// A gateway on the ports of one that has stopped accepting.
async fn successor(house: &House) -> RunningGateway {
    let mut text = std::fs::read_to_string(house.file()).unwrap();
    for front in FRONTS {
        let port = format!(r#"port="{}""#, house.address(front).port);
        text = text.replacen(r#"port="0""#, &port, 1);
    }
    let file = house.folder().join("successor.xml");
    std::fs::write(&file, text).unwrap();
    within(async {
        loop {
            // The ports are closed when a thread of the gateway runs next.
            let started = Gateway::load(&file, "gw0", &[]).unwrap().start().await;
            if let Ok(gateway) = started {
                let source = gateway.source();
                eventually("it is ready", || source.readiness().is_ready()).await;
                return gateway;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

async fn user(house: &House, front: Front, name: &str) -> Client {
    let options = Options {
        token: Some(name.to_owned()),
        ..Options::default()
    };
    let client = house.client_with(front, options).await;
    client.works().await;
    client
}

/// Calls until told to stop. Returns the number of answers.
async fn keep_calling(client: Client, stop: Arc<AtomicBool>) -> Result<usize, RpcError> {
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        let calls = ["a", "b", "c"].map(|text| client.server.echo(text));
        for call in calls {
            within(call).await?;
            answered += 1;
        }
        sleep(Duration::from_millis(5)).await;
    }
    client.works().await;
    Ok(answered)
}

/// How many clients a gateway has at which time, until it has `count`.
async fn arrivals(gateway: &RunningGateway, count: usize) -> Vec<(Duration, usize)> {
    let began = Instant::now();
    let mut seen = Vec::new();
    within(async {
        while seen.last().is_none_or(|(_, seen)| *seen < count) {
            seen.push((began.elapsed(), gateway.connections()));
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    seen
}

/// The most that have come within `window`.
fn most_within(arrivals: &[(Duration, usize)], window: Duration) -> usize {
    let counts = arrivals.iter().map(|(at, count)| {
        let mut later = arrivals.iter();
        let end = later.rfind(|(later, _)| *later <= *at + window);
        end.map_or(0, |(_, end)| end - count)
    });
    counts.max().unwrap_or_default()
}

#[tokio::test]
async fn clients_go_to_the_next_gateway_one_after_the_other_and_no_call_fails() {
    const OF_EACH_FRONT: usize = 10;
    let house = House::start(with_logins(plan())).await;
    let (mut busy, mut waiting) = (Vec::new(), Vec::new());
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for number in 0..OF_EACH_FRONT {
        for front in FRONTS {
            let client = user(&house, front, &format!("{front:?}-{number}")).await;
            if number % 2 == 0 {
                busy.push(client);
            } else {
                let call = client.server.echo("gate");
                waiting.push((client, call));
            }
        }
    }
    let count = busy.len() + waiting.len();
    house.server().seen.gate_reached(waiting.len()).await;
    for client in busy {
        load.spawn(keep_calling(client, Arc::clone(&stop)));
    }
    let ending = async {
        let began = Instant::now();
        assert!(within(house.gateway().shutdown()).await);
        began.elapsed()
    };
    let going = async {
        let next = successor(&house).await;
        assert!(!house.gateway().source().readiness().is_ready());
        let arrivals = arrivals(&next, count).await;
        // The calls of the clients that have gone are still in flight at the old gateway.
        assert!(house.gateway().connections() >= waiting.len());
        house.server().seen.open_gate();
        for (client, call) in waiting {
            assert_eq!(within(call).await.unwrap(), "through");
            client.works().await;
        }
        stop.store(true, Ordering::Relaxed);
        for answered in within(load.join_all()).await {
            assert!(answered.unwrap() > 50);
        }
        (next, arrivals)
    };
    let (took, (next, arrivals)) = tokio::join!(ending, going);
    assert!(took < DRAIN_TIME + Duration::from_secs(4), "{took:?}");
    let (last, _) = arrivals.last().unwrap();
    assert!(*last > DRAIN_TIME * 3 / 4, "{last:?}");
    // The first second is that of half of them, with a few that were late.
    let most = most_within(&arrivals, DRAIN_TIME / 2);
    assert!(most <= count * 3 / 4, "{most} of {count} in a second");
    within(next.shutdown()).await;
}

#[tokio::test]
async fn other_clients_are_closed_one_after_the_other_with_the_code_of_a_restart() {
    let house = House::start(plan()).await;
    let mut sockets = Vec::new();
    let mut pages = Vec::new();
    for _ in 0..5 {
        let mut socket = house.raw().await;
        assert_eq!(socket.call(&echo(1, "x")).await.errcode, 0);
        sockets.push(socket);
        let mut page = Peer::connect(house.address(Front::WebSocket)).await;
        assert_eq!(page.call(&echo(1, "x")).await.errcode, 0);
        pages.push(page);
    }
    let began = Instant::now();
    let mut closing = tokio::task::JoinSet::new();
    for mut socket in sockets {
        closing.spawn(async move {
            socket.closed().await;
            began.elapsed()
        });
    }
    for mut page in pages {
        closing.spawn(async move {
            let close = page.close_frame().await.expect("it says why");
            assert_eq!(u16::from(close.code), 1012);
            assert_eq!(close.reason.as_str(), "come back in 0 ms");
            began.elapsed()
        });
    }
    assert!(within(house.gateway().shutdown()).await);
    assert!(began.elapsed() < DRAIN_TIME + Duration::from_secs(2));
    let mut times = within(closing.join_all()).await;
    times.sort_unstable();
    assert!(times[2] < DRAIN_TIME / 2, "{times:?}");
    assert!(times[5] > DRAIN_TIME / 3, "{times:?}");
    assert!(times[9] > DRAIN_TIME * 3 / 4, "{times:?}");
}

/// Whatever the clients do then: the delays that they get are counted.
#[tokio::test]
async fn clients_are_asked_to_go_at_no_more_than_the_rate() {
    const CLIENTS: usize = 40;
    let house = House::start(with_logins(plan())).await;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = house.raw().await;
        let answer = client.call(&login(&format!("user{number}"), None)).await;
        assert_eq!(answer.errcode, 0);
        clients.push(client);
    }
    let ending = within(house.gateway().shutdown());
    let going = async {
        let mut delays = Vec::new();
        for client in &mut clients {
            let message = within(client.message()).await;
            assert_eq!((message.ifidx, message.opidx), (BUILTIN_INTERFACE, 4));
            let delay = i32::from_be_bytes(message.params.try_into().unwrap());
            delays.push(u32::try_from(delay).unwrap());
        }
        drop(std::mem::take(&mut clients));
        delays
    };
    let (ended, mut delays) = tokio::join!(ending, going);
    assert!(ended);
    delays.sort_unstable();
    let a_second = CLIENTS / usize::try_from(DRAIN_TIME.as_secs()).unwrap();
    for (position, delay) in delays.iter().enumerate() {
        let end = delays.partition_point(|later| *later < delay + 1_000);
        assert!(end - position <= a_second, "{delays:?}");
    }
    let last = delays[CLIENTS - 1];
    assert!((1_900..=2_200).contains(&last), "{delays:?}");
}

/// As without `drain_time`.
#[tokio::test]
async fn a_gateway_sends_clients_elsewhere_by_itself_if_they_know_how() {
    let auto = |plan: Plan| plan.property("drain_time", "auto");
    let house = House::start(with_logins(auto(Plan::direct()))).await;
    let client = user(&house, Front::Socket, "anna").await;
    let call = client.server.echo("gate");
    house.server().seen.gate_reached(1).await;
    let ending = within(house.gateway().shutdown());
    let going = async {
        let next = successor(&house).await;
        eventually("it has come", || next.connections() == 1).await;
        client.works().await;
        house.server().seen.open_gate();
        assert_eq!(within(call).await.unwrap(), "through");
        next
    };
    let (ended, next) = tokio::join!(ending, going);
    assert!(ended);
    within(next.shutdown()).await;

    // None knows: all are closed at once.
    let house = House::start(auto(Plan::direct())).await;
    let mut page = Peer::connect(house.address(Front::WebSocket)).await;
    assert_eq!(page.call(&echo(1, "x")).await.errcode, 0);
    let ending = within(house.gateway().shutdown());
    let closing = async {
        let close = page.close_frame().await.expect("it says why");
        assert_eq!(u16::from(close.code), 1001);
    };
    let (ended, ()) = tokio::join!(ending, closing);
    assert!(ended);
}

/// A call that a client without a login has in flight when it is its turn is answered
/// before the connection is closed.
#[tokio::test]
async fn a_call_in_flight_is_answered_before_the_connection_is_closed() {
    let house = House::start(plan()).await;
    let mut socket = house.raw().await;
    socket.send(&echo(7, "gate").frame()).await;
    house.server().seen.gate_reached(1).await;
    let ending = within(house.gateway().shutdown());
    let answering = async {
        sleep(DRAIN_TIME / 2).await;
        house.server().seen.open_gate();
        let answer = socket.message().await;
        assert_eq!((answer.sequence, answer.errcode), (7, 0));
        socket.closed().await;
    };
    let (ended, ()) = tokio::join!(ending, answering);
    assert!(ended);
}

#[tokio::test]
async fn a_gateway_without_clients_ends_at_once() {
    let house = House::start(plan()).await;
    let began = Instant::now();
    house.end().await;
    assert!(began.elapsed() < DRAIN_TIME);
}

/// Without another gateway the clients stay until the end, and come back later.
#[tokio::test]
async fn clients_stay_until_the_end_if_there_is_no_other_gateway() {
    let plan = Plan::direct().property("drain_time", "0.5");
    let house = House::start(with_logins(plan)).await;
    let client = user(&house, Front::Socket, "anna").await;
    let ending = within(house.gateway().shutdown());
    let calling = async {
        sleep(Duration::from_secs(1)).await;
        client.works().await;
    };
    let (ended, ()) = tokio::join!(ending, calling);
    assert!(ended);
    let next = successor(&house).await;
    eventually("it has come back", || next.connections() == 1).await;
    client.works().await;
    within(next.shutdown()).await;
}

/// The port is closed at once, so that a gateway on the same machine can take it.
#[tokio::test]
async fn the_port_is_free_while_clients_go() {
    let house = House::start(plan()).await;
    let mut socket = house.raw().await;
    assert_eq!(socket.call(&echo(1, "x")).await.errcode, 0);
    let ending = house.gateway().shutdown();
    let next = async {
        let next = successor(&house).await;
        let mut other = Raw::connect(house.address(Front::Socket)).await;
        assert_eq!(other.call(&echo(1, "x")).await.errcode, 0);
        next
    };
    let (ended, next) = tokio::join!(within(ending), next);
    assert!(ended);
    within(next.shutdown()).await;
}
