//! The end of a connection, begun by either side.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use tce_runtime::{Communicator, ConnectionEvent, ErrorCode, Proxy, config::Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{
    self,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::{
    common::{
        probe::{ECHO, GATE, NOTE, SLEEP, serve_at, works},
        raw::{Message, int, string},
        watching::{SOON, eventually, soon, within},
    },
    peer::{Peer, PeerServer, tls},
};

async fn proxy_and_peer() -> (PeerServer, Proxy, Peer) {
    let listener = PeerServer::listen().await;
    let communicator = Communicator::new();
    let endpoint = listener.endpoint("");
    let (proxy, peer) = tokio::join!(Proxy::connect(&communicator, &endpoint), listener.accept());
    (listener, proxy.unwrap(), peer)
}

#[tokio::test]
async fn a_servers_shutdown_is_a_close_handshake() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let mut peer = Peer::connect(server.endpoint()).await;
    peer.send_bytes(Message::call(1, GATE.opidx(), vec![]).frame())
        .await;
    server.probe.gate_reached(1).await;
    let shutdown = server.communicator.shutdown(SOON);
    let (ended, ()) = tokio::join!(shutdown, async {
        server.probe.gate.add_permits(1);
        assert_eq!(
            peer.frame().await.sequence,
            1,
            "the call in flight is answered"
        );
        assert_eq!(peer.close_code().await, Some(CloseCode::Away));
        peer.ended().await;
    });
    assert!(ended, "nothing had to be cut off");
}

#[tokio::test]
async fn a_closing_client_sends_buffered_calls_and_a_close_frame() {
    let (_listener, proxy, mut peer) = proxy_and_peer().await;
    proxy.oneway(&NOTE, (1,)).await.unwrap();
    proxy.connection().close();
    assert_eq!(peer.frame().await.params, int(1));
    assert_eq!(peer.close_code().await, Some(CloseCode::Normal));
    peer.ended().await;
}

#[tokio::test]
async fn a_dropped_client_sends_a_close_frame() {
    let (_listener, proxy, mut peer) = proxy_and_peer().await;
    drop(proxy);
    assert_eq!(peer.close_code().await, Some(CloseCode::Normal));
}

#[tokio::test]
async fn the_wait_for_a_peers_close_frame_is_bounded() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let _peer = Peer::connect(server.endpoint()).await;
    let start = Instant::now();
    assert!(server.communicator.shutdown(SOON * 2).await);
    assert!(start.elapsed() < SOON);

    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let _peer = Peer::connect(server.endpoint()).await;
    let start = Instant::now();
    assert!(
        !server
            .communicator
            .shutdown(Duration::from_millis(50))
            .await
    );
    assert!(
        start.elapsed() < Duration::from_millis(800),
        "the shutdown timeout bounds the close handshake"
    );
}

#[tokio::test]
async fn a_peers_close_is_answered_with_its_code() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let (sender, reasons) = mpsc::sync_channel(10);
    server.adapter.on_event(move |_, event| {
        if let ConnectionEvent::Disconnected { reason } = event {
            sender.try_send(reason.clone()).unwrap();
        }
    });
    for (code, expected) in [
        (CloseCode::Normal, "closed by the peer"),
        (CloseCode::Away, "closed by the peer"),
        (CloseCode::Policy, "with code 1008: no more"),
    ] {
        let mut peer = Peer::connect(server.endpoint()).await;
        let reason = "no more".into();
        let close = CloseFrame { code, reason };
        peer.send(tungstenite::Message::Close(Some(close))).await;
        assert_eq!(soon(peer.close_code()).await, Some(code));
        soon(peer.ended()).await;
        eventually("the connection has ended", || {
            server.adapter.connections() == 0
        })
        .await;
        let reason = reasons.recv_timeout(SOON).unwrap();
        assert!(reason.contains(expected), "{reason}");
    }
}

