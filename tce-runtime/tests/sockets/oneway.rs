//! Calls that nobody answers: they arrive all the same.

use std::time::Duration;

use tce_runtime::{Communicator, config::Options};

use crate::common::{
    probe::{GATE, NOTE, SLOW_NOTE, connect, serve, works},
    watching::{PATIENCE, soon, within},
};

#[tokio::test]
async fn they_arrive_in_order() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    for number in 0..1000 {
        proxy.oneway(&NOTE, (number,)).await.unwrap();
    }
    server.probe.notes_reached(1000).await;
    let expected: Vec<_> = (0..1000).collect();
    assert_eq!(*server.probe.notes.lock().unwrap(), expected);
}

#[tokio::test]
async fn one_that_was_called_right_before_the_last_proxy_goes_arrives() {
    let server = serve(Options::default()).await;
    for number in 0..100 {
        let proxy = server.proxy().await;
        proxy.oneway(&NOTE, (number,)).await.unwrap();
    }
    server.probe.notes_reached(100).await;
}

#[tokio::test]
async fn one_that_was_called_right_before_a_shutdown_arrives() {
    let server = serve(Options::default()).await;
    let communicator = Communicator::new();
    let proxy = connect(&communicator, server.endpoint()).await;
    for number in 0..1000 {
        proxy.oneway(&NOTE, (number,)).await.unwrap();
    }
    assert!(soon(communicator.shutdown(PATIENCE)).await);
    server.probe.notes_reached(1000).await;
}

/// A program's last words: its runtime ends right after the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_that_was_called_right_before_the_runtime_ends_arrives() {
    let server = serve(Options::default()).await;
    let endpoint = server.endpoint().clone();
    let program = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let proxy = connect(&Communicator::new(), &endpoint).await;
            proxy.oneway(&NOTE, (7,)).await.unwrap();
        });
    });
    within(program).await.unwrap();
    server.probe.notes_reached(1).await;
}

#[tokio::test]
async fn flush_waits_until_they_have_left() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    proxy.oneway(&SLOW_NOTE, (1,)).await.unwrap();
    within(proxy.connection().flush()).await;
    server.probe.notes_reached(1).await;
}

#[tokio::test]
async fn they_keep_nobody_waiting() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    for _ in 0..10 {
        proxy.oneway(&GATE, ()).await.unwrap();
    }
    server.probe.gate_reached(10).await;
    soon(works(&proxy)).await;
    assert_eq!(proxy.connection().calls_in_flight(), 0);
}

#[tokio::test]
async fn one_that_finds_no_connection_says_why() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    server.adapter.shutdown(Duration::ZERO).await;
    crate::common::watching::eventually("it is down", || !proxy.connection().is_connected()).await;
    let error = soon(proxy.oneway(&NOTE, (1,))).await.unwrap_err();
    assert_eq!(error.operation(), Some(NOTE.name()));
    assert!(error.can_retry());
}
