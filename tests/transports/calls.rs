//! Every kind of call, its results and its failures.

use std::{collections::BTreeMap, time::Duration};

use tce_runtime::{ErrorCode, Proxy, Side};
use tokio::sync::oneshot;

use crate::{
    common::{
        probe::{
            CALL_BACK, CIRCUMSTANCES, ECHO, FAIL, GATE, NOTE, PANIC_LATER, PANIC_NOW, PUSH_BACK,
            Probe, SLOW_NOTE, UNKNOWN_INTERFACE, UNKNOWN_OPERATION, works,
        },
        watching::within,
    },
    transports::Pair,
};

const MEBIBYTE: usize = 1 << 20;

async fn fails(
    pending: impl Future<Output = Result<(), tce_runtime::RpcError>>,
) -> tce_runtime::RpcError {
    within(pending).await.expect_err("the call fails")
}

pub(crate) async fn twoway(pair: &Pair) {
    for text in ["", "hello", "Grüße, 世界", "\0"] {
        let answer: String = within(pair.proxy.call(&ECHO, (text,))).await.unwrap();
        assert_eq!(answer, text);
    }
    let noted: Result<(), _> = within(pair.proxy.call(&NOTE, (7,))).await;
    noted.unwrap();
    assert_eq!(*pair.server.probe.notes.lock().unwrap(), [7]);
}

pub(crate) async fn oneway(pair: &Pair) {
    within(pair.proxy.oneway(&NOTE, (1,))).await.unwrap();
    pair.server.probe.notes_reached(1).await;
    // One that fails leaves the connection open.
    within(pair.proxy.oneway(&FAIL, (8, "not reported")))
        .await
        .unwrap();
    within(pair.proxy.oneway(&PANIC_NOW, ())).await.unwrap();
    works(&pair.proxy).await;
}

pub(crate) async fn asynchronous(pair: &Pair) {
    let waiting = pair.proxy.call::<_, ()>(&GATE, ());
    let answers: Vec<_> = (0..10)
        .map(|number| pair.proxy.call::<_, String>(&ECHO, (number.to_string(),)))
        .collect();
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(within(answer).await.unwrap(), number.to_string());
    }
    // It was called first and is answered last.
    pair.server.probe.gate_reached(1).await;
    pair.server.probe.gate.add_permits(1);
    within(waiting).await.unwrap();
}

pub(crate) async fn callback_on_return(pair: &Pair) {
    let (sender, receiver) = oneshot::channel();
    let pending = pair.proxy.call::<_, String>(&ECHO, ("later",));
    pending.on_return(|answer| sender.send(answer).expect("the test waits"));
    assert_eq!(within(receiver).await.unwrap().unwrap(), "later");
}

pub(crate) async fn ping(pair: &Pair) {
    within(pair.proxy.ping()).await.unwrap();
}

pub(crate) async fn deadline(pair: &Pair) {
    let hasty = pair.proxy.with_timeout(Duration::from_millis(150));
    let error = fails(hasty.call(&GATE, ())).await;
    assert_eq!(
        (error.code(), error.side()),
        (ErrorCode::Timeout, Side::Local)
    );
    assert_eq!(error.operation(), Some("probe::Probe::gate"));
    // The late RETURN is dropped.
    pair.server.probe.gate_reached(1).await;
    pair.server.probe.gate.add_permits(1);
    works(&pair.proxy).await;
    assert_eq!(pair.proxy.connection().calls_in_flight(), 0);
}

pub(crate) async fn deadline_of_a_call_in_the_background(pair: &Pair) {
    let hasty = pair.proxy.with_timeout(Duration::from_millis(150));
    let (sender, receiver) = oneshot::channel();
    let pending = hasty.call::<_, ()>(&GATE, ());
    pending.on_return(|answer| sender.send(answer).expect("the test waits"));
    let error = within(receiver).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    pair.server.probe.gate_reached(1).await;
    pair.server.probe.gate.add_permits(1);
}

pub(crate) async fn extra_both_ways(pair: &Pair) {
    let named = pair.proxy.with_extra([("name", "scott.bo"), ("leer", "")]);
    let pending = named.call::<_, BTreeMap<String, String>>(&CIRCUMSTANCES, ());
    let returned = within(pending.returned()).await.unwrap();
    assert_eq!(returned.value["name"], "scott.bo");
    assert_eq!(returned.value["leer"], "");
    assert_eq!(returned.extra.get("answer"), Some("42"));
}

