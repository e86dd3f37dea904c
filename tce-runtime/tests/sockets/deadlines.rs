//! Timeouts of calls.

use std::time::{Duration, Instant};

use tce_runtime::{
    ErrorCode, Proxy,
    config::{ConnectionLimits, Options},
    wire::Limits,
};

use crate::common::{
    probe::{BLOB, ECHO, GATE, NOTE, SLEEP, serve, works},
    raw::RawServer,
    watching::{SOON, soon, within},
};

const SHORT: Duration = Duration::from_millis(50);

async fn times_out(proxy: &Proxy, at_least: Duration) {
    let start = Instant::now();
    let error = within(proxy.call::<_, ()>(&GATE, ())).await.unwrap_err();
    let took = start.elapsed();
    assert_eq!(error.code(), ErrorCode::Timeout, "{error}");
    assert!(at_least <= took && took < SOON, "it took {took:?}");
}

#[test]
fn the_default_timeout_is_30_seconds() {
    assert_eq!(Options::default().timeout, Duration::from_secs(30));
}

#[tokio::test]
async fn a_communicators_timeout_holds_for_its_calls() {
    let server = serve(Options::default()).await;
    let options = Options {
        timeout: SHORT,
        ..Options::default()
    };
    times_out(&server.proxy_with(options).await, SHORT).await;
}

#[tokio::test]
async fn a_proxys_timeout_holds_for_its_own_calls_only() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let hasty = proxy.with_timeout(SHORT);
    times_out(&hasty, SHORT).await;
    within(proxy.call::<_, ()>(&SLEEP, (100,)))
        .await
        .expect("the original proxy keeps its timeout");
}

#[tokio::test]
async fn a_shorter_deadline_of_a_later_call_expires_first() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let long = proxy.with_timeout(Duration::from_millis(150));
    let slow = long.call::<_, ()>(&GATE, ());
    times_out(&proxy.with_timeout(SHORT), SHORT).await;
    assert_eq!(within(slow).await.unwrap_err().code(), ErrorCode::Timeout);
}

#[tokio::test]
async fn an_unbounded_timeout_is_accepted() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await.with_timeout(Duration::MAX);
    works(&proxy).await;
    proxy.oneway(&NOTE, (1,)).await.unwrap();
}

#[tokio::test]
async fn unbounded_time_limits_never_expire() {
    let connection = ConnectionLimits {
        frame_time: Duration::MAX,
        stall_time: Duration::MAX,
        connect_time: Duration::MAX,
        ..ConnectionLimits::default()
    };
    let options = Options {
        connection,
        timeout: Duration::MAX,
        ..Options::default()
    };
    let server = serve(options.clone()).await;
    let proxy = server.proxy_with(options).await;
    let data = vec![1_u8; 1 << 20];
    let answer: Vec<u8> = within(proxy.call(&BLOB, (&data,))).await.unwrap();
    assert!(answer == data);
}

/// A call that was not sent must not stop the deadline timer of later calls.
#[tokio::test]
async fn a_call_that_is_too_large_leaves_the_deadline_timer_running() {
    let server = serve(Options::default()).await;
    let limits = Limits {
        max_frame: 1000,
        ..Limits::default()
    };
    let options = Options {
        limits,
        ..Options::default()
    };
    let proxy = server.proxy_with(options).await;
    let text = "x".repeat(2000);
    let hasty = proxy.with_timeout(Duration::from_millis(10));
    let error = soon(hasty.call::<_, String>(&ECHO, (&text,)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::SendFailed);
    times_out(&proxy.with_timeout(SHORT), SHORT).await;
    works(&proxy).await;
}

/// The same for a call that waited for capacity before it was sent.
#[tokio::test]
async fn a_call_that_waited_for_capacity_keeps_its_deadline() {
    let peer = RawServer::listen().await;
    let communicator = tce_runtime::Communicator::new();
    let proxy = Proxy::connect(&communicator, &peer.endpoint().to_string())
        .await
        .unwrap();
    let mut raw = peer.accept().await;
    let data = vec![0_u8; 1 << 20];
    // Fills the socket and then the send buffer; the last call waits for capacity.
    let flood = tokio::spawn({
        let proxy = proxy.with_timeout(Duration::from_secs(60));
        async move {
            for _ in 0..16 {
                proxy.oneway(&BLOB, (&data,)).await.unwrap();
            }
        }
    });
    crate::common::watching::eventually("the send buffer is full", || {
        drop(proxy.call::<_, ()>(&GATE, ()));
        !flood.is_finished() && proxy.connection().calls_in_flight() == 0
    })
    .await;
    let call = tokio::spawn(
        proxy
            .with_timeout(Duration::from_secs(1))
            .call::<_, ()>(&GATE, ()),
    );
    for _ in 0..16 {
        raw.message().await;
    }
    within(flood).await.unwrap();
    let error = within(call).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
}
