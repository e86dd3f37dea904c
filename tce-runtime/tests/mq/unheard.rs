//! Calls that the broker neither confirms nor answers: a limited number is sent
//! before the broker has read them.

use std::time::Duration;

use futures_util::future::join_all;
use tce_runtime::{Communicator, Proxy};
use tce_test_rabbitmq::Node;

use crate::{
    common::{
        probe::{ECHO, NOTE},
        raw::int,
        watching::within,
    },
    queues::Queues,
    raw::Raw,
    wire::Wire,
};

/// The number of messages that are sent before the broker has read them.
const UNHEARD: u32 = 32;
const CALLS: i32 = 100;
const END_TIME: Duration = Duration::from_secs(10);

fn transient(port: u16) -> Queues {
    Queues {
        is_durable: false,
        ..Queues::at(port)
    }
}

async fn call(proxy: &Proxy, numbers: impl IntoIterator<Item = i32>) {
    for number in numbers {
        within(proxy.oneway(&NOTE, (number,))).await.unwrap();
    }
}

/// A client that receives nothing of the broker.
struct Deaf {
    wire: Wire,
    raw: Raw,
    queues: Queues,
    client: Communicator,
    proxy: Proxy,
}

impl Deaf {
    /// A client that has sent as many calls as it may.
    async fn calling() -> Self {
        let port = Node::shared().port();
        let wire = Wire::to(port).await;
        let queues = transient(port);
        let by_wire = Queues {
            port: wire.port(),
            ..queues.clone()
        };
        let client = by_wire.open("writer").await;
        let proxy = by_wire.proxy(&client).await;
        let raw = Raw::connect(port).await;
        wire.hear(false);
        // The calls do not wait: the buffer is large enough.
        call(&proxy, 0..CALLS).await;
        raw.wait_for(&queues.calls, UNHEARD).await;
        Self {
            wire,
            raw,
            queues,
            client,
            proxy,
        }
    }

    /// Asserts that the broker has exactly these calls, in this order.
    async fn has_received(&self, numbers: impl IntoIterator<Item = i32>) {
        let mut calls = self.raw.read(&self.queues.calls).await;
        for number in numbers {
            assert_eq!(calls.message().await.params, int(number));
        }
        self.raw.publish(&self.queues.calls, b"the last").await;
        assert_eq!(calls.next().await.data, b"the last");
    }
}

#[tokio::test]
async fn a_sender_waits_until_the_broker_has_read_what_it_sent() {
    let deaf = Deaf::calling().await;
    for _ in 0..20 {
        assert_eq!(deaf.raw.waiting(&deaf.queues.calls).await, UNHEARD);
    }
    deaf.wire.hear(true);
    let all = u32::try_from(CALLS).unwrap();
    deaf.raw.wait_for(&deaf.queues.calls, all).await;
    deaf.has_received(0..CALLS).await;
}

#[tokio::test]
async fn a_waiting_sender_continues_after_a_lost_connection() {
    let deaf = Deaf::calling().await;
    deaf.wire.close().await;
    deaf.wire.hear(true);
    deaf.wire.open();
    call(&deaf.proxy, CALLS..2 * CALLS).await;
    let all = u32::try_from(2 * CALLS).unwrap();
    deaf.raw.wait_for(&deaf.queues.calls, all).await;
    deaf.has_received(0..2 * CALLS).await;
}

#[tokio::test]
async fn a_waiting_sender_shuts_down_when_all_is_sent() {
    let deaf = Deaf::calling().await;
    let client = deaf.client.clone();
    let ending = tokio::spawn(async move { client.shutdown(END_TIME).await });
    deaf.wire.hear(true);
    assert!(within(ending).await.unwrap());
    deaf.has_received(0..CALLS).await;
}

#[tokio::test]
async fn a_sender_with_a_silent_broker_shuts_down_in_time() {
    let deaf = Deaf::calling().await;
    let ended = within(deaf.client.shutdown(Duration::from_millis(50))).await;
    assert!(!ended, "calls were waiting");
    let sent = i32::try_from(UNHEARD).unwrap();
    deaf.has_received(0..sent).await;
}

#[tokio::test]
async fn calls_of_all_types_proceed() {
    let queues = transient(Node::shared().port());
    let server = queues.serve("server").await;
    let client = queues.open("client").await;
    let proxy = queues.proxy(&client).await;
    for round in 0..5 {
        call(&proxy, round * CALLS..(round + 1) * CALLS).await;
        let texts = (0..CALLS).map(|number| number.to_string());
        let calls = texts
            .clone()
            .map(|text| proxy.call::<_, String>(&ECHO, (text,)));
        let answers = within(join_all(calls)).await.into_iter();
        assert!(answers.map(Result::unwrap).eq(texts));
        // They were sent before, to the same queue.
        let count = usize::try_from((round + 1) * CALLS).unwrap();
        server.probe.notes_reached(count).await;
    }
    let notes = server.probe.notes.lock().unwrap().clone();
    assert!(notes.into_iter().eq(0..5 * CALLS));
    for communicator in [client, server.communicator.clone()] {
        assert!(within(communicator.shutdown(END_TIME)).await);
    }
}
