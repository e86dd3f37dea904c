//! The messages that wait for a lost broker are bounded, and their callers told.

use std::time::Duration;

use futures_util::future::join_all;
use tce_runtime::{
    ErrorCode, Proxy,
    config::{ConnectionLimits, Options},
};
use tce_test_rabbitmq::Node;

use crate::{
    common::{probe::NOTE, watching::within},
    queues::Queues,
    wire::Wire,
};

const CALLS: i32 = 500;
/// Fewer bytes than all calls need.
const ROOM: usize = 4 << 10;

/// Waits until the client has noticed that its broker is lost. A transient call
/// that is sent before is lost, and not sent again.
async fn loss_is_noticed(proxy: &Proxy) {
    let hasty = proxy.with_timeout(Duration::from_millis(100));
    within(async {
        while !matches!(hasty.ping().await, Err(error) if error.code() == ErrorCode::SendFailed) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Calls while the broker is away. Returns how many calls were accepted, and what
/// the server has executed after the broker is back and one more call succeeded.
async fn calls_while_away(is_durable: bool) -> (usize, Vec<i32>) {
    let wire = Wire::to(Node::shared().port()).await;
    let queues = Queues {
        is_durable,
        ..Queues::at(Node::shared().port())
    };
    let server = queues.serve("reader").await;
    let by_wire = Queues {
        port: wire.port(),
        ..queues.clone()
    };
    let options = Options {
        connection: ConnectionLimits {
            send_buffer: ROOM,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let client = by_wire.open_with("writer", options).await;
    let proxy = by_wire.proxy(&client).await;
    wire.close().await;
    loss_is_noticed(&proxy).await;
    let hasty = proxy.with_timeout(Duration::from_millis(400));
    let calls = (0..CALLS).map(|number| hasty.oneway(&NOTE, (number,)));
    let mut taken = 0;
    for result in within(join_all(calls)).await {
        match result {
            Ok(()) => taken += 1,
            Err(error) => assert_eq!(error.code(), ErrorCode::SendFailed, "{error}"),
        }
    }
    wire.open();
    within(proxy.oneway(&NOTE, (-1,))).await.unwrap();
    within(async {
        loop {
            server.probe.notes_reached(taken + 1).await;
            if server.probe.notes.lock().unwrap().contains(&-1) {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let notes = server.probe.notes.lock().unwrap().clone();
    (taken, notes)
}

#[tokio::test]
async fn a_durable_call_is_accepted_only_by_the_broker() {
    let (taken, notes) = calls_while_away(true).await;
    assert_eq!(taken, 0);
    // Calls whose failure was reported are not executed later.
    assert_eq!(notes, [-1]);
}

#[tokio::test]
async fn transient_calls_wait_until_the_buffer_is_full() {
    let (taken, notes) = calls_while_away(false).await;
    let all = usize::try_from(CALLS).unwrap();
    assert!(taken > 0 && taken < all / 2, "{taken}");
    assert_eq!(notes.len(), taken + 1);
}
