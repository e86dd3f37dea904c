use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{Direction, FaultProxy};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(10);
/// Long enough to believe that nothing arrives.
const SILENCE: Duration = Duration::from_millis(200);

/// A proxy before a server that sends back what it receives.
fn echo() -> FaultProxy {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("no port is free");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepts");
            thread::spawn(move || {
                let mut reader = stream.try_clone().expect("clones");
                io::copy(&mut reader, &mut stream)
            });
        }
    });
    FaultProxy::start(format!("127.0.0.1:{port}"))
}

fn connect(proxy: &FaultProxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).expect("connects");
    stream.set_read_timeout(Some(LIMIT)).expect("sets");
    stream
}

fn exchange(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    assert_eq!(back, bytes);
    Ok(())
}

#[test]
fn bytes_pass_in_order_late_and_in_pieces() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
    exchange(&mut stream, &bytes).expect("passes");
    proxy.set_piece(Some(1));
    exchange(&mut stream, &bytes[..2000]).expect("passes in pieces");
    proxy.set_delay(Duration::from_millis(50));
    let start = Instant::now();
    exchange(&mut stream, b"late").expect("passes late");
    assert!(start.elapsed() >= Duration::from_millis(100));
    assert_eq!(proxy.passed(Direction::ToClient), 102_004);
    assert_eq!(proxy.accepted(), 1);
}

#[test]
fn the_end_of_a_connection_passes() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, b"first").expect("passes");
    stream.shutdown(std::net::Shutdown::Write).expect("ends");
    assert_eq!(stream.read(&mut [0; 8]).expect("ends in order"), 0);
}

#[test]
fn a_cut_resets_connections_and_new_ones_pass() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, b"before").expect("passes");
    proxy.cut();
    let error = stream.read(&mut [0; 8]).expect_err("is reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    exchange(&mut connect(&proxy), b"after").expect("passes");
}

#[test]
fn a_cut_happens_at_the_byte() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, b"before").expect("passes");
    proxy.cut_after(Direction::ToServer, 10);
    stream.write_all(&[7; 100]).expect("is taken");
    let mut back = Vec::new();
    let error = stream.read_to_end(&mut back).expect_err("is reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(proxy.passed(Direction::ToServer), 16);
    exchange(&mut connect(&proxy), &[7; 100]).expect("passes");
}

#[test]
fn a_frozen_direction_passes_nothing_and_loses_nothing() {
    let proxy = echo();
    let mut stream = connect(&proxy);
    exchange(&mut stream, b"before").expect("passes");
    proxy.freeze(Direction::ToClient);
    stream.write_all(b"during").expect("is taken");
    stream.set_read_timeout(Some(SILENCE)).expect("sets");
    stream.read(&mut [0; 8]).expect_err("is silent");
    proxy.thaw();
    stream.set_read_timeout(Some(LIMIT)).expect("sets");
    let mut back = [0; 6];
    stream.read_exact(&mut back).expect("passes again");
    assert_eq!(&back, b"during");
}

#[test]
fn a_refused_connection_ends_at_once() {
    let proxy = echo();
    proxy.set_refusing(true);
    let mut stream = connect(&proxy);
    // Closed in order or reset, depending on when it is read.
    assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
    proxy.set_refusing(false);
    exchange(&mut connect(&proxy), b"after").expect("passes");
    assert_eq!(proxy.accepted(), 2);
}
