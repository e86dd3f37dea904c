//! Shutdown of programs that use message queues.

use std::time::Duration;

use tce_runtime::ErrorCode;
use tce_test_rabbitmq::Node;

use crate::{
    common::{
        probe::{ECHO, GATE, NOTE, works},
        watching::{eventually, soon, within},
    },
    queues::Queues,
    wire::Wire,
};

const END_TIME: Duration = Duration::from_secs(10);

fn both() -> [Queues; 2] {
    [Queues::at(Node::shared().port()), Queues::in_memory()]
}

#[tokio::test]
async fn a_server_ends_its_running_calls_and_leaves_the_rest_to_others() {
    for queues in both() {
        let queues = Queues {
            prefetch: 2,
            ..queues
        };
        let first = queues.serve("server").await;
        let client = queues.open("client").await;
        let proxy = queues.proxy(&client).await;
        let begun: Vec<_> = (0..2).map(|_| proxy.call::<_, ()>(&GATE, ())).collect();
        first.probe.gate_reached(2).await;
        let waiting = proxy.call::<_, String>(&ECHO, ("for another server",));
        within(proxy.oneway(&NOTE, (7,))).await.unwrap();

        let communicator = first.communicator.clone();
        let ending = tokio::spawn(async move { communicator.shutdown(END_TIME).await });
        let second = queues.serve("server").await;
        assert_eq!(within(waiting).await.unwrap(), "for another server");
        second.probe.notes_reached(1).await;
        assert!(!ending.is_finished(), "two calls are running");
        first.probe.gate.add_permits(2);
        for call in begun {
            within(call).await.unwrap();
        }
        assert!(within(ending).await.unwrap(), "it ended in time");
        assert!(first.probe.notes.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_client_waits_for_its_returns() {
    for queues in both() {
        let server = queues.serve("server").await;
        let client = queues.open("client").await;
        let proxy = queues.proxy(&client).await;
        let call = proxy.call::<_, ()>(&GATE, ());
        server.probe.gate_reached(1).await;
        let communicator = client.clone();
        let ending = tokio::spawn(async move { communicator.shutdown(END_TIME).await });
        server.probe.gate.add_permits(1);
        within(call).await.unwrap();
        assert!(within(ending).await.unwrap());
    }
}

#[tokio::test]
async fn a_client_that_ends_at_once_fails_its_calls() {
    for queues in both() {
        let server = queues.serve("server").await;
        let client = queues.open("client").await;
        let proxy = queues.proxy(&client).await;
        let call = proxy.call::<_, ()>(&GATE, ());
        server.probe.gate_reached(1).await;
        let ended = within(client.shutdown(Duration::from_millis(50))).await;
        assert!(!ended, "a call was running");
        let error = soon(call).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::ConnectionLost);
        // Later calls fail at once.
        let twoway: Result<String, _> = soon(proxy.call(&ECHO, ("late",))).await;
        assert_eq!(twoway.unwrap_err().code(), ErrorCode::ConnectionLost);
        let oneway = soon(proxy.oneway(&NOTE, (1,))).await;
        assert_eq!(oneway.unwrap_err().code(), ErrorCode::ConnectionLost);
    }
}

#[tokio::test]
async fn an_adapter_shuts_down_alone() {
    for queues in both() {
        let first = queues.serve("server").await;
        let client = queues.open("client").await;
        let proxy = queues.proxy(&client).await;
        works(&proxy).await;
        assert!(within(first.adapter.shutdown(END_TIME)).await);
        let waiting = proxy.call::<_, String>(&ECHO, ("later",));
        let second = queues.serve("server").await;
        assert_eq!(within(waiting).await.unwrap(), "later");
        drop(second);
    }
}

#[tokio::test]
async fn a_shutdown_while_the_broker_is_away_ends() {
    let wire = Wire::to(Node::shared().port()).await;
    let queues = Queues::at(wire.port());
    let server = queues.serve("server").await;
    let client = queues.open("client").await;
    let proxy = queues.proxy(&client).await;
    works(&proxy).await;
    wire.close().await;
    let unsent = tokio::spawn(async move { proxy.oneway(&NOTE, (1,)).await });
    for communicator in [&server.communicator, &client] {
        within(communicator.shutdown(Duration::from_millis(200))).await;
    }
    let error = soon(unsent).await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConnectionLost);
}

#[tokio::test]
async fn no_connection_or_task_is_left() {
    let wire = Wire::to(Node::shared().port()).await;
    let queues = [Queues::at(wire.port()), Queues::in_memory()];
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    for queues in queues {
        let server = queues.serve("server").await;
        let client = queues.open("client").await;
        works(&queues.proxy(&client).await).await;
        assert!(within(client.shutdown(END_TIME)).await);
        assert!(within(server.communicator.shutdown(END_TIME)).await);
        wire.connections(0).await;
        eventually("all tasks have ended", || tasks() == before).await;
    }
}
