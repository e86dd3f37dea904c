//! Connection events.

use std::time::Duration;

use tce_runtime::{Connection, ConnectionEvent, config::Options};
use tokio::sync::mpsc;

use crate::common::{
    probe::{serve, serve_at, works},
    raw::Raw,
    watching::{eventually, within},
};

/// A listener, and the events that it received.
fn listener() -> (
    impl Fn(&Connection, &ConnectionEvent) + Send + Sync,
    mpsc::Receiver<ConnectionEvent>,
) {
    let (sender, events) = mpsc::channel(100);
    let listener_fn = move |_: &Connection, event: &ConnectionEvent| {
        sender.try_send(event.clone()).unwrap();
    };
    (listener_fn, events)
}

async fn reason(events: &mut mpsc::Receiver<ConnectionEvent>) -> String {
    match within(events.recv()).await.unwrap() {
        ConnectionEvent::Disconnected { reason } => reason,
        other => panic!("expected Disconnected, got {other:?}"),
    }
}

#[tokio::test]
async fn an_adapter_reports_each_connection() {
    let server = serve(Options::default()).await;
    let (listener_fn, mut events) = listener();
    server.adapter.on_event(listener_fn);
    let proxy = server.proxy().await;
    assert_eq!(
        within(events.recv()).await,
        Some(ConnectionEvent::Connected)
    );
    drop(proxy);
    assert!(reason(&mut events).await.contains("by the peer"));

    let mut raw = Raw::connect(server.endpoint()).await;
    assert_eq!(
        within(events.recv()).await,
        Some(ConnectionEvent::Connected)
    );
    raw.send(b"GET / HTTP/1.1").await;
    assert!(reason(&mut events).await.contains("magic"));
}

#[tokio::test]
async fn a_client_reports_disconnect_and_reconnect() {
    let server = serve(Options::default()).await;
    let endpoint = server.endpoint().to_string();
    let proxy = server.proxy().await;
    let (listener_fn, mut events) = listener();
    proxy.connection().on_event(listener_fn);
    server.adapter.shutdown(Duration::ZERO).await;
    reason(&mut events).await;
    let _restarted = serve_at(&endpoint, Options::default()).await;
    assert_eq!(
        within(events.recv()).await,
        Some(ConnectionEvent::Connected)
    );
    works(&proxy).await;
    proxy.connection().close();
    assert!(reason(&mut events).await.contains("on this side"));
}

#[tokio::test]
async fn a_panicking_listener_leaves_the_connection_open() {
    let server = serve(Options::default()).await;
    let endpoint = server.endpoint().to_string();
    server.adapter.on_event(|_, _| panic!("on purpose"));
    let proxy = server.proxy().await;
    proxy.connection().on_event(|_, _| panic!("on purpose"));
    works(&proxy).await;
    server.adapter.shutdown(Duration::ZERO).await;
    let restarted = serve_at(&endpoint, Options::default()).await;
    eventually("reconnected", || {
        restarted.adapter.connections() == 1 && proxy.connection().is_connected()
    })
    .await;
    works(&proxy).await;
}
