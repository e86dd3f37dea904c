//! The limits of HTTP connections, and the shutdown.
//!
//! Tests use tokio's paused clock, which advances when all tasks are idle.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    client::{get, send},
    fake::{Fake, serve},
};

async fn silent(server: SocketAddr, first_bytes: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server).await.unwrap();
    socket.write_all(first_bytes.as_bytes()).await.unwrap();
    socket
}

#[tokio::test(start_paused = true)]
async fn who_does_not_finish_asking_is_cut_off() {
    let server = serve(&Fake::default()).await;
    for first_bytes in ["", "G", "GET / HTTP/1.1\r\nHost: localhost\r\n"] {
        let mut socket = silent(server.address, first_bytes).await;
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty(), "{first_bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silent_connections_keep_nobody_out() {
    let server = serve(&Fake::default()).await;
    let mut silent_connections = Vec::new();
    for _ in 0..100 {
        silent_connections.push(silent(server.address, "").await);
    }
    let start = tokio::time::Instant::now();
    assert_eq!(get(server.address, "/healthz").await.status, 200);
    // Time that is paused passes only while all tasks wait.
    assert!(start.elapsed() < std::time::Duration::from_secs(1));
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused() {
    let server = serve(&Fake::default()).await;
    let host = server.address;
    let long = "x".repeat(20 * 1024);
    let request = format!("GET /api/state?q={long} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert!(matches!(send(host, &request).await.status, 414 | 431));
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_nobody_who_is_silent() {
    let server = serve(&Fake::default()).await;
    let _socket = silent(server.address, "GET / HTTP/1.1\r\n").await;
    assert_eq!(get(server.address, "/healthz").await.status, 200);
    server.end.send(()).unwrap();
    server.ended.await.unwrap();
    TcpStream::connect(server.address)
        .await
        .expect_err("nobody listens");
}
