//! Connections to the broker are lost and re-established.

use std::time::{Duration, Instant};

use tce_runtime::{ErrorCode, Proxy};
use tce_test_rabbitmq::Node;

use crate::{
    common::{
        probe::{ECHO, GATE, works},
        watching::{soon, within},
    },
    queues::Queues,
    raw::Raw,
    recorder::{RECORD, record},
    wire::Wire,
};

/// A wire to the broker, and the queues directly at the broker and through the wire.
async fn behind_wire() -> (Wire, Queues, Queues) {
    let wire = Wire::to(Node::shared().port()).await;
    let at_broker = Queues::at(Node::shared().port());
    let by_wire = Queues {
        port: wire.port(),
        ..at_broker.clone()
    };
    (wire, at_broker, by_wire)
}

/// Calls until one succeeds; the calls before fail at once, with an error that
/// permits a retry.
async fn works_again(proxy: &Proxy) {
    within(async {
        loop {
            let answer: Result<String, _> = soon(proxy.call(&ECHO, ("again",))).await;
            match answer {
                Ok(answer) => return assert_eq!(answer, "again"),
                Err(error) => assert!(error.can_retry(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_call_without_a_broker_fails_and_later_calls_succeed() {
    let (wire, at_broker, by_wire) = behind_wire().await;
    let _server = at_broker.serve("server").await;
    let client = by_wire.open("client").await;
    let proxy = by_wire.proxy(&client).await;
    works(&proxy).await;
    wire.close().await;
    let start = Instant::now();
    let hasty = proxy.with_timeout(Duration::from_secs(2));
    let answer: Result<String, _> = within(hasty.call(&ECHO, ("away",))).await;
    let code = answer.unwrap_err().code();
    let expected = [ErrorCode::SendFailed, ErrorCode::ConnectionLost];
    assert!(expected.contains(&code), "{code}");
    assert!(start.elapsed() < Duration::from_secs(2));
    wire.open();
    works_again(&proxy).await;
}

#[tokio::test]
async fn an_idle_client_recovers_from_outages() {
    let (wire, at_broker, by_wire) = behind_wire().await;
    let _server = at_broker.serve("server").await;
    let client = by_wire.open("client").await;
    let proxy = by_wire.proxy(&client).await;
    works(&proxy).await;
    for _ in 0..3 {
        wire.cut().await;
        // One to publish, one to consume; both are re-established without a call.
        wire.connections(2).await;
        // The connections are open before their channels are.
        works_again(&proxy).await;
    }
}

#[tokio::test]
async fn a_call_that_was_sent_is_answered_after_a_cut() {
    let (wire, at_broker, by_wire) = behind_wire().await;
    let server = at_broker.serve("server").await;
    let client = by_wire.open("client").await;
    let proxy = by_wire.proxy(&client).await;
    let call = proxy.call::<_, ()>(&GATE, ());
    server.probe.gate_reached(1).await;
    // The broker has confirmed the call.
    within(proxy.connection().flush()).await;
    wire.cut().await;
    server.probe.gate.add_permits(1);
    // The RETURN waits in its queue, which survives the connection.
    within(call).await.unwrap();
}

#[tokio::test]
async fn a_server_continues_after_a_cut() {
    let (wire, at_broker, by_wire) = behind_wire().await;
    let server = by_wire.serve("server").await;
    let client = at_broker.open("client").await;
    let proxy = at_broker.proxy(&client).await;
    works(&proxy).await;
    let call = proxy.call::<_, ()>(&GATE, ());
    server.probe.gate_reached(1).await;
    wire.cut().await;
    // The call that was not acknowledged is delivered again.
    server.probe.gate_reached(2).await;
    server.probe.gate.add_permits(2);
    within(call).await.unwrap();
    works(&proxy).await;
}

#[tokio::test]
async fn an_own_reply_queue_works_again_after_a_cut() {
    let (wire, at_broker, by_wire) = behind_wire().await;
    let _server = at_broker.serve("reader").await;
    let client = by_wire.open("writer").await;
    let proxy = by_wire.proxy(&client).await;
    works(&proxy).await;
    wire.cut().await;
    let hasty = proxy.with_timeout(Duration::from_millis(500));
    within(async {
        while hasty.call::<_, String>(&ECHO, ("again",)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_unconfirmed_oneway_call_is_sent_again() {
    let (wire, at_broker, by_wire) = behind_wire().await;
    let client = by_wire.open("writer").await;
    let proxy = by_wire.proxy(&client).await;
    let raw = Raw::connect(at_broker.port).await;
    wire.hear(false);
    let calling = tokio::spawn(async move { proxy.oneway(&RECORD, (7,)).await });
    // The broker has it, and its confirmation is held back.
    raw.wait_for(&at_broker.calls, 1).await;
    assert!(!calling.is_finished());
    wire.cut().await;
    wire.hear(true);
    within(calling).await.unwrap().unwrap();
    // To the broker they are two messages; the sender has marked the second.
    let server = record(&at_broker).await;
    let records = server.records.reached(2).await;
    assert_eq!(records, [(7, false), (7, true)]);
}

#[tokio::test]
async fn a_oneway_call_begun_without_a_broker_succeeds_later() {
    let (wire, at_broker, by_wire) = behind_wire().await;
    let server = record(&at_broker).await;
    let client = by_wire.open("writer").await;
    let proxy = by_wire.proxy(&client).await;
    wire.close().await;
    let calling = tokio::spawn(async move { proxy.oneway(&RECORD, (7,)).await });
    wire.open();
    within(calling).await.unwrap().unwrap();
    // Marked as repeated if the client had written it before it saw the end.
    let records = server.records.reached(1).await;
    assert_eq!((records.len(), records[0].0), (1, 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_and_server_survive_a_restart_of_the_broker() {
    let mut node = Node::start();
    let queues = Queues::at(node.port());
    let _server = queues.serve("server").await;
    let client = queues.open("client").await;
    let proxy = queues.proxy(&client).await;
    works(&proxy).await;
    let node = tokio::task::spawn_blocking(move || {
        node.kill();
        node.restart();
        node
    });
    let mut failed = 0;
    let hasty = proxy.with_timeout(Duration::from_secs(2));
    let start = Instant::now();
    loop {
        let begun = Instant::now();
        let answer: Result<String, _> = hasty.call(&ECHO, ("still there",)).await;
        match answer {
            Ok(_) if failed > 0 => break,
            Ok(_) => {}
            Err(error) => {
                failed += 1;
                assert!(error.can_retry(), "{error}");
                assert!(begun.elapsed() < Duration::from_secs(3));
            }
        }
        assert!(start.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(node.await.unwrap());
}
