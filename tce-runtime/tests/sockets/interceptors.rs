//! Interceptors of clients and servers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tce_runtime::{
    ErrorCode, Fault, Pending, RpcError,
    config::Options,
    interceptor::{
        Answer, ClientCall, ClientInterceptor, ClientInterceptors, ClientNext, ServerCall,
        ServerInterceptor, ServerInterceptors, ServerNext,
    },
};

use crate::common::{
    probe::{
        CIRCUMSTANCES, ECHO, FAIL, GATE, NOTE, PANIC_LATER, UNKNOWN_INTERFACE, UNKNOWN_OPERATION,
        both_directions, serve, works,
    },
    raw::{Message, Raw, int},
    watching::{soon, within},
};

/// What an interceptor has seen, in order.
#[derive(Debug, Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Notes each call and its outcome under a name.
struct Noting(&'static str, Journal);

fn outcome_of<E>(outcome: &Result<Answer, E>, code: impl Fn(&E) -> ErrorCode) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(error) => code(error).to_string(),
    }
}

impl ClientInterceptor for Noting {
    async fn call(&self, call: ClientCall, next: ClientNext<'_>) -> Result<Answer, RpcError> {
        let operation = call.operation().name();
        self.1.note(format!("{} begins {operation}", self.0));
        let outcome = next.run(call).await;
        let ended = outcome_of(&outcome, RpcError::code);
        self.1.note(format!("{} ends {operation}: {ended}", self.0));
        outcome
    }
}

impl ServerInterceptor for Noting {
    async fn call(&self, call: ServerCall, next: ServerNext<'_>) -> Result<Answer, Fault> {
        let operation = call.operation().map_or("unknown", |it| it.name());
        let outcome = next.run(call).await;
        let ended = outcome_of(&outcome, Fault::code);
        self.1.note(format!("{} {operation}: {ended}", self.0));
        outcome
    }
}

fn client(interceptors: ClientInterceptors) -> Options {
    Options {
        client_interceptors: interceptors,
        ..Options::default()
    }
}

fn server(interceptors: ServerInterceptors) -> Options {
    Options {
        server_interceptors: interceptors,
        ..Options::default()
    }
}

#[tokio::test]
async fn calls_pass_interceptors_from_the_outer_to_the_inner_one() {
    let server = serve(Options::default()).await;
    let journal = Journal::default();
    let outer = Noting("outer", journal.clone());
    let options = client(ClientInterceptors::new().with(outer));
    let proxy = server.proxy_with(options).await;
    works(&proxy.with_interceptor(Noting("inner", journal.clone()))).await;
    assert_eq!(
        journal.lines(),
        [
            "outer begins probe::Probe::echo",
            "inner begins probe::Probe::echo",
            "inner ends probe::Probe::echo: ok",
            "outer ends probe::Probe::echo: ok",
        ]
    );
    let refused: Pending<()> = proxy.call(&FAIL, (8, "no"));
    assert_eq!(soon(refused).await.unwrap_err().text(), "no");
    within(proxy.ping()).await.unwrap();
    assert_eq!(
        journal.lines()[4..],
        [
            "outer begins probe::Probe::fail",
            "outer ends probe::Probe::fail: REMOTE_EXCEPTION",
        ],
        "the call of the proxy without `inner`, and no `ping`"
    );
}

/// Sets a key in the extra of each call.
struct Keyed;

impl ClientInterceptor for Keyed {
    async fn call(&self, mut call: ClientCall, next: ClientNext<'_>) -> Result<Answer, RpcError> {
        call.extra_mut().set("key", "secret");
        next.run(call).await
    }
}

/// Refuses calls without the key, and tells the servant who calls.
struct KeyCheck;

impl ServerInterceptor for KeyCheck {
    async fn call(&self, mut call: ServerCall, next: ServerNext<'_>) -> Result<Answer, Fault> {
        if call.extra().get("key") != Some("secret") {
            return Err(Fault::new(ErrorCode::ConnectReject, "the key is wrong"));
        }
        call.extra_mut().set("caller", "scott");
        let mut answer = next.run(call).await?;
        answer.extra_mut().set("checked", "yes");
        Ok(answer)
    }
}

