//! Upgrade requests: which are accepted, and how the others are refused.

use std::time::{Duration, Instant};

use tce_runtime::{
    Communicator, ErrorCode, Proxy, RpcError,
    config::{ConnectionLimits, Endpoint, Options, WebSocketOptions},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    common::{
        probe::{Server, serve, serve_at, works},
        raw::{Message, Raw, string},
        watching::{SOON, eventually, within},
    },
    peer::PeerServer,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

async fn ws_server() -> Server {
    serve_at("ws://127.0.0.1:0", Options::default()).await
}

/// A request that asks for WebSocket, with more header lines.
fn request(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

/// The whole answer to these bytes, up to the end of the socket.
async fn refused(server: &Server, bytes: &[u8]) -> String {
    let mut raw = Raw::connect(server.endpoint()).await;
    raw.send(bytes).await;
    let mut answer = String::new();
    within(raw.0.read_to_string(&mut answer))
        .await
        .expect("the socket ends without a reset that destroys the answer");
    answer
}

/// The HTTP status of the answer to these bytes.
async fn status(server: &Server, bytes: &[u8]) -> u16 {
    let mut raw = Raw::connect(server.endpoint()).await;
    raw.send(bytes).await;
    let mut head = [0; 12];
    within(raw.0.read_exact(&mut head)).await.unwrap();
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

async fn connect_error(endpoint: &str, options: Options) -> RpcError {
    let communicator = Communicator::with_options(options);
    let failed = within(Proxy::connect(&communicator, endpoint)).await;
    let error = failed.expect_err("the server does not speak TCE over WebSocket");
    assert_eq!(error.code(), ErrorCode::ConnectFailed);
    error
}

#[tokio::test]
async fn a_plain_http_request_is_told_to_upgrade() {
    let server = ws_server().await;
    for method in ["GET", "HEAD", "POST"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = refused(&server, request.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 426 Upgrade Required\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nUpgrade: websocket\r\n"), "{head}");
        assert!(
            head.contains("\r\nConnection: Upgrade, close\r\n"),
            "{head}"
        );
        assert!(
            head.contains(&format!("\r\nContent-Length: {}", body.len())),
            "{head}"
        );
        assert!(
            body.contains("TCE server") && body.contains("new WebSocket"),
            "{body}"
        );
    }
    works(&server.proxy().await).await;
}

#[tokio::test]
async fn another_version_of_websocket_is_refused_with_the_supported_one() {
    let server = ws_server().await;
    let old = request("/", "").replace("Version: 13", "Version: 8");
    let answer = refused(&server, old.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(
        answer.contains("\r\nSec-WebSocket-Version: 13\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn malformed_requests_are_answered_with_400() {
    let server = ws_server().await;
    let frame = Message::call(1, 0, string("a frame without WebSocket")).frame();
    let keyless = request("/", "").replace(KEY, "short");
    let garbage: [&[u8]; 4] = [
        b"\x16\x03\x01\x02\0",
        b"hello there\r\n\r\n",
        &frame,
        keyless.as_bytes(),
    ];
    for bytes in garbage {
        let answer = refused(&server, bytes).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn an_oversized_request_head_is_answered_with_431() {
    let server = ws_server().await;
    let long = request("/", &format!("Cookie: {}\r\n", "a".repeat(20_000)));
    let many = request("/", &"A: b\r\n".repeat(500));
    for bytes in [long, many] {
        let answer = refused(&server, bytes.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn only_pages_of_listed_origins_may_connect() {
    let origins = [
        "https://chat.example.org",
        "null",
        "https://Port.example:443",
        "http://slash.example:80/",
        "https://dot.example.",
        "https://münchen.example",
    ];
    let origins = origins.map(str::to_owned).to_vec();
    let options = Options {
        websocket: WebSocketOptions { origins },
        ..Options::default()
    };
    let server = serve_at("ws://127.0.0.1:0", options).await;
    for (header, expected) in [
        ("Origin: https://chat.example.org\r\n", 101),
        ("Origin: HTTPS://Chat.Example.org\r\n", 101),
        ("Origin: null\r\n", 101),
        ("Origin: https://port.example\r\n", 101),
        ("Origin: http://slash.example\r\n", 101),
        ("Origin: https://dot.example\r\n", 101),
        ("Origin: https://xn--mnchen-3ya.example\r\n", 101),
        ("Origin: http://port.example\r\n", 403),
        ("Origin: https://slash.example\r\n", 403),
        ("", 101),
        ("Origin: http://chat.example.org\r\n", 403),
        ("Origin: https://chat.example.org.evil.org\r\n", 403),
        (
            "Origin: https://chat.example.org\r\nOrigin: https://evil.org\r\n",
            403,
        ),
        ("Origin:\r\n", 403),
    ] {
        let answered = status(&server, request("/", header).as_bytes()).await;
        assert_eq!(answered, expected, "{header}");
    }
    works(&server.proxy().await).await;
}

#[tokio::test]
async fn any_origin_may_connect_if_none_is_listed() {
    let server = ws_server().await;
    let asked = request("/any/path?and=query", "Origin: https://example.org\r\n");
    assert_eq!(status(&server, asked.as_bytes()).await, 101);
}

#[tokio::test]
async fn an_adapter_with_a_path_refuses_other_paths() {
    let server = serve_at("ws://127.0.0.1:0/tce", Options::default()).await;
    assert_eq!(
        status(&server, request("/tce?room=1", "").as_bytes()).await,
        101
    );
    assert_eq!(status(&server, request("/", "").as_bytes()).await, 404);

    let wrong = server.endpoint().to_string().replace("/tce", "/other");
    let error = connect_error(&wrong, Options::default()).await;
    assert!(error.text().contains("HTTP 404 Not Found"), "{error}");
    assert!(error.text().contains("there is one under /tce"), "{error}");
}

#[tokio::test]
async fn a_path_is_the_same_in_unicode_and_encoded() {
    let server = serve_at("ws://127.0.0.1:0/café/é", Options::default()).await;
    let asked = request("/caf%C3%A9/%C3%A9", "");
    assert_eq!(status(&server, asked.as_bytes()).await, 101);
    assert_eq!(
        status(&server, request("/cafe/e", "").as_bytes()).await,
        404
    );
    works(&server.proxy().await).await;
}

#[tokio::test]
async fn a_request_may_arrive_byte_by_byte_or_together_with_a_call() {
    let server = ws_server().await;
    let mut raw = Raw::connect(server.endpoint()).await;
    for byte in request("/", "").bytes() {
        raw.send(&[byte]).await;
    }
    let mut head = [0; 12];
    within(raw.0.read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");

    // A call sent with the request, before the answer; its mask is zero.
    let call = Message::call(9, 0, string("early")).frame();
    let mut bytes = request("/", "").into_bytes();
    bytes.extend([0x82, 0x80 | u8::try_from(call.len()).unwrap(), 0, 0, 0, 0]);
    bytes.extend(&call);
    let mut raw = Raw::connect(server.endpoint()).await;
    raw.send(&bytes).await;
    let mut answer = Vec::new();
    while !answer.ends_with(&string("early")) {
        let count = within(raw.0.read_buf(&mut answer)).await.unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn a_handshake_past_connect_time_is_aborted() {
    let connection = ConnectionLimits {
        connect_time: Duration::from_millis(200),
        ..ConnectionLimits::default()
    };
    let options = Options {
        connection,
        ..Options::default()
    };
    let server = serve_at("ws://127.0.0.1:0", options.clone()).await;
    let start = Instant::now();
    let mut silent = Raw::connect(server.endpoint()).await;
    let mut slow = Raw::connect(server.endpoint()).await;
    slow.send(b"GET / HTTP/1.1\r\nHost: ").await;
    silent.closed().await;
    slow.closed().await;
    assert!(start.elapsed() >= Duration::from_millis(150));
    assert!(start.elapsed() < SOON);
    eventually("both connections have ended", || {
        server.adapter.connections() == 0
    })
    .await;

    let listener = PeerServer::listen().await;
    let endpoint = listener.endpoint("");
    let (error, _held) = tokio::join!(connect_error(&endpoint, options), listener.accept_bare());
    assert!(error.text().contains("200ms"), "{error}");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_handshake() {
    let server = ws_server().await;
    let mut raw = Raw::connect(server.endpoint()).await;
    raw.send(b"GET / HTTP/1.1\r\n").await;
    eventually("it is accepted", || server.adapter.connections() == 1).await;
    let start = Instant::now();
    assert!(server.communicator.shutdown(SOON).await);
    assert!(start.elapsed() < Duration::from_secs(1));
}

/// A server that answers any connection with these bytes.
async fn answering(bytes: &'static [u8]) -> String {
    let listener = PeerServer::listen().await;
    let endpoint = listener.endpoint("");
    tokio::spawn(async move {
        loop {
            let mut socket: TcpStream = listener.accept_bare().await;
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(bytes).await;
            let _ = socket.shutdown().await;
            let _ = socket.read(&mut [0; 4096]).await;
        }
    });
    endpoint
}

#[tokio::test]
async fn a_client_reports_an_answer_that_is_no_upgrade() {
    let found = [
        (
            answering(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 7\r\n\r\nnothing").await,
            "HTTP 502 Bad Gateway (nothing)",
        ),
        (answering(b"SSH-2.0-OpenSSH\r\n").await, "is not HTTP"),
        (answering(b"").await, "ended the WebSocket handshake"),
        (
            answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: bm8=\r\n\r\n").await,
            "Sec-WebSocket-Accept",
        ),
    ];
    for (endpoint, expected) in found {
        let error = connect_error(&endpoint, Options::default()).await;
        assert!(error.text().contains(expected), "{error}");
        assert_eq!(error.peer(), Some(endpoint.as_str()));
    }
    let tcp = serve(Options::default()).await;
    let endpoint = tcp.endpoint().to_string().replace("tcp://", "ws://");
    connect_error(&endpoint, Options::default()).await;
}

#[test]
fn an_endpoint_is_displayed_as_it_was_parsed() {
    for text in [
        "ws://localhost:12004",
        "wss://example.org:443/",
        "ws://[::1]:12004/services/tce",
        "wss://10.0.0.1:1/a?compress=1",
    ] {
        let endpoint: Endpoint = text.parse().unwrap();
        assert_eq!(endpoint.to_string(), text);
    }
    let endpoint: Endpoint = "ws://[::1]:12004/a/b".parse().unwrap();
    assert_eq!((endpoint.host.as_str(), endpoint.port), ("::1", 12004));
    assert_eq!(endpoint.path, "/a/b");
}

#[test]
fn a_malformed_endpoint_is_refused_with_the_reason() {
    for (text, why) in [
        ("http://localhost:1", "not one of tcp, ssl, ws, wss and mq"),
        ("tcp://localhost:1/path", "only ws and wss may have"),
        ("ws://localhost/path:1", "no port"),
    ] {
        let error = text.parse::<Endpoint>().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(error.contains("wss://example.org:12005/path"), "{error}");
    }
}
