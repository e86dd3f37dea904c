//! The test server: calls within the process, recorded and disturbed.

use std::time::Duration;

use tce_runtime::{
    Communicator, ErrorCode, Fault, Pending, RpcError, TypedProxy,
    codegen::{DecodeError, Exception, Marshal, Reader, Unmarshal, Writer},
    config::Options,
    interceptor::{
        Answer, ClientCall, ClientInterceptor, ClientInterceptors, ClientNext, ServerCall,
        ServerInterceptor, ServerInterceptors, ServerNext,
    },
    testing::{Disturbance, TestServer},
};
use tce_tests::test::{ITerminalPrx, ITerminalServant, ServerPrx, ServerServant};
use tokio::{
    sync::mpsc::{self, Receiver},
    time::{Instant, timeout},
};

use super::calls::{ServerImpl, Terminal};

/// A server, its client, and what `heartbeat` receives.
async fn started() -> (TestServer, ServerPrx, Receiver<String>) {
    let (servant, received) = ServerImpl::new();
    let server = TestServer::new();
    server.add_servant(ServerServant::new(servant));
    let client = server.connect().await.unwrap();
    (server, client, received)
}

#[tokio::test(start_paused = true)]
async fn calls_reach_the_servant_and_those_of_the_servant_the_client() {
    let (server, client, mut received) = started().await;
    assert_eq!(client.echo("hello").await.unwrap(), "hello");
    assert_eq!(client.datetime().await.unwrap(), "now");
    client.ping().await.unwrap();
    client.heartbeat_oneway("oneway").await.unwrap();
    assert_eq!(received.recv().await.unwrap(), "oneway");

    let (sender, mut messages) = mpsc::channel(10);
    client
        .connection()
        .add_servant(ITerminalServant::new(Terminal(sender)));
    client.bidirection().await.unwrap();
    assert_eq!(messages.recv().await.unwrap(), "server push message!");
    assert_eq!(server.pushes().of(ITerminalPrx::ON_MESSAGE).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_are_recorded_with_their_extra_and_parameters() {
    let (server, client, _received) = started().await;
    let named = client.with_extra([("name", "scott")]);
    named.echo("hello").await.unwrap();
    client.heartbeat_oneway("oneway").await.unwrap();
    let calls = server.calls().wait_for(ServerPrx::HEARTBEAT, 1).await;
    assert_eq!(calls.len(), 1);
    assert!(calls[0].is_oneway());

    let all = server.calls().all();
    assert_eq!(all.len(), 2);
    assert!(all[0].is(ServerPrx::ECHO) && !all[0].is_oneway());
    assert_eq!(all[0].extra().get("name"), Some("scott"));
    assert_eq!(all[0].params::<(String,)>().unwrap().0, "hello");
    assert!(all[0].params::<(String, i64)>().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_range_fails_with_a_code() {
    let (server, client, _received) = started().await;
    let fault = Fault::new(ErrorCode::Other(1001), "sold out: 売り切れ");
    server
        .calls()
        .disturb(ServerPrx::ECHO, 2..=3, Disturbance::Answer(fault));
    let mut failed = Vec::new();
    for number in 1..=4 {
        client.datetime().await.unwrap();
        if let Err(error) = client.echo("hello").await {
            assert_eq!(error.code(), ErrorCode::Other(1001));
            assert_eq!(error.text(), "sold out: 売り切れ");
            failed.push(number);
        }
    }
    assert_eq!(failed, [2, 3]);
    let nothing = Fault::new(ErrorCode::RemoteException, "");
    server
        .calls()
        .disturb(ServerPrx::ECHO, .., Disturbance::Answer(nothing));
    client.echo("hello").await.unwrap_err();
    server.calls().undisturb();
    client.echo("hello").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_delayed_call_outlasts_a_timeout_without_real_time() {
    let (server, client, _received) = started().await;
    let start = (Instant::now(), std::time::Instant::now());
    server.calls().disturb(
        ServerPrx::ECHO,
        1..=2,
        Disturbance::Delay(Duration::from_secs(3600)),
    );
    let late = client.with_timeout(Duration::from_secs(7200)).echo("late");
    let error = client.echo("hello").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert_eq!(client.echo("third").await.unwrap(), "third");
    assert!(start.0.elapsed() >= Duration::from_secs(30));
    assert!(start.0.elapsed() < Duration::from_secs(31));
    assert_eq!(late.await.unwrap(), "late");
    assert!(start.0.elapsed() >= Duration::from_secs(3600));
    assert!(start.1.elapsed() < Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_slow_servant_is_as_slow_as_it_says() {
    let (_server, client, _received) = started().await;
    let start = Instant::now();
    client.timeout(20).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 20);
    assert_eq!(
        client.timeout(40).await.unwrap_err().code(),
        ErrorCode::Timeout
    );
    assert_eq!(start.elapsed().as_secs(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_lost_call_times_out_and_a_lost_oneway_call_is_not_noticed() {
    let (server, client, mut received) = started().await;
    server
        .calls()
        .disturb(ServerPrx::HEARTBEAT, 1..=2, Disturbance::Lose);
    let error = client.heartbeat("lost").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    client.heartbeat_oneway("lost too").await.unwrap();
    client.heartbeat_oneway("arrives").await.unwrap();
    assert_eq!(received.recv().await.unwrap(), "arrives");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_before_the_call_is_opened_again() {
    let (server, client, mut received) = started().await;
    server
        .calls()
        .disturb(ServerPrx::HEARTBEAT, 1..=1, Disturbance::Disconnect);
    let error = client.heartbeat("lost").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
    client.heartbeat("again").await.unwrap();
    assert_eq!(received.recv().await.unwrap(), "again");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_before_the_return_has_run_the_servant() {
    let (server, client, mut received) = started().await;
    server
        .calls()
        .disturb(ServerPrx::HEARTBEAT, 1..=1, Disturbance::DisconnectOnReturn);
    let error = client.heartbeat("run").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
    assert_eq!(received.recv().await.unwrap(), "run");
    assert_eq!(client.echo("again").await.unwrap(), "again");
}

#[tokio::test(start_paused = true)]
async fn all_connections_end_and_come_back() {
    let (server, first, _received) = started().await;
    let second: ServerPrx = server.connect().await.unwrap();
    let waiting = (first.timeout(5), second.timeout(5));
    server.calls().wait_for(ServerPrx::TIMEOUT, 2).await;
    server.disconnect();
    for call in [waiting.0, waiting.1] {
        assert_eq!(call.await.unwrap_err().code(), ErrorCode::ConnectionLost);
    }
    assert_eq!(first.echo("first").await.unwrap(), "first");
    assert_eq!(second.echo("second").await.unwrap(), "second");
}

#[tokio::test(start_paused = true)]
async fn a_push_is_disturbed_as_a_call_is() {
    let (server, client, _received) = started().await;
    let (sender, mut messages) = mpsc::channel(10);
    client
        .connection()
        .add_servant(ITerminalServant::new(Terminal(sender)));
    server
        .pushes()
        .disturb(ITerminalPrx::ON_MESSAGE, 1..=1, Disturbance::Lose);
    client.bidirection().await.unwrap();
    client.bidirection().await.unwrap();
    assert_eq!(messages.recv().await.unwrap(), "server push message!");
    assert!(messages.try_recv().is_err());
    assert_eq!(server.pushes().all().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_another_communicator_has_its_options() {
    let (server, _client, _received) = started().await;
    let hasty = Communicator::with_options(Options {
        timeout: Duration::from_secs(1),
        ..Options::default()
    });
    let client: ServerPrx = server.connect_from(&hasty).await.unwrap();
    let start = Instant::now();
    client.timeout(5).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_shut_down_finishes_calls_and_accepts_no_client() {
    let (server, client, _received) = started().await;
    let waiting = client.timeout(2);
    server.calls().wait_for(ServerPrx::TIMEOUT, 1).await;
    assert!(server.shutdown(Duration::from_secs(10)).await);
    waiting.await.unwrap();
    let refused = server.connect::<ServerPrx>().await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::ConnectFailed);
    let error = timeout(Duration::from_secs(60), client.echo("late")).await;
    assert_eq!(error.unwrap().unwrap_err().code(), ErrorCode::ConnectFailed);
}

/// As code that is generated from `exception Full { string disk; }`.
#[derive(Debug, Clone, PartialEq)]
struct Full(String);

impl Marshal for Full {
    fn marshal(&self, out: &mut Writer<'_>) {
        self.0.marshal(out);
    }
}

impl Unmarshal for Full {
    const MIN_SIZE: usize = String::MIN_SIZE;

    fn unmarshal(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        String::unmarshal(input).map(Self)
    }
}

impl Exception for Full {
    const NAME: &'static str = "test.Full";
}

#[tokio::test]
async fn an_exception_of_the_idl_is_an_answer_and_the_failure_of_a_double() {
    let (server, client, _received) = started().await;
    let full = Full("/data".to_owned());
    let fault = Fault::raise(&full);
    let answer = Disturbance::Answer(fault.clone());
    server.calls().disturb(ServerPrx::ECHO, .., answer);
    let error = client.echo("hello").await.unwrap_err();
    assert_eq!(error.exception::<Full>(), Some(full.clone()));
    let error = Pending::<()>::failed(fault).await.unwrap_err();
    assert_eq!(error.exception::<Full>(), Some(full));
}

/// Repeats each call that may succeed when it is repeated.
struct Retry;

impl ClientInterceptor for Retry {
    async fn call(&self, call: ClientCall, next: ClientNext<'_>) -> Result<Answer, RpcError> {
        match next.run(call.clone()).await {
            Err(error) if error.can_retry() => next.run(call).await,
            outcome => outcome,
        }
    }
}

/// Refuses calls without a name.
struct Named;

impl ServerInterceptor for Named {
    async fn call(&self, call: ServerCall, next: ServerNext<'_>) -> Result<Answer, Fault> {
        match call.extra().get("name") {
            Some(_) => next.run(call).await,
            None => Err(Fault::new(ErrorCode::ConnectReject, "who are you?")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn interceptors_of_both_sides_run() {
    let communicator = Communicator::with_options(Options {
        client_interceptors: ClientInterceptors::new().with(Retry),
        server_interceptors: ServerInterceptors::new().with(Named),
        ..Options::default()
    });
    let (servant, _received) = ServerImpl::new();
    let server = TestServer::with(&communicator);
    server.add_servant(ServerServant::new(servant));
    let client: ServerPrx = server.connect().await.unwrap();
    let error = client.echo("hello").await.unwrap_err();
    assert_eq!(error.text(), "who are you?");
    let attempts = server.calls().of(ServerPrx::ECHO).len();

    let named = client.with_extra([("name", "scott")]);
    let calls = server.calls();
    calls.disturb(ServerPrx::ECHO, 1..=1, Disturbance::Disconnect);
    assert_eq!(named.echo("hello").await.unwrap(), "hello");
    assert_eq!(calls.of(ServerPrx::ECHO).len(), attempts + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_of_several_threads_serves_many_clients() {
    let (server, _client, _received) = started().await;
    let server = std::sync::Arc::new(server);
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let server = server.clone();
            tokio::spawn(async move {
                let client: ServerPrx = server.connect().await.unwrap();
                for _ in 0..50 {
                    client.echo("hello").await.unwrap();
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(server.calls().of(ServerPrx::ECHO).len(), 1000);
}

/// More than what a pipe and the buffers of both sides hold. The paused clock does not
/// jump to the timeouts while bytes are on their way.
#[tokio::test(start_paused = true)]
async fn large_messages_and_many_calls_at_once_pass() {
    let (server, client, _received) = started().await;
    let text = "x".repeat(1 << 20);
    let calls: Vec<_> = (0..20).map(|_| client.echo(&text)).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().len(), text.len());
    }
    let calls: Vec<_> = (0..10_000).map(|_| client.echo("small")).collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(server.calls().of(ServerPrx::ECHO).len(), 10_020);
}