#[tokio::test]
async fn an_interceptor_authenticates_calls_by_their_extra() {
    let server = serve(server(ServerInterceptors::new().with(KeyCheck))).await;
    let without = server.proxy().await;
    let refused: Pending<()> = without.call(&NOTE, 1);
    let error = soon(refused).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectReject);
    assert_eq!(error.text(), "the key is wrong");
    without.oneway(&NOTE, 2).await.unwrap();
    // Of an unauthenticated peer nothing is decoded, and no operation is told apart.
    for operation in [&UNKNOWN_OPERATION, &UNKNOWN_INTERFACE, &FAIL] {
        let refused: Pending<()> = without.call(operation, ());
        assert_eq!(soon(refused).await.unwrap_err().text(), "the key is wrong");
    }

    let with = server.proxy_with(client(ClientInterceptors::new().with(Keyed)));
    let call = with.await.call(&CIRCUMSTANCES, ());
    let returned = within(call.returned()).await.unwrap();
    let seen: BTreeMap<String, String> = returned.value;
    assert_eq!(seen.get("caller").map(String::as_str), Some("scott"));
    assert_eq!(returned.extra.get("checked"), Some("yes"));
    assert_eq!(returned.extra.get("answer"), Some("42"));
    assert!(server.probe.notes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_servers_interceptors_see_how_each_call_ended() {
    let journal = Journal::default();
    let noting = Noting("server", journal.clone());
    let server = serve(server(ServerInterceptors::new().with(noting))).await;
    let proxy = server.proxy().await;
    works(&proxy).await;
    for (operation, code) in [
        (&PANIC_LATER, ErrorCode::RemoteMethodException),
        (&UNKNOWN_OPERATION, ErrorCode::InterfaceNotFound),
        (&UNKNOWN_INTERFACE, ErrorCode::InterfaceNotFound),
        // `fail` without its parameters.
        (&FAIL, ErrorCode::UnserializeFailed),
    ] {
        let call: Pending<()> = proxy.call(operation, ());
        assert_eq!(soon(call).await.unwrap_err().code(), code);
    }
    within(proxy.ping()).await.unwrap();
    assert_eq!(
        journal.lines(),
        [
            "server probe::Probe::echo: ok",
            "server probe::Probe::panicLater: REMOTEMETHOD_EXCEPTION",
            "server unknown: INTERFACE_NOTFOUND",
            "server unknown: INTERFACE_NOTFOUND",
            "server probe::Probe::fail: UNSERIALIZE_FAILED",
        ]
    );
}

#[tokio::test]
async fn an_adapters_interceptor_sees_its_own_calls_only() {
    let all = Journal::default();
    let one = Journal::default();
    let noting = Noting("all", all.clone());
    let server = serve(server(ServerInterceptors::new().with(noting))).await;
    server.adapter.intercept(Noting("one", one.clone()));
    works(&server.proxy().await).await;
    let address = "tcp://127.0.0.1:0";
    let other = tce_runtime::Adapter::listen(&server.communicator, address);
    let other = other.await.unwrap();
    other
        .add_servant(crate::common::probe::Probe::default())
        .start();
    let communicator = tce_runtime::Communicator::new();
    works(&crate::common::probe::connect(&communicator, other.endpoint()).await).await;
    assert_eq!(one.lines().len(), 1);
    assert_eq!(all.lines().len(), 2);
}

#[tokio::test]
async fn calls_back_pass_the_interceptors_of_both_sides() {
    let journal = Journal::default();
    let options = Options {
        client_interceptors: ClientInterceptors::new().with(Noting("caller", journal.clone())),
        server_interceptors: ServerInterceptors::new().with(Noting("servant", journal.clone())),
        ..Options::default()
    };
    let (_server, _forward, back) = both_directions(options, "tcp://127.0.0.1:0").await;
    works(&back).await;
    assert_eq!(
        journal.lines(),
        [
            "caller begins probe::Probe::echo",
            "servant probe::Probe::echo: ok",
            "caller ends probe::Probe::echo: ok",
        ]
    );
}

#[tokio::test]
async fn an_interceptor_answers_in_place_of_the_peer() {
    struct Cache;

    impl ClientInterceptor for Cache {
        async fn call(&self, call: ClientCall, next: ClientNext<'_>) -> Result<Answer, RpcError> {
            match call.extra().get("cached") {
                Some(text) => Ok(Answer::of(text)),
                None => next.run(call).await,
            }
        }
    }

    let server = serve(Options::default()).await;
    let proxy = server.proxy().await.with_interceptor(Cache);
    works(&proxy).await;
    let cached = proxy.with_extra([("cached", "before")]);
    let answer: String = soon(cached.call(&ECHO, ("now",))).await.unwrap();
    assert_eq!(answer, "before");
    // The wrong type is an error, not a panic.
    let wrong = soon(cached.call::<_, Vec<i64>>(&ECHO, ("now",))).await;
    assert_eq!(wrong.unwrap_err().code(), ErrorCode::UnserializeFailed);
}

/// Repeats each call that fails, up to a number of attempts.
struct Repeat(usize, Arc<AtomicUsize>);

impl ClientInterceptor for Repeat {
    async fn call(&self, call: ClientCall, next: ClientNext<'_>) -> Result<Answer, RpcError> {
        for _ in 1..self.0 {
            self.1.fetch_add(1, Ordering::Relaxed);
            let outcome = next.run(call.clone()).await;
            if outcome.is_ok() || call.is_abandoned() || call.time_left().is_zero() {
                return outcome;
            }
        }
        next.run(call).await
    }
}

#[tokio::test]
async fn an_interceptor_repeats_a_call() {
    let server = serve(Options::default()).await;
    let attempts = Arc::new(AtomicUsize::new(0));
    let proxy = server.proxy().await;
    let proxy = proxy.with_interceptor(Repeat(3, Arc::clone(&attempts)));
    let call: Pending<()> = proxy.call(&FAIL, (8, "again"));
    let error = soon(call).await.unwrap_err();
    assert_eq!(error.text(), "again");
    assert_eq!(error.operation(), Some("probe::Probe::fail"));
    assert_eq!(attempts.load(Ordering::Relaxed), 2, "and the last attempt");
}

#[tokio::test]
async fn all_attempts_together_take_no_longer_than_the_timeout() {
    let server = serve(Options::default()).await;
    let attempts = Arc::new(AtomicUsize::new(0));
    let proxy = server
        .proxy()
        .await
        .with_timeout(Duration::from_millis(200));
    let proxy = proxy.with_interceptor(Repeat(1000, Arc::clone(&attempts)));
    let call: Pending<()> = proxy.call(&GATE, ());
    let error = within(call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert_eq!(attempts.load(Ordering::Relaxed), 1);
}

/// Waits permanently, or for each call once.
struct Hang {
    is_forever: bool,
}

impl ClientInterceptor for Hang {
    async fn call(&self, call: ClientCall, next: ClientNext<'_>) -> Result<Answer, RpcError> {
        match self.is_forever {
            true => std::future::pending().await,
            false => tokio::task::yield_now().await,
        }
        next.run(call).await
    }
}

#[tokio::test]
async fn an_interceptor_that_hangs_costs_the_timeout() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await.with_timeout(Duration::from_millis(50));
    let proxy = proxy.with_interceptor(Hang { is_forever: true });
    let call: Pending<()> = proxy.call(&NOTE, 1);
    assert_eq!(within(call).await.unwrap_err().code(), ErrorCode::Timeout);
    let error = within(proxy.oneway(&NOTE, 2)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(error.text().contains("interceptors"), "{error}");
}

#[tokio::test]
async fn calls_are_sent_in_order_and_unpolled_if_no_interceptor_waits() {
    let server = serve(Options::default()).await;
    let journal = Journal::default();
    let proxy = server.proxy().await;
    let proxy = proxy.with_interceptor(Noting("client", journal.clone()));
    let calls: Vec<Pending<()>> = (0..100).map(|number| proxy.call(&NOTE, number)).collect();
    let last = proxy.oneway(&NOTE, 100);
    server.probe.notes_reached(101).await;
    let notes = server.probe.notes.lock().unwrap().clone();
    assert!(notes.into_iter().eq(0..=100));
    drop((calls, last));
}

#[tokio::test]
async fn a_dropped_call_is_sent_and_its_interceptors_see_the_outcome() {
    let server = serve(Options::default()).await;
    let journal = Journal::default();
    let proxy = server.proxy().await;
    let proxy = proxy
        .with_interceptor(Noting("client", journal.clone()))
        .with_interceptor(Hang { is_forever: false });
    drop(proxy.call::<_, ()>(&NOTE, 1));
    drop(proxy.oneway(&NOTE, 2));
    server.probe.notes_reached(2).await;
    within(async {
        while journal.lines().len() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let ends = journal.lines().into_iter();
    assert_eq!(ends.filter(|line| line.ends_with(": ok")).count(), 2);
}

#[tokio::test]
async fn dropped_calls_that_wait_in_interceptors_hold_bounded_memory() {
    let server = serve(Options::default()).await;
    let mut options = client(ClientInterceptors::new().with(Hang { is_forever: true }));
    options.connection.send_buffer = 64 << 10;
    let proxy = server.proxy_with(options).await;
    let begun = Arc::new(AtomicUsize::new(0));
    let proxy = proxy.with_interceptor(Repeat(1, Arc::clone(&begun)));
    for _ in 0..1000 {
        drop(proxy.call::<_, String>(&ECHO, ("x".repeat(1 << 10),)));
    }
    let tasks = tokio::runtime::Handle::current().metrics();
    let alive = tasks.num_alive_tasks();
    assert!(alive < 200, "{alive} tasks wait for interceptors that hang");
}

#[test]
fn a_call_without_a_runtime_passes_its_interceptors() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, proxy) = runtime.block_on(async {
        let server = serve(Options::default()).await;
        let proxy = server.proxy().await;
        (server, proxy.with_interceptor(Hang { is_forever: false }))
    });
    let call = proxy.call::<_, String>(&ECHO, ("outside",));
    assert_eq!(runtime.block_on(within(call)).unwrap(), "outside");
    drop(proxy.call::<_, String>(&ECHO, ("dropped",)));
    drop((server, runtime));
    // Its runtime has ended: an error, not a hang and not a panic.
    let call = proxy.call::<_, String>(&ECHO, ("late",));
    let other = tokio::runtime::Runtime::new().unwrap();
    let error = other.block_on(within(call)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
}

#[tokio::test]
async fn a_panic_of_a_servers_interceptor_costs_its_call_only() {
    struct Panicking;

    impl ServerInterceptor for Panicking {
        async fn call(&self, call: ServerCall, next: ServerNext<'_>) -> Result<Answer, Fault> {
            assert!(call.extra().is_empty(), "this is a test");
            next.run(call).await
        }
    }

    let server = serve(server(ServerInterceptors::new().with(Panicking))).await;
    let proxy = server.proxy().await;
    let call: Pending<()> = proxy.with_extra([("a", "b")]).call(&NOTE, 1);
    let error = soon(call).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::RemoteMethodException);
    works(&proxy).await;
}

#[tokio::test]
async fn a_routed_return_repeats_the_extra_that_the_gateway_sent() {
    let server = serve(server(ServerInterceptors::new().with(KeyCheck))).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    let call = Message::call(7, NOTE.opidx(), int(1));
    let call = Message {
        call_id: 0x8000,
        ..call.with_extra(&[("key", "secret"), ("__user_id__", "u7")])
    };
    let returned = raw.call(&call).await;
    let pairs: Vec<_> = returned.extra.iter().map(|(key, _)| &**key).collect();
    assert_eq!(pairs, ["key", "__user_id__", "checked"]);
}
