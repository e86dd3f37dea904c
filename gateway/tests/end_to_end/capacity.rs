//! More calls than an upstream has capacity for.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tce_runtime::{ErrorCode, config::Options};
use tokio::net::TcpListener;

use crate::common::{
    client::Client,
    house::House,
    plan::{Front, Plan},
    watching::within,
};

/// An upstream has capacity for only a few calls of this size.
const LARGE: usize = 64 << 10;

async fn calls_at_once(client: impl Future<Output = Client>, number: usize) {
    let server = client.await.server;
    let calls = (0..32).map(|call| {
        let server = &server;
        async move {
            let text = format!("{number}-{call} {}", "x".repeat(LARGE));
            let answer = server.echo(&text).await.unwrap();
            assert_eq!(answer, format!("Yah! {text}"));
        }
    });
    join_all(calls).await;
}

/// The gateway reads clients more slowly, and no call fails.
async fn calls_wait_for_capacity(plan: Plan) {
    let house = House::start(plan).await;
    let clients = (0..12).map(|number| {
        let front = [Front::Socket, Front::WebSocket][number % 2];
        calls_at_once(house.client(front), number)
    });
    within(join_all(clients)).await;
    let totals = house.snapshot().totals;
    assert_eq!((totals.calls, totals.refused), (12 * 32, 0));
    house.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_for_capacity_at_a_server() {
    calls_wait_for_capacity(Plan::direct()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_for_capacity_in_memory() {
    calls_wait_for_capacity(Plan::memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_wait_for_capacity_by_queue() {
    calls_wait_for_capacity(Plan::rabbitmq()).await;
}

/// Calls do not wait for a server that does not read: those that were sent to it
/// time out, and later ones fail at once.
#[tokio::test]
async fn calls_do_not_wait_for_a_server_that_reads_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plan = Plan::direct().property("call_time", "2");
    let house = House::before(plan, &[port], |gateway| gateway).await;
    let (_server, _) = within(listener.accept()).await.unwrap();
    house.is_ready().await;
    let client = house.client_with(Front::Socket, Options::default()).await;
    let began = Instant::now();
    let text = "x".repeat(1 << 20);
    let calls = (0..32).map(|_| client.server.echo(&text));
    let mut codes = Vec::new();
    for called in within(join_all(calls)).await {
        codes.push(called.unwrap_err().code());
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    codes.sort_by_key(|code| code.to_wire());
    codes.dedup();
    assert_eq!(codes, [ErrorCode::SendFailed, ErrorCode::Timeout]);
    drop((client, listener));
    for gateway in &house.gateways {
        gateway.shutdown().await;
    }
}
