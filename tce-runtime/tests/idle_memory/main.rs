//! What an idle connection keeps of the large messages that it has carried. Counts the
//! allocations of this process, in which a server and its clients run on one thread.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "websocket")]
use common::raw::Message;
use common::{
    probe::{BLOB, ECHO, GROW, connect, serve_at},
    watching::{eventually, within},
};
use tce_runtime::{
    Communicator, Proxy,
    config::{MemoryBudget, Options},
};
#[cfg(feature = "websocket")]
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

const CONNECTIONS: usize = 16;
/// What both ends of a connection may hold more than before, in bytes.
const LIMIT: usize = 256;
/// In bytes: a message that is larger than all buffers, and one that is smaller than
/// those which are not counted.
const SIZES: [usize; 2] = [1 << 20, 60_000];

/// The direction of the large messages.
#[derive(Debug, Clone, Copy)]
enum Direction {
    ToServer,
    ToClient,
    Both,
}

impl Direction {
    async fn call(self, proxy: &Proxy, size: usize) {
        match self {
            Self::ToServer => {
                within(proxy.oneway(&BLOB, (vec![7_u8; size],)))
                    .await
                    .unwrap();
                echo(proxy).await;
            }
            Self::ToClient => {
                let size = i32::try_from(size).unwrap();
                let _: Vec<u8> = within(proxy.call(&GROW, (size,))).await.unwrap();
            }
            Self::Both => {
                let _: Vec<u8> = within(proxy.call(&BLOB, (vec![7_u8; size],)))
                    .await
                    .unwrap();
            }
        }
    }
}

async fn echo(proxy: &Proxy) {
    let text: String = within(proxy.call(&ECHO, ("small",))).await.unwrap();
    assert_eq!(text, "small");
}

async fn assert_frees(endpoint: &str, direction: Direction) {
    let memory = MemoryBudget::default();
    let options = Options {
        memory: memory.clone(),
        ..Options::default()
    };
    let server = serve_at(endpoint, options).await;
    let communicator = Communicator::new();
    let mut proxies = Vec::new();
    for _ in 0..CONNECTIONS {
        let proxy = connect(&communicator, server.endpoint()).await;
        echo(&proxy).await;
        proxies.push(proxy);
    }
    // What the thread keeps for all connections.
    for size in SIZES {
        direction.call(&proxies[0], size).await;
    }
    eventually("the first connection is idle", || memory.used() == 0).await;

    let before = MEMORY.current_usage();
    for (proxy, size) in proxies[1..].iter().zip(SIZES.into_iter().cycle()) {
        direction.call(proxy, size).await;
    }
    let what = format!("{endpoint}, {direction:?}: memory is freed");
    let allowed = before + CONNECTIONS * LIMIT;
    eventually(&what, || MEMORY.current_usage() < allowed).await;
    eventually("nothing is counted", || memory.used() == 0).await;
    for proxy in &proxies {
        echo(proxy).await;
        direction.call(proxy, SIZES[0]).await;
    }
}

/// A peer that sends a large message as one frame: `tce` sends several.
#[cfg(feature = "websocket")]
async fn assert_frees_what_one_frame_takes() {
    let memory = MemoryBudget::default();
    let options = Options {
        memory: memory.clone(),
        ..Options::default()
    };
    let server = serve_at("ws://127.0.0.1:0", options).await;
    let endpoint = server.endpoint();
    let address = (endpoint.host.as_str(), endpoint.port);
    let socket = within(TcpStream::connect(address)).await.unwrap();
    let handshake = tokio_tungstenite::client_async(endpoint.to_string(), socket);
    let (socket, _) = within(handshake).await.unwrap();
    // The library at this side would hold as much as the one at the other.
    let mut socket = socket.into_inner();
    let mut before = 0;
    for (sequence, size) in [(1, 1), (2, SIZES[0]), (3, SIZES[0])] {
        // The servant has no such operation: the answer is short.
        let call = Message::call(sequence, 99, vec![7; size]).frame();
        within(socket.write_all(&masked(&call))).await.unwrap();
        let mut answer = [0; 1 << 10];
        assert!(within(socket.read(&mut answer)).await.unwrap() > 0);
        drop(call);
        if sequence == 1 {
            before = MEMORY.current_usage();
        }
    }
    assert!(memory.used() >= SIZES[0], "{} bytes", memory.used());
    eventually("memory is freed", || {
        MEMORY.current_usage() < before + LIMIT
    })
    .await;
    assert_eq!(memory.used(), 0);
}

/// A binary message of one frame, with a mask that changes nothing.
#[cfg(feature = "websocket")]
fn masked(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x82, 0xFF];
    bytes.extend((payload.len() as u64).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// One test, since each would count what the others allocate.
#[tokio::test]
async fn an_idle_connection_keeps_no_large_buffer() {
    let directions = [Direction::ToServer, Direction::ToClient, Direction::Both];
    for direction in directions {
        assert_frees("tcp://127.0.0.1:0", direction).await;
    }
    #[cfg(feature = "websocket")]
    {
        for direction in directions {
            assert_frees("ws://127.0.0.1:0", direction).await;
        }
        assert_frees_what_one_frame_takes().await;
    }
}
