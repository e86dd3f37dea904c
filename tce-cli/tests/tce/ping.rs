//! `tce ping`.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use tce_runtime::{Adapter, Communicator};
use tokio::net::TcpSocket;

use super::{Ran, command, ran, tce};

/// What a ping may take at most, whatever the other side does.
const LIMIT: Duration = Duration::from_secs(6);

fn ping(port: u16) -> Ran {
    let start = Instant::now();
    let ran = tce(&["ping", "--host", "127.0.0.1", "--port", &port.to_string()]);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    ran
}

/// A server that hands each connection to `serve`, on a free port.
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

/// A port on which nobody listens, nor can while the socket is there.
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
fn assert_success(ran: Ran, address: &str) {
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
async fn a_server_that_is_there_answers() {
    let (_adapter, port) = adapter().await;
    assert_success(ping(port), &format!("127.0.0.1:{port}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_say_where_and_flags_count_more() {
    let (_adapter, port) = adapter().await;
    let address = format!("127.0.0.1:{port}");
    let port = port.to_string();
    let variables = [("TCE_HOST", "127.0.0.1"), ("TCE_PORT", port.as_str())];
    assert_success(ran(command().arg("ping").envs(variables)), &address);

    let wrong = [("TCE_HOST", "host.invalid"), ("TCE_PORT", "x")];
    let flags = ["ping", "--host", "127.0.0.1", "--port", &port];
    assert_success(ran(command().args(flags).envs(wrong)), &address);
}

#[test]
fn nothing_that_listens_is_said_so() {
    let (_socket, port) = closed_port();
    ping(port)
        .exits(1)
        .complains(&format!("ping server (127.0.0.1:{port}) failed: "))
        .complains("nothing listens there")
        .complains("Try this: start the server");
    tce(&["ping", "--host", "::1", "--port", &port.to_string()])
        .exits(1)
        .complains(&format!("ping server ([::1]:{port}) failed: "));
}

#[test]
fn a_host_that_nobody_knows_is_said_so() {
    // No name has a part of more than 63 letters: nobody has to be asked.
    let host = "a".repeat(64);
    tce(&["ping", "--host", &host]).exits(1).complains(&format!(
        "ping server ({host}:12002) failed: the host is unknown"
    ));
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    ping(listener.local_addr().unwrap().port())
        .exits(1)
        .complains("something listens there, but does not answer");
}

#[test]
fn a_server_that_speaks_http_is_recognised() {
    let port = server(|mut socket| {
        let mut request = [0; 16];
        let _ = socket.read(&mut request);
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        // Open until the client closes it.
        let _ = socket.read_to_end(&mut Vec::new());
    });
    ping(port)
        .exits(1)
        .complains("something listens there, but does not speak TCE");
}

#[test]
fn a_server_that_hangs_up_is_recognised() {
    ping(server(drop))
        .exits(1)
        .complains("something listens there, but does not speak TCE");
}

#[test]
fn an_existing_tce_server_is_there_but_none_of_ours() {
    let port = server(|mut socket| {
        let mut request = [0; 35];
        socket.read_exact(&mut request).unwrap();
        socket
            .write_all(&interface_not_found(&request[15..19]))
            .unwrap();
    });
    ping(port)
        .exits(1)
        .complains("a TCE server is there, but none of ours")
        .complains("INTERFACE_NOTFOUND");
}

/// The frame that the existing implementations answer an unknown interface with.
fn interface_not_found(sequence: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xef, 0xd2, 0xbb, 0x99, 0, 0, 0, 31, 0, 0, 1, 0, 0, 0];
    frame.push(1);
    frame.extend_from_slice(sequence);
    // RETURN, ifidx 0, opidx 0, errcode 4, no parameters, call_id 0, no extra.
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    frame
}

#[test]
fn wrong_use_says_what_is_right() {
    ran(command().arg("ping").env("TCE_PORT", "http"))
        .exits(2)
        .complains("'http'")
        .complains("--port and TCE_PORT take a number from 1 to 65535");
    for port in ["0", "65536", "-1", ""] {
        let flag = format!("--port={port}");
        tce(&["ping", &flag]).exits(2).complains("--port");
    }
    for host in ["", "localhost:12002", "tcp://localhost"] {
        let flag = format!("--host={host}");
        tce(&["ping", &flag]).exits(2).complains("--host");
    }
}
