//! What a connection tells of itself.

use std::time::Duration;

use tce_runtime::{Connection, ConnectionEvent, config::Options};
use tokio::sync::mpsc;

use crate::common::{
    probe::{serve, serve_at, works},
    raw::Raw,
    watching::{eventually, within},
};

/// A listener, and what it heard.
fn listener() -> (
    impl Fn(&Connection, &ConnectionEvent) + Send + Sync,
    mpsc::Receiver<ConnectionEvent>,
) {
    let (say, heard) = mpsc::channel(100);
    let tell = move |_: &Connection, event: &ConnectionEvent| {
        say.try_send(event.clone()).unwrap();
    };
    (tell, heard)
}

async fn reason(heard: &mut mpsc::Receiver<ConnectionEvent>) -> String {
    match within(heard.recv()).await.unwrap() {
        ConnectionEvent::Disconnected { reason } => reason,
        other => panic!("{other:?} came instead"),
    }
}

#[tokio::test]
async fn an_adapter_hears_of_each_connection() {
    let server = serve(Options::default()).await;
    let (tell, mut heard) = listener();
    server.adapter.on_event(tell);
    let proxy = server.proxy().await;
    assert_eq!(within(heard.recv()).await, Some(ConnectionEvent::Connected));
    drop(proxy);
    assert!(reason(&mut heard).await.contains("by the peer"));

    let mut raw = Raw::connect(server.endpoint()).await;
    assert_eq!(within(heard.recv()).await, Some(ConnectionEvent::Connected));
    raw.send(b"GET / HTTP/1.1").await;
    assert!(reason(&mut heard).await.contains("magic"));
}

#[tokio::test]
async fn a_client_hears_of_its_connection_down_and_up_again() {
    let server = serve(Options::default()).await;
    let endpoint = server.endpoint().to_string();
    let proxy = server.proxy().await;
    let (tell, mut heard) = listener();
    proxy.connection().on_event(tell);
    server.adapter.shutdown(Duration::ZERO).await;
    reason(&mut heard).await;
    let _again = serve_at(&endpoint, Options::default()).await;
    assert_eq!(within(heard.recv()).await, Some(ConnectionEvent::Connected));
    works(&proxy).await;
    proxy.connection().close();
    assert!(reason(&mut heard).await.contains("on this side"));
}

#[tokio::test]
async fn a_listener_that_panics_hurts_no_connection() {
    let server = serve(Options::default()).await;
    let endpoint = server.endpoint().to_string();
    server.adapter.on_event(|_, _| panic!("on purpose"));
    let proxy = server.proxy().await;
    proxy.connection().on_event(|_, _| panic!("on purpose"));
    works(&proxy).await;
    server.adapter.shutdown(Duration::ZERO).await;
    let again = serve_at(&endpoint, Options::default()).await;
    eventually("it is up again", || {
        again.adapter.connections() == 1 && proxy.connection().is_connected()
    })
    .await;
    works(&proxy).await;
}
