//! Peers of one adapter: what one of them does costs the others little.

use std::time::{Duration, Instant};

use tce_runtime::config::{ConnectionLimits, MemoryBudget, Options};
use tokio::{net::TcpStream, time::sleep};

use crate::common::{
    probe::{BLOB, GATE, SLEEP, Server, serve, serve_at, works},
    raw::{Message, Raw, int},
    watching::{eventually, soon, within},
};

const MIB: usize = 1 << 20;

fn with_memory(bytes: usize) -> (Options, MemoryBudget) {
    let memory = MemoryBudget::new(bytes);
    let options = Options {
        memory: memory.clone(),
        ..Options::default()
    };
    (options, memory)
}

/// A call that a servant holds until the gate opens, with parameters of this size.
fn held_call(number: u32, size: usize) -> Vec<u8> {
    Message::call(number, GATE.opidx(), vec![0; size]).frame()
}

async fn send_held_calls(server: &Server, count: u32, size: usize) -> Raw {
    let mut client = Raw::connect(server.endpoint()).await;
    let calls: Vec<_> = (0..count).map(|number| held_call(number, size)).collect();
    let calls = calls.concat();
    // The server does not read all of them while the gate is closed.
    let _ = tokio::time::timeout(
        Duration::from_millis(500),
        tokio::io::AsyncWriteExt::write_all(&mut client.0, &calls),
    )
    .await;
    client
}

#[tokio::test]
async fn slow_calls_of_one_client_do_not_delay_another_one() {
    let server = serve(Options::default()).await;
    let _attacker = send_held_calls(&server, 5000, 0).await;
    server.probe.gate_reached(2048).await;
    let bystander = server.proxy().await;
    for _ in 0..100 {
        soon(bystander.call::<_, ()>(&SLEEP, (0,))).await.unwrap();
    }
    assert_eq!(*server.probe.at_gate.borrow(), 2048);
}

/// The parameters of calls that are being served count for the memory budget.
#[tokio::test]
async fn large_calls_are_served_within_the_memory_budget() {
    let (options, memory) = with_memory(64 * MIB);
    let server = serve(options).await;
    let size = MIB;
    let mut client = send_held_calls(&server, 16, size).await;
    server.probe.gate_reached(4).await;
    sleep(Duration::from_millis(100)).await;
    let served = *server.probe.at_gate.borrow();
    assert!(served <= 8, "{served} calls of 1 MiB are served at once");
    assert!(memory.used() <= 16 * MIB, "{}", memory.used());
    let bystander = server.proxy().await;
    works(&bystander).await;
    server.probe.gate.add_permits(1000);
    for _ in 0..served {
        client.message().await;
    }
    drop(client);
    eventually("the memory is free again", || memory.used() == 0).await;
}

#[tokio::test]
async fn a_message_past_the_memory_budget_ends_its_connection() {
    let (options, memory) = with_memory(16 * MIB);
    let server = serve(options).await;
    let bystander = server.proxy().await;
    works(&bystander).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Raw::connect(server.endpoint()).await;
        let call = held_call(1, 3 * MIB);
        let half = &call[..call.len() - 1];
        let _ = within(tokio::io::AsyncWriteExt::write_all(&mut client.0, half)).await;
        client.closed().await;
        clients.push(client);
    }
    assert!(memory.used() < 4 * MIB);
    let data = vec![7_u8; MIB];
    let answer: Vec<u8> = soon(bystander.call(&BLOB, (&data,))).await.unwrap();
    assert!(answer == data);
    drop(clients);
    // Buffers are kept for a second.
    eventually("the memory is free again", || memory.used() == 0).await;
}

/// Connections in their handshake give way to newer ones when the adapter has as
/// many as are allowed.
#[tokio::test]
async fn handshakes_that_do_not_end_keep_no_other_out() {
    let options = Options {
        connection: ConnectionLimits {
            connections: 3,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let server = serve_at("ws://127.0.0.1:0/", options).await;
    let first = server.proxy().await;
    works(&first).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        let endpoint = server.endpoint();
        let socket = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
        silent.push(soon(socket).await.unwrap());
    }
    let start = Instant::now();
    let second = server.proxy().await;
    works(&second).await;
    works(&first).await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert_eq!(server.adapter.connections(), 3);
}

/// A peer that sends without a pause is served in turn with others.
#[tokio::test]
async fn a_flood_of_calls_does_not_delay_another_client() {
    let server = serve(Options::default()).await;
    let endpoint = server.endpoint().clone();
    let note = Message {
        calltype: 0x21,
        ..Message::call(1, 5, int(7))
    };
    let flood = note.frame().repeat(5000);
    let attacker = tokio::spawn(async move {
        let mut client = Raw::connect(&endpoint).await;
        loop {
            client.send(&flood).await;
        }
    });
    server.probe.notes_reached(20_000).await;
    let bystander = server.proxy().await;
    for _ in 0..10 {
        within(bystander.call::<_, ()>(&SLEEP, (0,))).await.unwrap();
    }
    attacker.abort();
}