#[tokio::test]
async fn a_lost_connection_fails_its_calls_at_once_and_reconnects() {
    let (listener, proxy, mut peer) = proxy_and_peer().await;
    let pending = proxy.call::<_, String>(&ECHO, ("lost",));
    peer.frame().await;
    drop(peer);
    let error = soon(pending).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);

    let pending = proxy.call::<_, String>(&ECHO, ("again",));
    let (answer, _peer) = tokio::join!(within(pending), async {
        let mut peer = listener.accept().await;
        let call = peer.frame().await;
        let answer = Message::returning(call.sequence, 0, string("answered"));
        peer.send_bytes(answer.frame()).await;
        peer
    });
    assert_eq!(answer.unwrap(), "answered");
}

/// Calls in flight fail on the server's close frame, before the socket ends.
#[tokio::test]
async fn a_servers_close_fails_the_calls_at_once() {
    let (_listener, proxy, mut peer) = proxy_and_peer().await;
    let pending = proxy.call::<_, String>(&ECHO, ("lost",));
    peer.frame().await;
    peer.send(tungstenite::Message::Close(None)).await;
    let error = soon(pending).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
    peer.close_code().await;
}

#[tokio::test]
async fn concurrent_shutdowns_of_both_sides_end_quickly() {
    let folder = tempfile::tempdir().unwrap();
    let (server_options, client_options) = tls(folder.path());
    let server = serve_at("wss://127.0.0.1:0", server_options).await;
    let communicator = Communicator::with_options(client_options);
    let endpoint = server.endpoint().to_string();
    let proxy = Proxy::connect(&communicator, &endpoint).await.unwrap();
    works(&proxy).await;
    let start = Instant::now();
    let (first, second) = tokio::join!(
        server.communicator.shutdown(SOON),
        communicator.shutdown(SOON)
    );
    assert!(first && second);
    assert!(
        start.elapsed() < Duration::from_millis(900),
        "neither side waited for a timeout"
    );
}

#[tokio::test]
async fn a_shutdown_completes_calls_over_websocket() {
    let server = serve_at("ws://127.0.0.1:0", Options::default()).await;
    let proxy = server.proxy().await;
    let sleeping = proxy.call::<_, ()>(&SLEEP, (200,));
    let at_gate = proxy.call::<_, ()>(&GATE, ());
    server.probe.gate_reached(1).await;
    let shutdown = server.communicator.shutdown(SOON);
    let (ended, slept, passed) = tokio::join!(shutdown, sleeping, async {
        server.probe.gate.add_permits(1);
        at_gate.await
    });
    slept.unwrap();
    passed.unwrap();
    assert!(ended);
}

/// Without `close_notify` the end of a TLS stream is not authenticated.
#[tokio::test]
async fn tls_ends_with_close_notify() {
    let folder = tempfile::tempdir().unwrap();
    let (server_options, client_options) = tls(folder.path());
    let server = serve_at("ssl://127.0.0.1:0", server_options).await;
    let mut roots = rustls::RootCertStore::empty();
    let authority = std::fs::read(client_options.tls.authority.unwrap()).unwrap();
    let authority: rustls::pki_types::CertificateDer<'static> =
        rustls::pki_types::pem::PemObject::from_pem_slice(&authority).unwrap();
    roots.add(authority).unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = tokio::net::TcpStream::connect(("127.0.0.1", server.endpoint().port));
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let name = "localhost".try_into().unwrap();
    let mut socket = connector
        .connect(name, socket.await.unwrap())
        .await
        .unwrap();
    let call = Message::call(1, ECHO.opidx(), string("hello")).frame();
    socket.write_all(&call).await.unwrap();
    let mut answer = vec![0; call.len()];
    within(socket.read_exact(&mut answer)).await.unwrap();
    let (_, end) = tokio::join!(server.communicator.shutdown(SOON), async {
        within(socket.read(&mut [0; 16])).await
    });
    assert_eq!(end.expect("close_notify arrives"), 0);
}
