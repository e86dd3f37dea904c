//! Limits of sizes and counts, and what happens past them.

use tce_runtime::{
    ErrorCode, Side,
    config::{ConnectionLimits, Options},
    wire::Limits,
};

use crate::common::{
    probe::{BLOB, ECHO, GROW, SLOW_NOTE, serve, works},
    raw::{Message, Raw, int},
    watching::{eventually, soon, within},
};

#[tokio::test]
async fn a_call_that_is_too_large_fails_and_the_connection_stays_open() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let data = vec![0_u8; 4 << 20];
    let error = soon(proxy.call::<_, Vec<u8>>(&BLOB, (&data,)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.side()),
        (ErrorCode::SendFailed, Side::Local)
    );
    let error = soon(proxy.oneway(&BLOB, (&data,))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SendFailed);
    assert_eq!(proxy.connection().calls_in_flight(), 0);
    works(&proxy).await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_fails_its_call() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let error = soon(proxy.call::<_, Vec<u8>>(&GROW, (5 << 20,)))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.side()),
        (ErrorCode::RemoteMethodException, Side::Remote)
    );
    // The servant has run.
    assert!(!error.can_retry());
    works(&proxy).await;
}

#[tokio::test]
async fn the_largest_message_is_accepted() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let largest = Limits::default().max_frame - 100;
    let data = vec![3_u8; largest];
    let answer: Vec<u8> = within(proxy.call(&BLOB, (&data,))).await.unwrap();
    assert!(answer == data);
}

/// Past `served_calls` the peer's messages wait to be read; no call is lost.
#[tokio::test]
async fn calls_past_served_calls_wait_and_are_all_answered() {
    let limit = 5;
    let options = Options {
        connection: ConnectionLimits {
            served_calls: limit,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let server = serve(options).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let count = 2000;
    let flood: Vec<u8> = (0..count)
        .flat_map(|number| Message::call(number, SLOW_NOTE.opidx(), int(number as i32)).frame())
        .collect();
    raw.send(&flood).await;
    let mut answered: Vec<_> = Vec::new();
    for _ in 0..count {
        answered.push(raw.message().await.sequence);
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..count).collect::<Vec<_>>());
    let most = server.probe.running.lock().unwrap().1;
    assert!(most > 1 && most <= limit, "{most} ran at once");
}

/// The peer of a connection past the limit is told so.
#[tokio::test]
async fn connections_past_the_limit_are_refused() {
    let options = Options {
        connection: ConnectionLimits {
            connections: 2,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let server = serve(options).await;
    assert_eq!(server.adapter.connections(), 0);
    let (first, second) = (server.proxy().await, server.proxy().await);
    works(&first).await;
    works(&second).await;
    assert_eq!(server.adapter.connections(), 2);
    let third = server.proxy().await;
    let error = soon(third.call::<_, String>(&ECHO, ("x",)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectReject, "{error}");
    assert!(error.text().contains("as many connections"), "{error}");
    works(&first).await;
    assert_eq!(server.adapter.connections(), 2);
    drop(second);
    within(async { while third.call::<_, String>(&ECHO, ("x",)).await.is_err() {} }).await;
    drop((first, third));
    eventually("all connections have ended", || {
        server.adapter.connections() == 0
    })
    .await;
}
