//! Servers whose connections are served by several threads.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, mpsc},
    thread::{self, ThreadId},
    time::Duration,
};

use tce_runtime::{
    Adapter, Communicator, ErrorCode, IncomingCall, Proxy, Servant, WorkerPool,
    config::{ConnectionLimits, Options, TlsConfig},
    wire::Operation,
};

use tokio::time::timeout;

use crate::common::{
    probe::{ECHO, GATE, NOTE, PANIC_LATER, PANIC_NOW, Probe, State, connect, works},
    raw::{Message, Raw, string},
    watching::{eventually, soon, within},
};

const THREADS: usize = 2;
/// Each client's calls in the tests of order.
const CALLS: i32 = 500;

/// A server on `threads` threads.
struct Server {
    communicator: Communicator,
    adapter: Adapter,
    probe: Arc<State>,
    pool: WorkerPool,
}

async fn serve_at(endpoint: &str, threads: usize, options: Options) -> Server {
    let communicator = Communicator::with_options(options);
    let adapter = Adapter::listen(&communicator, endpoint).await.unwrap();
    let pool = WorkerPool::start(threads).unwrap();
    let probe = Probe::default();
    adapter.add_servant(probe.clone()).serve_on(&pool).start();
    Server {
        communicator,
        adapter,
        probe: probe.0,
        pool,
    }
}

async fn serve() -> Server {
    serve_at("tcp://127.0.0.1:0", THREADS, Options::default()).await
}

impl Server {
    async fn proxy(&self) -> Proxy {
        connect(&Communicator::new(), self.adapter.endpoint()).await
    }
}

/// `void record(int client, int number)`
static RECORD: Operation = Operation::new("workers::Recorder::record", 3, 0);

/// The numbers that each client has sent, and the threads that have received them.
type Records = Mutex<HashMap<i32, (Vec<ThreadId>, Vec<i32>)>>;

#[derive(Default, Clone)]
struct Recorder(Arc<Records>);

impl Servant for Recorder {
    fn interfaces(&self) -> &[u16] {
        &[3]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        call.run(
            &self.0,
            |records, (client, number): (i32, i32), ctx| async move {
                let mut records = records.lock().unwrap();
                let (threads, numbers) = records.entry(client).or_default();
                let thread = thread::current().id();
                if !threads.contains(&thread) {
                    threads.push(thread);
                }
                numbers.push(number);
                drop(records);
                (ctx, Ok(()))
            },
        );
    }
}

#[tokio::test]
async fn connections_are_spread_over_the_threads_and_each_keeps_its_order() {
    let server = serve().await;
    let recorder = Recorder::default();
    server.adapter.add_servant(recorder.clone());
    let mut clients = Vec::new();
    for client in 0..4 {
        let proxy = server.proxy().await;
        works(&proxy).await;
        clients.push((client, proxy));
    }
    for number in 0..CALLS {
        for (client, proxy) in &clients {
            soon(proxy.oneway(&RECORD, (*client, number)))
                .await
                .unwrap();
        }
    }
    for (client, proxy) in &clients {
        within(proxy.call::<_, ()>(&RECORD, (*client, CALLS)))
            .await
            .unwrap();
    }
    let records = recorder.0.lock().unwrap();
    let mut served: HashMap<ThreadId, usize> = HashMap::new();
    for (threads, numbers) in records.values() {
        assert_eq!(*numbers, (0..=CALLS).collect::<Vec<_>>());
        assert_eq!(threads.len(), 1, "a connection stays on its thread");
        *served.entry(threads[0]).or_default() += 1;
    }
    assert_eq!(served.into_values().collect::<Vec<_>>(), [2, 2]);
    assert!(
        !records
            .values()
            .any(|(threads, _)| threads[0] == thread::current().id())
    );
}

/// Handshakes run on the threads, too.
#[tokio::test]
async fn every_transport_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let options = Options {
        tls: TlsConfig {
            certificate: Some(certificate.clone()),
            key: Some(key),
            authority: Some(certificate),
        },
        ..Options::default()
    };
    for scheme in ["tcp", "ssl", "ws", "wss"] {
        let server = serve_at(&format!("{scheme}://127.0.0.1:0"), THREADS, options.clone()).await;
        let clients = Communicator::with_options(options.clone());
        let mut proxies = Vec::new();
        for _ in 0..3 {
            let proxy = connect(&clients, server.adapter.endpoint()).await;
            works(&proxy).await;
            proxies.push(proxy);
        }
        assert_eq!(server.adapter.connections(), 3);
        drop(proxies);
        eventually("they have gone", || server.adapter.connections() == 0).await;
    }
}

