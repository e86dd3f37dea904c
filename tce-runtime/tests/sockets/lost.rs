//! Lost connections, and reconnecting.

use std::time::Duration;

use tce_runtime::{Communicator, ErrorCode, Proxy, Side, config::Options};

use crate::common::{
    probe::{ECHO, GATE, Probe, connect, serve, serve_at, works},
    raw::{Message, RawServer, string},
    watching::{eventually, soon, within},
};

async fn echo_error(proxy: &Proxy) -> ErrorCode {
    soon(proxy.call::<_, String>(&ECHO, ("x",)))
        .await
        .expect_err("no server listens")
        .code()
}

#[tokio::test]
async fn a_lost_connection_fails_calls_at_once_and_the_proxy_reconnects() {
    let server = serve(Options::default()).await;
    let endpoint = server.endpoint().to_string();
    let proxy = server.proxy().await;
    let calls: Vec<_> = (0..10).map(|_| proxy.call::<_, ()>(&GATE, ())).collect();
    server.probe.gate_reached(10).await;

    assert!(!server.adapter.shutdown(Duration::ZERO).await);
    for call in calls {
        let error = soon(call).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectionLost);
        assert!(error.can_retry());
    }
    for _ in 0..3 {
        assert_eq!(echo_error(&proxy).await, ErrorCode::ConnectFailed);
    }
    assert!(!proxy.connection().is_connected());
    assert_eq!(proxy.connection().calls_in_flight(), 0);

    let _restarted = serve_at(&endpoint, Options::default()).await;
    works(&proxy).await;
    assert!(proxy.connection().is_connected());
}

#[tokio::test]
async fn an_idle_proxy_reconnects_by_itself() {
    let server = serve(Options::default()).await;
    let endpoint = server.endpoint().to_string();
    let proxy = server.proxy().await;
    server.adapter.shutdown(Duration::ZERO).await;
    let restarted = serve_at(&endpoint, Options::default()).await;
    eventually("reconnected", || {
        restarted.adapter.connections() == 1 && proxy.connection().is_connected()
    })
    .await;
}

#[tokio::test]
async fn connecting_without_a_server_fails_at_once() {
    let peer = RawServer::listen().await;
    let endpoint = peer.endpoint();
    drop(peer);
    let error = soon(Communicator::new().connect(&endpoint.to_string()))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
    assert_eq!(error.peer(), Some(endpoint.to_string().as_str()));
    let error = soon(Communicator::new().connect("tcp://no-such-host.invalid:1"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectUnreachable);
    let error = soon(Communicator::new().connect("tpc://127.0.0.1:1"))
        .await
        .unwrap_err();
    assert!(error.text().contains("tpc"), "{error}");
}

/// As a port forwarder does whose target is down.
#[tokio::test]
async fn a_peer_that_accepts_and_closes_fails_calls_at_once() {
    let peer = RawServer::listen().await;
    let endpoint = peer.endpoint().to_string();
    tokio::spawn(async move {
        loop {
            drop(peer.accept().await);
        }
    });
    for _ in 0..50 {
        let proxy = soon(Proxy::connect(&Communicator::new(), &endpoint)).await;
        if let Ok(proxy) = proxy {
            let call = soon(proxy.call::<_, String>(&ECHO, ("x",))).await;
            assert_eq!(call.unwrap_err().code(), ErrorCode::ConnectionLost);
        }
    }
}

/// Sequences restart on each connection: an answer to a call of the old one
/// would match another call on the new one.
#[tokio::test]
async fn an_answer_never_goes_to_the_next_connection() {
    let peer = RawServer::listen().await;
    let proxy = connect(&Communicator::new(), &peer.endpoint()).await;
    let probe = Probe::default();
    proxy.connection().add_servant(probe.clone());
    let mut old = peer.accept().await;
    old.send(&Message::call(1, GATE.opidx(), vec![]).frame())
        .await;
    probe.0.gate_reached(1).await;
    drop(old);

    let mut new = peer.accept().await;
    eventually("the proxy has reconnected", || {
        proxy.connection().is_connected()
    })
    .await;
    probe.0.gate.add_permits(1);
    eventually("the call has passed the gate", || {
        probe.0.gate.available_permits() == 0
    })
    .await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let answer = new
        .call(&Message::call(7, ECHO.opidx(), string("new")))
        .await;
    assert_eq!((answer.sequence, answer.params), (7, string("new")));
}

#[tokio::test]
async fn an_undecodable_return_fails_its_call_at_once() {
    let peer = RawServer::listen().await;
    let proxy = connect(&Communicator::new(), &peer.endpoint()).await;
    let mut raw = peer.accept().await;
    let call = proxy.call::<_, String>(&ECHO, ("x",));
    let sequence = raw.message().await.sequence;
    let mut answer = Message::returning(sequence, 0, vec![]).bytes();
    // An extra that announces more pairs than the message has bytes.
    answer[17..21].copy_from_slice(&[0, 0, 2, 0]);
    raw.send(&crate::common::raw::frame(0, &answer)).await;
    let error = soon(call).await.unwrap_err();
    assert_eq!(
        (error.code(), error.side()),
        (ErrorCode::DataDirty, Side::Local)
    );
    assert_eq!(
        within(async { proxy.connection().calls_in_flight() }).await,
        0
    );
}

#[tokio::test]
async fn calls_on_a_closed_connection_fail_with_connection_lost() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let call = proxy.call::<_, ()>(&GATE, ());
    proxy.connection().close();
    assert_eq!(
        soon(call).await.unwrap_err().code(),
        ErrorCode::ConnectionLost
    );
    assert_eq!(echo_error(&proxy).await, ErrorCode::ConnectionLost);
    eventually("the server has closed its side", || {
        server.adapter.connections() == 0
    })
    .await;
}
