//! A failed call reports the cause to its caller at once and affects no other
//! call.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use tce_runtime::{ErrorCode, Proxy, RpcError, Side, config::Options, wire::Operation};

use crate::common::{
    probe::{
        ECHO, FAIL, GATE, LEAK, PANIC_LATER, PANIC_NOW, SLEEP, UNKNOWN_INTERFACE,
        UNKNOWN_OPERATION, serve, works,
    },
    raw::{Message, Raw, int, string},
    watching::{soon, within},
};

async fn failure(proxy: &Proxy, operation: &'static Operation) -> RpcError {
    soon(proxy.call::<_, ()>(operation, ()))
        .await
        .expect_err("it must fail")
}

/// Causes each kind of failure and checks the caller's error, on any transport.
pub(crate) async fn each_failure_has_its_code(proxy: &Proxy) {
    let pending = proxy.call::<_, ()>(&SLEEP, (300,));
    let expected = [
        (&PANIC_NOW, ErrorCode::RemoteMethodException, "panicked"),
        (&PANIC_LATER, ErrorCode::RemoteMethodException, "panicked"),
        (
            &UNKNOWN_INTERFACE,
            ErrorCode::InterfaceNotFound,
            "interface 77",
        ),
        (
            &UNKNOWN_OPERATION,
            ErrorCode::InterfaceNotFound,
            "operation 99",
        ),
        (&ECHO, ErrorCode::UnserializeFailed, "parameters"),
    ];
    for (operation, code, text) in expected {
        let error = failure(proxy, operation).await;
        assert_eq!((error.code(), error.side()), (code, Side::Remote));
        assert!(error.text().contains(text), "{error}");
        assert_eq!(error.operation(), Some(operation.name()));
        assert_eq!(error.peer(), Some(proxy.connection().peer()));
        works(proxy).await;
    }
    within(pending).await.expect("a concurrent call completes");
    assert_eq!(proxy.connection().calls_in_flight(), 0);
}

#[tokio::test]
async fn each_failure_has_its_code_over_tcp() {
    let server = serve(Options::default()).await;
    each_failure_has_its_code(&server.proxy().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_has_its_code_on_many_threads() {
    let server = serve(Options::default()).await;
    each_failure_has_its_code(&server.proxy().await).await;
}

#[tokio::test]
async fn a_fault_arrives_with_its_code_and_text() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    for (number, code) in [
        (8, ErrorCode::RemoteException),
        (103, ErrorCode::ConnectReject),
        (4711, ErrorCode::Other(4711)),
    ] {
        let error = soon(proxy.call::<_, ()>(&FAIL, (number, "no more 小猫")))
            .await
            .unwrap_err();
        assert_eq!((error.code(), error.text()), (code, "no more 小猫"));
    }
}

#[tokio::test]
async fn the_text_of_an_internal_error_stays_in_the_servers_log() {
    let secret = "SELECT failed at db1.internal";
    let server = serve(Options::default()).await;
    let mut raw = Raw::connect(server.endpoint()).await;
    for kind in 0..4 {
        let log = Log::default();
        let logging = tracing::subscriber::set_default(log.clone());
        let params = [int(kind), string(secret)].concat();
        let answer = raw.call(&Message::call(1, LEAK.opidx(), params)).await;
        drop(logging);
        // The whole RETURN: the secret is in no text, no parameter and no extra entry.
        let expected = Message {
            errcode: ErrorCode::RemoteException.to_wire(),
            ..Message::returning(1, 0, Vec::new())
        };
        let expected = Message {
            ifidx: 2,
            opidx: LEAK.opidx(),
            ..expected.with_extra(&[("__error__", "internal error")])
        };
        assert_eq!(answer, expected, "{kind}");
        let lines = log.0.lock().unwrap();
        let logged = lines.iter().filter(|line| line.contains(secret)).count();
        assert_eq!(logged, 1, "{kind}: {lines:?}");
    }
}

/// Records the errors and warnings that are logged.
#[derive(Clone, Default)]
pub(crate) struct Log(pub(crate) Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = String::new();
        event.record(&mut |_: &tracing::field::Field, value: &dyn Debug| {
            line.push_str(&format!("{value:?} "));
        });
        self.0.lock().unwrap().push(line);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_fault_with_code_0_is_still_an_error() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let answer = soon(proxy.call::<_, ()>(&FAIL, (0, "no code"))).await;
    let error = answer.expect_err("the servant has failed");
    assert_eq!(error.text(), "no code");
}

#[tokio::test]
async fn an_oversized_error_text_keeps_its_code() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let text = "x".repeat(3 << 20);
    let error = soon(proxy.call::<_, ()>(&FAIL, (8, &text)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::RemoteException);
    works(&proxy).await;
}

#[tokio::test]
async fn an_undecodable_result_is_a_local_error() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let error = soon(proxy.call::<_, Vec<i64>>(&ECHO, ("seven b",)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnserializeFailed);
    assert_eq!(error.side(), Side::Local);
    works(&proxy).await;
}

#[tokio::test]
async fn a_failed_oneway_call_leaves_the_connection_open() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    for operation in [
        &PANIC_NOW,
        &PANIC_LATER,
        &UNKNOWN_INTERFACE,
        &UNKNOWN_OPERATION,
    ] {
        proxy.oneway(operation, ()).await.unwrap();
    }
    works(&proxy).await;
}

#[tokio::test]
async fn a_waiting_servant_delays_no_other_call() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let waiting: Vec<_> = (0..50).map(|_| proxy.call::<_, ()>(&GATE, ())).collect();
    server.probe.gate_reached(50).await;
    soon(works(&proxy)).await;
    server.probe.gate.add_permits(50);
    for call in waiting {
        within(call).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_after_the_deadline_is_given_to_no_other_call() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let hasty = proxy.with_timeout(Duration::from_millis(20));
    let error = soon(hasty.call::<_, ()>(&GATE, ())).await.unwrap_err();
    assert_eq!(
        (error.code(), error.side()),
        (ErrorCode::Timeout, Side::Local)
    );
    assert_eq!(proxy.connection().calls_in_flight(), 0);
    server.probe.gate.add_permits(1);
    for _ in 0..100 {
        works(&proxy).await;
    }
}
