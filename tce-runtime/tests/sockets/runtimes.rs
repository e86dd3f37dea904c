//! Proxies that outlive the runtime in which they were made.

use std::time::{Duration, Instant};

use tce_runtime::{
    Communicator, ErrorCode, MemoryBroker, Pending, Proxy,
    config::{MqConfig, Options},
};
use tokio::runtime::Runtime;

use crate::common::probe::{ECHO, NOTE, SLEEP, connect, serve, serve_at};

/// A call on a connection whose runtime has ended fails at once, whatever its
/// timeout.
#[test]
fn a_call_on_a_connection_of_an_ended_runtime_fails_at_once() {
    let servers = Runtime::new().unwrap();
    for scheme in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0/"] {
        let server = servers.block_on(serve_at(scheme, Options::default()));
        let first = Runtime::new().unwrap();
        let proxy = first.block_on(connect(&Communicator::new(), server.endpoint()));
        first.block_on(async {
            let answer: String = proxy.call(&ECHO, ("1",)).await.unwrap();
            assert_eq!(answer, "1");
        });
        let in_flight: Pending<()> = {
            let _context = first.enter();
            proxy.call(&SLEEP, (10_000,))
        };
        drop(first);
        let start = Instant::now();
        let patient = proxy.with_timeout(Duration::MAX);
        Runtime::new().unwrap().block_on(async {
            let error = in_flight.await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ConnectionLost);
            let error = patient.call::<_, String>(&ECHO, ("2",)).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ConnectionLost);
            assert!(error.text().contains("runtime"), "{error}");
            let error = patient.oneway(&NOTE, (3,)).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::ConnectionLost);
        });
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

/// The same over a message queue.
#[test]
fn a_call_by_a_queue_of_an_ended_runtime_fails_at_once() {
    let text = "
common_defs:
  endpoints:
    - {name: calls, host: localhost, port: 1, address: 'calls;{create:always,node:{type:queue}}', type: qpid}
client:
  endpoints:
    - {name: calls, af_mode: AF_WRITE}
";
    let first = Runtime::new().unwrap();
    let (proxy, in_flight) = first.block_on(async {
        let communicator = Communicator::new();
        let config = MqConfig::parse(text, "config.yml", "client").unwrap();
        communicator
            .open_mq_in_memory(config, &MemoryBroker::default())
            .await
            .unwrap();
        let connection = communicator.connect("mq:calls").await.unwrap();
        let proxy = Proxy::new(&connection).with_timeout(Duration::MAX);
        let in_flight: Pending<String> = proxy.call(&ECHO, ("1",));
        (proxy, in_flight)
    });
    drop(first);
    let start = Instant::now();
    Runtime::new().unwrap().block_on(async {
        let error = in_flight.await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectionLost);
        let error = proxy.call::<_, String>(&ECHO, ("2",)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectionLost);
    });
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// A server whose runtime ends closes its connections; its client reconnects to
/// the next one.
#[test]
fn an_adapter_ends_with_its_runtime() {
    let clients = Runtime::new().unwrap();
    let servers = Runtime::new().unwrap();
    let server = servers.block_on(serve(Options::default()));
    let proxy = clients.block_on(connect(&Communicator::new(), server.endpoint()));
    let endpoint = server.endpoint().to_string();
    drop(servers);
    drop(server);
    let servers = Runtime::new().unwrap();
    let _server = servers.block_on(serve_at(&endpoint, Options::default()));
    clients.block_on(async {
        // A call that leaves before the end of the connection is seen is lost.
        let answer: Result<String, _> = proxy.call(&ECHO, ("again",)).await;
        if let Err(error) = answer {
            assert_eq!(error.code(), ErrorCode::ConnectionLost);
            let answer: String = proxy.call(&ECHO, ("again",)).await.unwrap();
            assert_eq!(answer, "again");
        }
    });
}
