//! What waits for a broker that is away is bounded, and told.

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
/// Room for some of them only.
const ROOM: usize = 4 << 10;

/// Waits until the client knows that its broker is away. What it sends on the
/// way there is with nobody, and a transient call is not sent again.
async fn loss_is_noticed(proxy: &Proxy) {
    let hasty = proxy.with_timeout(Duration::from_millis(100));
    within(async {
        while !matches!(hasty.ping().await, Err(error) if error.code() == ErrorCode::SendFailed) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Calls while the broker is away: how many were taken, and what the server
/// has executed when the broker is back and one more call has come through.
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
async fn no_durable_call_is_taken_that_no_broker_has() {
    let (taken, notes) = calls_while_away(true).await;
    assert_eq!(taken, 0);
    // Whose callers were told that they failed did not come late.
    assert_eq!(notes, [-1]);
}

#[tokio::test]
async fn calls_that_need_not_survive_wait_until_the_buffer_is_full() {
    let (taken, notes) = calls_while_away(false).await;
    let all = usize::try_from(CALLS).unwrap();
    assert!(taken > 0 && taken < all / 2, "{taken}");
    assert_eq!(notes.len(), taken + 1);
}
