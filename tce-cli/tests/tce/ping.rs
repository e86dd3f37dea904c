//! `tce ping`.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use tce_runtime::{
    Adapter, Communicator,
    config::{Options, TlsConfig},
};
use tokio::net::TcpSocket;

use super::{CommandOutput, command, folder, ran, tce};

/// Upper bound of the time that `tce ping` takes.
const LIMIT: Duration = Duration::from_secs(6);

fn ping(port: u16) -> CommandOutput {
    let start = Instant::now();
    let ran = tce(&["ping", "--host", "127.0.0.1", "--port", &port.to_string()]);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    ran
}

/// A server on a free port that calls `serve` with each connection.
fn server(serve: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for socket in listener.incoming() {
            serve(socket.unwrap());
        }
    });
    port
}

/// A port that stays unused as long as the socket exists.
fn closed_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

async fn adapter() -> (Adapter, u16) {
    let adapter = Adapter::listen(&Communicator::new(), "tcp://127.0.0.1:0")
        .await
        .unwrap();
    adapter.start();
    let port = adapter.endpoint().port;
    (adapter, port)
}

/// Asserts `ping server (ADDRESS) succeeded in 3.292513ms`.
#[track_caller]
fn assert_success(ran: CommandOutput, address: &str) {
    let ran = ran.exits(0);
    let start = format!("ping server ({address}) succeeded in ");
    let time = ran.out.strip_prefix(&start).and_then(|rest| {
        let number = rest.strip_suffix("s\n")?;
        Some(number.trim_end_matches(['n', 'µ', 'm']))
    });
    let time = time.unwrap_or_else(|| panic!("{ran:?}"));
    assert!(time.parse::<f64>().is_ok_and(|time| time > 0.0), "{ran:?}");
    assert_eq!(ran.err, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_answers() {
    let (_adapter, port) = adapter().await;
    assert_success(ping(port), &format!("127.0.0.1:{port}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_set_the_address_and_options_take_precedence() {
    let (_adapter, port) = adapter().await;
    let address = format!("127.0.0.1:{port}");
    let port = port.to_string();
    let variables = [("TCE_HOST", "127.0.0.1"), ("TCE_PORT", port.as_str())];
    assert_success(ran(command().arg("ping").envs(variables)), &address);

    let wrong = [("TCE_HOST", "host.invalid"), ("TCE_PORT", "x")];
    let flags = ["ping", "--host", "127.0.0.1", "--port", &port];
    assert_success(ran(command().args(flags).envs(wrong)), &address);
}

/// What Kubernetes sets in each container beside a service called `tce`, and Docker for a link.
const OF_A_PLATFORM: [(&str, &str); 8] = [
    ("TCE_PORT", "tcp://10.96.0.12:12002"),
    ("TCE_PORT_12002_TCP", "tcp://10.96.0.12:12002"),
    ("TCE_PORT_12002_TCP_ADDR", "10.96.0.12"),
    ("TCE_PORT_12002_TCP_PORT", "12002"),
    ("TCE_PORT_12002_TCP_PROTO", "tcp"),
    ("TCE_SERVICE_HOST", "10.96.0.12"),
    ("TCE_SERVICE_PORT", "12002"),
    ("TCE_NAME", "/app/tce"),
];

#[test]
fn variables_of_a_platform_are_ignored() {
    // Nothing listens there: what counts is the address.
    let mut command = command();
    let ping = command.args(["ping", "--host", "127.0.0.2"]);
    ran(ping.envs(OF_A_PLATFORM))
        .exits(1)
        .complains("warning: TCE_PORT=tcp://10.96.0.12:12002 is ignored")
        .complains("ping server (127.0.0.2:12002) failed");
    ran(ping.envs([("TCE_PORT", ""), ("TCE_HOST", "")]))
        .exits(1)
        .complains("ping server (127.0.0.2:12002) failed");
    let host = [("TCE_HOST", "tcp://10.96.0.12"), ("TCE_PORT", "1")];
    ran(super::command().arg("ping").envs(host))
        .exits(1)
        .complains("ping server (localhost:1) failed");
}

#[test]
fn a_closed_port_is_reported() {
    let (_socket, port) = closed_port();
    ping(port)
        .exits(1)
        .complains(&format!("ping server (127.0.0.1:{port}) failed: "))
        .complains("nothing listens on this port")
        .complains("Try this: start the server");
    for host in ["::1", "[::1]"] {
        tce(&["ping", "--host", host, "--port", &port.to_string()])
            .exits(1)
            .complains(&format!("ping server ([::1]:{port}) failed: "));
    }
}

#[test]
fn an_unknown_host_is_reported() {
    // Longer than the 63 letters that a label may have: fails without a lookup.
    let host = "a".repeat(64);
    tce(&["ping", "--host", &host]).exits(1).complains(&format!(
        "ping server ({host}:12002) failed: the host is unknown"
    ));
}

#[test]
fn a_silent_server_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    ping(listener.local_addr().unwrap().port())
        .exits(1)
        .complains("the peer accepts the connection but does not answer")
        .complains("an older TCE program answers no ping")
        .complains("OPERATION --idl FILE");
}

#[test]
fn an_http_server_is_recognised() {
    let port = server(|mut socket| {
        let mut request = [0; 16];
        let _ = socket.read(&mut request);
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        // Stays open until the client closes the connection.
        let _ = socket.read_to_end(&mut Vec::new());
    });
    ping(port).exits(1).complains("the peer does not speak TCE");
}

#[test]
fn a_server_that_closes_the_connection_is_recognised() {
    ping(server(drop))
        .exits(1)
        .complains("the peer does not speak TCE");
}

#[test]
fn a_server_of_another_implementation_is_recognised() {
    let port = server(|mut socket| {
        let mut request = [0; 35];
        socket.read_exact(&mut request).unwrap();
        socket
            .write_all(&interface_not_found(&request[15..19]))
            .unwrap();
    });
    ping(port)
        .exits(1)
        .complains("the server speaks TCE but does not use tce-runtime")
        .complains("INTERFACE_NOTFOUND");
}

/// The answer of other TCE implementations to a call of an unknown interface.
fn interface_not_found(sequence: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xef, 0xd2, 0xbb, 0x99, 0, 0, 0, 31, 0, 0, 1, 0, 0, 0];
    frame.push(1);
    frame.extend_from_slice(sequence);
    // RETURN, ifidx 0, opidx 0, errcode 4, no parameters, call_id 0, no extra.
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    frame
}

#[test]
fn wrong_options_are_usage_errors() {
    ran(command().arg("ping").env("TCE_PORT", "http"))
        .exits(2)
        .complains("TCE_PORT='http'")
        .complains("expected a port from 1 to 65535");
    for port in ["0", "65536", "-1", ""] {
        let flag = format!("--port={port}");
        tce(&["ping", &flag]).exits(2).complains("--port");
    }
    for host in [
        "",
        "localhost:12002",
        "tcp://localhost",
        "010.0.0.1",
        "::1:x",
    ] {
        let flag = format!("--host={host}");
        tce(&["ping", &flag]).exits(2).complains("--host");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_any_transport_answers() {
    let folder = folder(&[]);
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ca = write("server.pem", made.cert.pem());
    let key = write("server.key", made.signing_key.serialize_pem());
    let communicator = Communicator::with_options(Options {
        tls: TlsConfig {
            certificate: Some(ca.clone().into()),
            key: Some(key.into()),
            ..TlsConfig::default()
        },
        ..Options::default()
    });
    for scheme in ["tcp", "ssl", "ws", "wss"] {
        let endpoint = format!("{scheme}://127.0.0.1:0");
        let adapter = Adapter::listen(&communicator, &endpoint).await.unwrap();
        adapter.start();
        let endpoint = adapter.endpoint().to_string();
        let ran = tokio::task::spawn_blocking({
            let (endpoint, ca) = (endpoint.clone(), ca.clone());
            move || tce(&["ping", &endpoint, "--ca", &ca])
        });
        assert_success(ran.await.unwrap(), &endpoint);
    }
    tce(&["ping", "mq:queue"]).exits(2).complains("--mq-config");
    tce(&["ping", "tcp//localhost"]).exits(2);
    tce(&["ping", "tcp://localhost:1", "--port", "1"]).exits(2);
}
