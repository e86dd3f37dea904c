//! Calls in both directions of one connection.

use tce_runtime::{Connection, ConnectionEvent, ErrorCode, Proxy, config::Options};
use tokio::sync::mpsc;

use crate::common::{
    probe::{CALL_BACK, ECHO, NOTE, Probe, Server, serve, works},
    watching::{soon, within},
};

/// A client with a servant, and the server's end of its connection.
async fn both_ends(server: &Server) -> (Proxy, Probe, Connection) {
    let (sender, mut receiver) = mpsc::channel(1);
    server.adapter.on_event(move |connection, event| {
        if *event == ConnectionEvent::Connected {
            sender.try_send(connection.clone()).unwrap();
        }
    });
    let proxy = server.proxy().await;
    let probe = Probe::default();
    proxy.connection().add_servant(probe.clone());
    let connection = within(receiver.recv()).await.unwrap();
    (proxy, probe, connection)
}

async fn a_servant_calls_back_within_a_call(server: &Server) {
    let (proxy, ..) = both_ends(server).await;
    for _ in 0..50 {
        let call = proxy.call::<_, String>(&CALL_BACK, ("there and back",));
        assert_eq!(within(call).await.unwrap(), "there and back");
    }
}

async fn both_call_at_once(server: &Server) {
    let (proxy, probe, connection) = both_ends(server).await;
    let back = Proxy::new(&connection);
    let mut tasks = Vec::new();
    for (name, proxy) in [("there", proxy.clone()), ("back", back)] {
        for number in 0..20 {
            let proxy = proxy.clone();
            tasks.push(tokio::spawn(async move {
                let text = format!("{name} {number}");
                for _ in 0..50 {
                    let answer = proxy.call::<_, String>(&ECHO, (&text,)).await;
                    assert_eq!(answer.unwrap(), text);
                }
                proxy.oneway(&NOTE, (number,)).await.unwrap();
            }));
        }
    }
    for task in tasks {
        within(task).await.unwrap();
    }
    probe.0.notes_reached(20).await;
    server.probe.notes_reached(20).await;
}

#[tokio::test]
async fn a_servant_calls_back_on_one_thread() {
    a_servant_calls_back_within_a_call(&serve(Options::default()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_servant_calls_back_on_many_threads() {
    a_servant_calls_back_within_a_call(&serve(Options::default()).await).await;
}

#[tokio::test]
async fn both_call_at_once_on_one_thread() {
    both_call_at_once(&serve(Options::default()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn both_call_at_once_on_many_threads() {
    both_call_at_once(&serve(Options::default()).await).await;
}

#[tokio::test]
async fn a_call_back_to_a_client_without_a_servant_fails() {
    let server = serve(Options::default()).await;
    let proxy = server.proxy().await;
    let error = soon(proxy.call::<_, String>(&CALL_BACK, ("x",)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::RemoteException);
    assert!(error.text().contains("INTERFACE_NOTFOUND"), "{error}");
}

#[tokio::test]
async fn a_call_to_a_disconnected_client_fails_at_once() {
    let server = serve(Options::default()).await;
    let (proxy, _, connection) = both_ends(&server).await;
    let back = Proxy::new(&connection);
    works(&back).await;
    proxy.connection().close();
    crate::common::watching::eventually("the connection is down", || !connection.is_connected())
        .await;
    let error = soon(back.call::<_, String>(&ECHO, ("x",)))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
    assert_eq!(connection.calls_in_flight(), 0);
}