/// The limits of an adapter hold for all its threads together.
#[tokio::test]
async fn the_limit_of_connections_holds_for_all_threads() {
    let options = Options {
        connection: ConnectionLimits {
            connections: 3,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let server = serve_at("tcp://127.0.0.1:0", THREADS, options).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Raw::connect(server.adapter.endpoint()).await;
        let call = Message::call(1, ECHO.opidx(), string("x"));
        assert_eq!(client.call(&call).await.errcode, 0);
        clients.push(client);
    }
    let mut refused = Raw::connect(server.adapter.endpoint()).await;
    let call = Message::call(1, ECHO.opidx(), string("x"));
    let answer = refused.call(&call).await;
    assert_eq!(answer.errcode, ErrorCode::ConnectReject.to_wire());
    clients.pop();
    eventually("it has gone", || server.adapter.connections() < 3).await;
    works(&server.proxy().await).await;
}

#[tokio::test]
async fn a_shutdown_waits_for_the_calls_of_all_threads() {
    let server = serve().await;
    let (one, other) = (server.proxy().await, server.proxy().await);
    let calls = [&one, &other].map(|proxy| proxy.call::<_, ()>(&GATE, ()));
    server.probe.gate_reached(2).await;
    let communicator = server.communicator.clone();
    let ending = tokio::spawn(async move { communicator.shutdown(Duration::from_secs(60)).await });
    eventually("it refuses calls", || {
        !one.connection().is_connected() || !ending.is_finished()
    })
    .await;
    server.probe.gate.add_permits(2);
    for call in calls {
        within(call).await.unwrap();
    }
    assert!(within(ending).await.unwrap());
}

/// A shutdown ends what runs on the threads past its time.
#[tokio::test]
async fn a_shutdown_without_time_closes_the_connections_of_all_threads() {
    let server = serve().await;
    let (one, other) = (server.proxy().await, server.proxy().await);
    let calls = [&one, &other].map(|proxy| proxy.call::<_, ()>(&GATE, ()));
    server.probe.gate_reached(2).await;
    assert!(!within(server.communicator.shutdown(Duration::ZERO)).await);
    for call in calls {
        let error = soon(call).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectionLost);
    }
}

/// A servant that blocks its thread holds up neither the shutdown nor the clients of
/// other threads.
#[tokio::test]
async fn a_thread_that_is_blocked_is_found_and_left_behind() {
    let server = serve().await;
    let (one, other) = (server.proxy().await, server.proxy().await);
    works(&one).await;
    works(&other).await;
    let (release, released) = mpsc::sync_channel::<()>(1);
    let blocked = server.pool.runtimes().next().unwrap();
    blocked.spawn(async move { released.recv().unwrap_or_default() });
    let responded = server.pool.responded();
    assert!(
        timeout(Duration::from_millis(100), responded)
            .await
            .is_err()
    );
    let answers = [&one, &other].map(|proxy| proxy.call::<_, String>(&ECHO, ("x",)));
    let [first, second] = answers.map(|call| timeout(Duration::from_millis(500), call));
    let (first, second) = tokio::join!(first, second);
    assert!(first.is_ok() != second.is_ok(), "one thread serves on");
    assert!(!within(server.communicator.shutdown(Duration::ZERO)).await);
    release.send(()).unwrap();
}

#[tokio::test]
async fn a_panic_of_a_servant_costs_only_its_call() {
    let server = serve_at("tcp://127.0.0.1:0", 1, Options::default()).await;
    let (one, other) = (server.proxy().await, server.proxy().await);
    for operation in [&PANIC_NOW, &PANIC_LATER] {
        let error = within(one.call::<_, ()>(operation, ())).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::RemoteMethodException);
    }
    works(&one).await;
    works(&other).await;
}

/// One pool may serve several adapters, and a server's threads may poll.
#[tokio::test]
async fn adapters_share_a_pool_that_polls() {
    let server = serve().await;
    server.pool.busy_poll(Duration::from_micros(50));
    let second = Adapter::listen(&server.communicator, "tcp://127.0.0.1:0").await;
    let second = second.unwrap();
    let probe = Probe::default();
    second
        .add_servant(probe.clone())
        .serve_on(&server.pool)
        .start();
    let clients = Communicator::new();
    let (one, other) = (
        server.proxy().await,
        connect(&clients, second.endpoint()).await,
    );
    for number in 0..100 {
        within(one.call::<_, ()>(&NOTE, (number,))).await.unwrap();
        within(other.call::<_, ()>(&NOTE, (number,))).await.unwrap();
    }
    server.probe.notes_reached(100).await;
    probe.0.notes_reached(100).await;
}
