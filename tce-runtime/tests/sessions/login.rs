//! Which messages of a client carry its credentials.

use std::time::{Duration, Instant};

use tce_runtime::{BUILTIN_INTERFACE, Communicator, Pending, Proxy, config::Options};
use tokio::time::{sleep, timeout};

use crate::common::{
    probe::{NOTE, connect, serve, works},
    raw::{Message, Raw, RawServer},
    watching::{eventually, soon, within},
};

fn communicator() -> Communicator {
    Communicator::with_options(Options {
        token: Some("anna".to_owned()),
        device_id: Some("phone".to_owned()),
        ..Options::default()
    })
}

async fn connected(server: &RawServer) -> (Proxy, Raw) {
    let proxy = connect(&communicator(), &server.endpoint()).await;
    (proxy, server.accept().await)
}

fn has_credentials(message: &Message) -> bool {
    let token = message.extra("__token__");
    assert_eq!(token.is_some(), message.extra("__device_id__").is_some());
    token == Some("anna")
}

/// A gateway may answer calls of the built-in interface before the login, as earlier
/// ones do.
#[tokio::test]
async fn each_call_carries_the_token_until_one_needs_the_login() {
    let server = RawServer::listen().await;
    let (proxy, mut raw) = connected(&server).await;
    for _ in 0..2 {
        drop(proxy.ping());
        assert!(has_credentials(&within(raw.message()).await));
    }
    drop(proxy.describe());
    assert!(has_credentials(&within(raw.message()).await));
    drop(proxy.oneway(&NOTE, (1,)));
    assert!(has_credentials(&within(raw.message()).await));
    drop(proxy.oneway(&NOTE, (2,)));
    assert!(!has_credentials(&within(raw.message()).await));
    drop(proxy.ping());
    assert!(!has_credentials(&within(raw.message()).await));
}

fn is_login(message: &Message) -> bool {
    let is_oneway = message.calltype == 0x21;
    has_credentials(message) && is_oneway && message.ifidx == BUILTIN_INTERFACE
}

#[tokio::test]
async fn a_client_that_makes_no_call_logs_in_on_each_stream() {
    let server = RawServer::listen().await;
    let start = Instant::now();
    let (proxy, mut raw) = connected(&server).await;
    assert!(is_login(&within(raw.message()).await));
    assert!(start.elapsed() >= Duration::from_secs(1));
    for _ in 0..2 {
        drop(raw);
        raw = within(server.accept()).await;
        assert!(is_login(&soon(raw.message()).await));
        // The first call carries the credentials all the same.
        drop(proxy.oneway(&NOTE, (1,)));
        assert!(has_credentials(&within(raw.message()).await));
    }
}

#[tokio::test]
async fn a_call_is_the_login_of_its_stream() {
    let server = RawServer::listen().await;
    let (proxy, mut raw) = connected(&server).await;
    drop(proxy.oneway(&NOTE, (1,)));
    assert!(has_credentials(&within(raw.message()).await));
    let more = timeout(Duration::from_millis(1500), raw.next()).await;
    assert!(more.is_err(), "nothing else is sent");
    // Over a new stream, the call that waits for it.
    drop(raw);
    eventually("the connection is lost", || {
        !proxy.connection().is_connected()
    })
    .await;
    let kept: Pending<()> = proxy.call(&NOTE, (2,));
    let mut raw = within(server.accept()).await;
    let first = within(raw.message()).await;
    assert!(has_credentials(&first) && first.ifidx == NOTE.ifidx());
    let more = timeout(Duration::from_millis(300), raw.next()).await;
    assert!(more.is_err(), "nothing else is sent");
    drop(kept);
}

/// The login of a client that connects to a server without a gateway is harmless.
#[tokio::test]
async fn a_server_without_a_gateway_takes_the_login() {
    let server = serve(Options::default()).await;
    let proxy = connect(&communicator(), server.endpoint()).await;
    sleep(Duration::from_millis(1100)).await;
    works(&proxy).await;
}

#[tokio::test]
async fn a_client_without_a_token_sends_no_login() {
    let server = RawServer::listen().await;
    let proxy = connect(&Communicator::new(), &server.endpoint()).await;
    let mut raw = server.accept().await;
    let sent = timeout(Duration::from_millis(1500), raw.next()).await;
    assert!(sent.is_err());
    drop(proxy);
}
