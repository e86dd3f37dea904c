//! Calls that are made now and awaited later, or never.

use std::sync::{Arc, Mutex};

use tce_runtime::{
    ErrorCode,
    config::{ConnectionLimits, Options},
};
use tokio::sync::oneshot;

use crate::common::{
    probe::{ECHO, GATE, NOTE, SLOW_NOTE, serve, works},
    watching::{eventually, within},
};

#[tokio::test]
async fn a_call_is_sent_before_it_is_awaited() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let call = proxy.call::<_, ()>(&NOTE, (7,));
    server.probe.notes_reached(1).await;
    within(call).await.unwrap();
}

#[tokio::test]
async fn results_may_be_awaited_in_any_order() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let texts: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    let mut calls: Vec<_> = texts
        .iter()
        .map(|text| proxy.call::<_, String>(&ECHO, (text,)))
        .collect();
    let mut answers = Vec::new();
    while let Some(call) = calls.pop() {
        answers.push(within(call).await.unwrap());
    }
    answers.reverse();
    assert_eq!(answers, texts);
}

#[tokio::test]
async fn a_callback_gets_the_result_or_the_error() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let (sender, receiver) = oneshot::channel();
    let call = proxy.call::<_, String>(&ECHO, ("pingpang",));
    call.on_return(|result| sender.send(result.unwrap()).unwrap());
    assert_eq!(within(receiver).await.unwrap(), "pingpang");

    let (sender, receiver) = oneshot::channel();
    let call = proxy.call::<_, ()>(&GATE, ());
    call.on_return(|result| sender.send(result.unwrap_err().code()).unwrap());
    proxy.connection().close();
    assert_eq!(within(receiver).await.unwrap(), ErrorCode::ConnectionLost);
}

#[tokio::test]
async fn a_dropped_call_runs_and_frees_its_slot() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let calls: Vec<_> = (0..100)
        .map(|number| proxy.call::<_, ()>(&SLOW_NOTE, (number,)))
        .collect();
    assert_eq!(proxy.connection().calls_in_flight(), 100);
    drop(calls);
    assert_eq!(proxy.connection().calls_in_flight(), 0);
    server.probe.notes_reached(100).await;
    works(&proxy).await;
}

#[tokio::test]
async fn a_call_cancelled_while_pending_frees_its_slot() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let waiting = tokio::spawn(proxy.call::<_, ()>(&GATE, ()));
    server.probe.gate_reached(1).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(proxy.connection().calls_in_flight(), 0);
}

/// Calls past the limit wait, and are sent as others complete.
#[tokio::test]
async fn calls_past_the_limit_of_calls_in_flight_wait() {
    let server = serve(Options::default()).await;
    let options = Options {
        connection: ConnectionLimits {
            calls_in_flight: 4,
            ..ConnectionLimits::default()
        },
        ..Options::default()
    };
    let proxy = server.proxy_with(options).await;
    let most = Arc::new(Mutex::new(0));
    let calls: Vec<_> = (0..100)
        .map(|number| {
            let (proxy, most) = (proxy.clone(), Arc::clone(&most));
            tokio::spawn(async move {
                proxy.call::<_, ()>(&SLOW_NOTE, (number,)).await.unwrap();
                let mut most = most.lock().unwrap();
                *most = (*most).max(proxy.connection().calls_in_flight());
            })
        })
        .collect();
    for call in calls {
        within(call).await.unwrap();
    }
    assert!(*most.lock().unwrap() <= 4);
    assert_eq!(server.probe.notes.lock().unwrap().len(), 100);
    eventually("no call is in flight", || {
        proxy.connection().calls_in_flight() == 0
    })
    .await;
}