pub(crate) async fn fault(pair: &Pair) {
    let error = fails(pair.proxy.call(&FAIL, (8, "no such pet"))).await;
    assert_eq!(error.code(), ErrorCode::RemoteException);
    assert_eq!((error.side(), error.text()), (Side::Remote, "no such pet"));
    let error = fails(pair.proxy.call(&FAIL, (4711, "its own code"))).await;
    assert_eq!(error.code(), ErrorCode::Other(4711));
}

pub(crate) async fn panics(pair: &Pair) {
    for operation in [&PANIC_NOW, &PANIC_LATER] {
        let error = fails(pair.proxy.call(operation, ())).await;
        assert_eq!(error.code(), ErrorCode::RemoteMethodException);
        assert_eq!(error.side(), Side::Remote);
    }
    works(&pair.proxy).await;
}

pub(crate) async fn unknown_interface(pair: &Pair) {
    let error = fails(pair.proxy.call(&UNKNOWN_INTERFACE, ())).await;
    assert_eq!(error.code(), ErrorCode::InterfaceNotFound);
}

pub(crate) async fn unknown_operation(pair: &Pair) {
    let error = fails(pair.proxy.call(&UNKNOWN_OPERATION, ())).await;
    assert_eq!(error.code(), ErrorCode::InterfaceNotFound);
}

pub(crate) async fn undecodable_parameters(pair: &Pair) {
    let error = fails(pair.proxy.call(&ECHO, (1_u8,))).await;
    assert_eq!(error.code(), ErrorCode::UnserializeFailed);
    assert_eq!(error.side(), Side::Remote);
    works(&pair.proxy).await;
}

pub(crate) async fn undecodable_result(pair: &Pair) {
    let answer: Result<BTreeMap<String, String>, _> =
        within(pair.proxy.call(&ECHO, ("no map",))).await;
    let error = answer.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnserializeFailed);
    assert_eq!(error.side(), Side::Local);
}

pub(crate) async fn strings_of_a_mebibyte(pair: &Pair) {
    let texts = ['a', 'b', 'c'].map(|letter| letter.to_string().repeat(MEBIBYTE));
    let answers: Vec<_> = texts
        .iter()
        .map(|text| pair.proxy.call::<_, String>(&ECHO, (text,)))
        .collect();
    for (answer, text) in answers.into_iter().zip(&texts) {
        assert!(within(answer).await.unwrap() == *text);
    }
}

pub(crate) async fn sixty_four_callers(pair: &Pair) {
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let proxy = pair.proxy.clone();
            tokio::spawn(async move {
                for call in 0..20 {
                    let text = format!("{caller}/{call}");
                    let answer: String = within(proxy.call(&ECHO, (&text,))).await.unwrap();
                    assert_eq!(answer, text);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(pair.proxy.connection().calls_in_flight(), 0);
}

pub(crate) async fn order_of_oneway_calls(pair: &Pair) {
    for number in 0..200 {
        within(pair.proxy.oneway(&NOTE, (number,))).await.unwrap();
    }
    pair.server.probe.notes_reached(200).await;
    let notes = pair.server.probe.notes.lock().unwrap().clone();
    assert!(notes.into_iter().eq(0..200));
    // Servants that wait do not delay each other.
    for number in 0..200 {
        within(pair.proxy.oneway(&SLOW_NOTE, (number,)))
            .await
            .unwrap();
    }
    pair.server.probe.notes_reached(400).await;
}

pub(crate) async fn calls_back_to_the_caller(pair: &Pair) {
    pair.proxy.connection().add_servant(Probe::default());
    let answer: String = within(pair.proxy.call(&CALL_BACK, ("there and back",)))
        .await
        .unwrap();
    assert_eq!(answer, "there and back");
}

pub(crate) async fn pushes_to_the_caller(pair: &Pair) {
    let own = Probe::default();
    pair.proxy.connection().add_servant(own.clone());
    let proxy: &Proxy = &pair.proxy;
    within(proxy.call::<_, ()>(&PUSH_BACK, (5,))).await.unwrap();
    within(proxy.oneway(&PUSH_BACK, (6,))).await.unwrap();
    own.0.notes_reached(2).await;
    assert_eq!(*own.0.notes.lock().unwrap(), [5, 6]);
}
