//! What callers learn when a call can't be sent or answered, and that calls are not
//! executed when their callers no longer wait.

use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tce_gateway::{Gateway, admin::SnapshotSource};
use tce_runtime::{ErrorCode, TypedProxy};
use tce_test_rabbitmq::Node;
use tce_tests::test::ITerminalPrx;
use tokio::time::sleep;

use crate::{
    common::{
        client::echo,
        house::{House, Server},
        plan::{Front, Plan},
        raw::{Message, frame},
        seed::Seen,
        watching::{eventually, soon, within},
    },
    queue,
};

fn unix_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

fn echoed(seen: &Seen) -> usize {
    seen.echoed.load(Ordering::Relaxed)
}

fn reasons(house: &House) -> String {
    house.gateway().source().readiness().reasons.join("\n")
}

/// An alarm is known before a call meets it: the gateway was idle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_of_the_broker_is_named_at_once() {
    let node = Node::start();
    let house = House::start(Plan::at_broker(node.port())).await;
    let client = house.client(Front::Socket).await;
    client.works().await;
    assert_eq!(reasons(&house), "");

    tokio::task::block_in_place(|| node.control(&["set_vm_memory_high_watermark", "0"]));
    eventually("the gateway reports the alarm", || {
        reasons(&house).contains("memory")
    })
    .await;
    let error = soon(client.server.echo("blocked")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SendFailed, "{error}");
    assert!(error.text().contains("memory"), "{error}");
    assert!(error.can_retry());
    client.server.heartbeat_oneway("lost").await.unwrap();
    house.dropped("not_sent", 1).await;

    tokio::task::block_in_place(|| node.control(&["set_vm_memory_high_watermark", "0.4"]));
    eventually("the gateway is ready again", || reasons(&house).is_empty()).await;
    client.works().await;
    assert_eq!(echoed(&house.server().seen), 2);
    drop(client);
    house.end().await;
}

#[tokio::test]
async fn a_oneway_call_waits_for_its_server_for_longer_than_the_call_time() {
    for plan in [Plan::rabbitmq(), Plan::memory()] {
        let plan = plan.property("call_time", "1");
        let house = House::before(plan, &[], |it| it).await;
        let client = house.client(Front::Socket).await;
        let brief = client.server.with_linger(Duration::from_millis(100));
        for number in 0..20 {
            let text = format!("{number}");
            client.server.heartbeat_oneway(&text).await.unwrap();
            brief.heartbeat_oneway("brief").await.unwrap();
        }
        let error = within(client.server.echo("late")).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
        // Past the deadline and the clock tolerance of the twoway call, too.
        sleep(Duration::from_millis(1_500)).await;
        let server = Server::start(&house.plan, "server0").await;
        for number in 0..20 {
            assert_eq!(server.next_heard().await, format!("{number}"));
        }
        client.works().await;
        assert_eq!(echoed(&server.seen), 1);
        drop(client);
        let mut house = house;
        house.servers.push(server);
        house.end().await;
    }
}

/// A push that was delivered must not be repeated: the code forbids it.
#[tokio::test]
async fn a_twoway_push_is_delivered_once_and_its_error_says_so() {
    for plan in [Plan::rabbitmq(), Plan::memory()] {
        let plan = plan
            .property("userid_check", "true")
            .property("auth", "token");
        let house = House::start(plan).await;
        let mut client = house.user("scott").await;
        client.works().await;
        let returns = format!("mq:{}", house.plan.returns(0));
        let gateway = house.server().communicator.connect(&returns).await.unwrap();
        let push = |user: &str| ITerminalPrx::to_user(&gateway, user).on_message("hello");
        let error = within(push("scott")).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::RemoteException, "{error}");
        assert!(!error.can_retry());
        assert_eq!(client.next_push().await, "hello");
        let error = within(push("nobody")).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SendFailed, "{error}");
        assert!(error.can_retry());
        drop(client);
        house.end().await;
    }
}

#[tokio::test]
async fn a_second_gateway_at_one_queue_for_returns_does_not_start() {
    for plan in [Plan::rabbitmq(), Plan::memory()] {
        let memory = match &plan.by {
            crate::common::plan::By::Memory(broker) => Some(broker.clone()),
            _ => None,
        };
        let house = House::start(plan).await;
        let mut second = Gateway::load(house.file(), "gw0", &[]).unwrap();
        if let Some(broker) = &memory {
            second = second.in_memory(broker);
        }
        let error = within(second.start()).await.err().expect("it is refused");
        let text = error.to_string();
        assert!(text.contains("another program reads"), "{text}");
        assert!(text.contains(&house.plan.returns(0)), "{text}");
        let client = house.client(Front::Socket).await;
        for _ in 0..20 {
            client.works().await;
        }
        drop(client);
        house.end().await;
    }
}

/// The deadline that a server sees for this call.
async fn deadline_of(server: &tce_tests::test::ServerPrx) -> Duration {
    let extra = within(server.echo("extra")).await.unwrap();
    let mut lines = extra.lines();
    let deadline = lines.find_map(|line| line.strip_prefix("__deadline__="));
    let deadline: u64 = deadline.expect("a deadline").parse().unwrap();
    Duration::from_millis(deadline.saturating_sub(unix_millis()))
}

#[tokio::test]
async fn a_forwarded_call_carries_the_earlier_deadline() {
    for plan in [Plan::rabbitmq(), Plan::memory(), Plan::direct()] {
        let house = House::start(plan.property("call_time", "20")).await;
        let client = house.client(Front::Socket).await;
        let left = deadline_of(&client.server).await;
        assert!((15..=20).contains(&left.as_secs()), "{left:?}");
        let hasty = client.server.with_timeout(Duration::from_secs(8));
        let left = deadline_of(&hasty).await;
        assert!((4..8).contains(&left.as_secs()), "{left:?}");
        let patient = client.server.with_timeout(Duration::from_secs(100));
        let left = deadline_of(&patient).await;
        assert!((15..=20).contains(&left.as_secs()), "{left:?}");
        // A client whose clock is slow is served all the same.
        let mut raw = house.raw().await;
        let slow = echo(1, "hello").with_extra(&[("__deadline__", "1000")]);
        assert_eq!(raw.call(&slow).await.errcode, 0);
        drop(client);
        house.end().await;
    }
}

#[tokio::test]
async fn extra_that_is_not_utf8_passes_unchanged() {
    let house = House::start(Plan::direct()).await;
    let mut raw = house.raw().await;
    let oneway = Message {
        calltype: 0x21,
        ..echo(1, "hello").with_extra(&[("name", "_")])
    };
    let mut bytes = oneway.bytes();
    let place = bytes.windows(5).position(|it| it == b"\0\0\0\x01_");
    bytes[place.unwrap() + 4] = 0xE9;
    raw.send(&frame(0, &bytes)).await;
    eventually("the call is executed", || echoed(&house.server().seen) == 1).await;
    house.end().await;

    // To a server that is not ours: the bytes are in the queue.
    let house = House::before(Plan::rabbitmq(), &[], |it| it).await;
    let broker = queue::Raw::connect(Node::shared().port()).await;
    let mut calls = broker.read(&house.plan.calls()).await;
    let mut raw = house.raw().await;
    raw.send(&frame(0, &bytes)).await;
    let delivery = calls.next().await;
    let has = |what: &[u8]| delivery.data.windows(what.len()).any(|it| it == what);
    assert!(has(b"name\0\0\0\x01\xE9"), "{:?}", delivery.data);
    house.end().await;
}
