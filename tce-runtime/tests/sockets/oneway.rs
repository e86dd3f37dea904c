//! Oneway calls: delivery, order and errors.

use std::time::Duration;

use tce_runtime::{Communicator, config::Options};

use crate::common::{
    probe::{GATE, NOTE, SLOW_NOTE, connect, serve, works},
    watching::{PATIENCE, soon, within},
};

#[tokio::test]
async fn oneway_calls_arrive_in_order() {
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
async fn a_oneway_call_right_before_the_last_proxy_is_dropped_arrives() {
    let server = serve(Options::default()).await;
    for number in 0..100 {
        let proxy = server.proxy().await;
        proxy.oneway(&NOTE, (number,)).await.unwrap();
    }
    server.probe.notes_reached(100).await;
}

#[tokio::test]
async fn a_oneway_call_right_before_a_shutdown_arrives() {
    let server = serve(Options::default()).await;
    let communicator = Communicator::new();
    let proxy = connect(&communicator, server.endpoint()).await;
    for number in 0..1000 {
        proxy.oneway(&NOTE, (number,)).await.unwrap();
    }
    assert!(soon(communicator.shutdown(PATIENCE)).await);
    server.probe.notes_reached(1000).await;
}

/// As in a program whose runtime ends right after its last call.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_oneway_call_right_before_the_runtime_ends_arrives() {
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
async fn flush_waits_until_oneway_calls_are_sent() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    proxy.oneway(&SLOW_NOTE, (1,)).await.unwrap();
    within(proxy.connection().flush()).await;
    server.probe.notes_reached(1).await;
}

#[tokio::test]
async fn oneway_calls_delay_no_other_call() {
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
async fn a_oneway_call_without_a_connection_fails_with_the_cause() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    server.adapter.shutdown(Duration::ZERO).await;
    crate::common::watching::eventually("the connection is down", || {
        !proxy.connection().is_connected()
    })
    .await;
    let error = soon(proxy.oneway(&NOTE, (1,))).await.unwrap_err();
    assert_eq!(error.operation(), Some(NOTE.name()));
    assert!(error.can_retry());
}
