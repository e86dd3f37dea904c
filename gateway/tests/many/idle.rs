//! Ten thousand connections that have called once and are idle.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tce_runtime::{Communicator, Proxy, RpcError, config::Options};

use crate::gateway::{ECHO, Gateway, allow_files};

const CONNECTIONS: usize = 10_000;
/// Connections before the measurement, which allocate what all connections
/// share.
const BEFORE: usize = 200;
/// The maximum memory of the gateway per connection over a TCP socket, in bytes.
const TCP_LIMIT: usize = 4 << 10;
/// The same over WebSocket.
const WEBSOCKET_LIMIT: usize = 8 << 10;
/// Longer than the gateway keeps memory that is not in use.
const QUIET: Duration = Duration::from_secs(4);

/// One after the other: both at once are more open files than some systems
/// allow.
#[tokio::test]
async fn an_idle_connection_costs_little() {
    allow_files(CONNECTIONS as u64 + 500);
    assert_costs_little("socket", "tcp", TCP_LIMIT).await;
    assert_costs_little("websocket", "ws", WEBSOCKET_LIMIT).await;
}

async fn assert_costs_little(kind: &str, scheme: &str, limit: usize) {
    let gateway = Gateway::start(kind, scheme, &Options::default()).await;
    let communicator = Communicator::new();
    let connect = async |count: usize| {
        let calls = (0..count).map(|_| connect_and_call(&communicator, &gateway.endpoint));
        let clients = stream::iter(calls).buffer_unordered(64);
        let clients: Result<Vec<Proxy>, RpcError> = clients.try_collect().await;
        clients.expect("each client is let in and answered")
    };
    let first = connect(BEFORE).await;
    tokio::time::sleep(QUIET).await;
    let before = gateway.resident();
    let clients = connect(CONNECTIONS - BEFORE).await;
    tokio::time::sleep(QUIET).await;
    let each = (gateway.resident() - before) / clients.len();

    println!("{kind}: {each} bytes of memory for an idle connection");
    assert!(each < limit, "{kind}: {each} bytes for an idle connection");
    let all = first.iter().chain(&clients);
    let last = all.last().expect("there are some");
    let answer: String = last
        .call(&ECHO, ("hello",))
        .await
        .expect("it is still served");
    assert_eq!(answer, "hello");
}

async fn connect_and_call(communicator: &Communicator, endpoint: &str) -> Result<Proxy, RpcError> {
    let client = Proxy::connect(communicator, endpoint).await?;
    let answer: String = client.call(&ECHO, ("hello",)).await?;
    assert_eq!(answer, "hello");
    Ok(client)
}
