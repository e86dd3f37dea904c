//! Single messages: delivered once, acknowledged when executed, dropped when
//! they can't be executed.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use lapin::options::QueueDeclareOptions;
use tce_runtime::{Communicator, ErrorCode, Proxy, Side, config::MqConfig};
use tce_test_rabbitmq::Node;

use crate::{
    common::{
        probe::{ECHO, NOTE, works},
        raw::{Message, int},
        watching::{soon, within},
    },
    queues::Queues,
    raw::Raw,
    recorder::{HANG, RECORD, record},
};

async fn writer_to(address: &str) -> Proxy {
    let text = format!(
        "common_defs:
  endpoints:
    - {{name: nowhere, host: 127.0.0.1, port: {}, address: \"{address}\"}}
writer:
  endpoints:
    - {{name: nowhere, af_mode: AF_WRITE}}
",
        Node::shared().port()
    );
    let communicator = Communicator::new();
    let config = MqConfig::parse(&text, "config.yml", "writer").unwrap();
    communicator.open_mq(config).await.unwrap();
    Proxy::connect(&communicator, "mq:nowhere").await.unwrap()
}

#[tokio::test]
async fn a_call_to_a_queue_that_does_not_exist_fails_at_once() {
    let proxy = writer_to("missing_queue;{node:{type:queue,durable:true}}").await;
    let twoway: Result<(), _> = soon(proxy.call(&NOTE, (1,))).await;
    for result in [twoway, soon(proxy.oneway(&NOTE, (1,))).await] {
        let error = result.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SendFailed);
        assert!(error.text().contains("`missing_queue`"), "{error}");
    }
}

#[tokio::test]
async fn a_call_to_a_topic_that_does_not_exist_fails_at_once() {
    let proxy = writer_to("missing_topic;{node:{type:topic,durable:true}}").await;
    for _ in 0..3 {
        // The broker closes the channel each time; it is opened again.
        let error = soon(proxy.oneway(&NOTE, (1,))).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::SendFailed, "{error}");
    }
}

#[tokio::test]
async fn a_queue_that_was_deleted_is_declared_again() {
    let queues = Queues::at(Node::shared().port());
    let server = record(&queues).await;
    let client = queues.open("writer").await;
    let proxy = queues.proxy(&client).await;
    let raw = Raw::connect(queues.port).await;
    for number in 0..3 {
        raw.delete(&queues.calls).await;
        within(proxy.oneway(&RECORD, (number,))).await.unwrap();
    }
    let records = server.records.reached(1).await;
    assert!(!records.is_empty());
    within(proxy.call::<_, ()>(&RECORD, (3,))).await.unwrap();
}

/// RabbitMQ may carry a consumer over to the new queue, and then ignores what it
/// acknowledges there.
#[tokio::test]
async fn a_queue_that_another_program_replaces_is_read_on() {
    let port = Node::shared().port();
    let replaced = |kind: &'static str| async move {
        let queues = Queues {
            prefetch: 2,
            ..Queues::at(port)
        };
        let raw = Raw::connect(port).await;
        raw.declare_kind(&queues.calls, kind).await;
        let _server = queues.serve("reader").await;
        let client = queues.open("writer").await;
        let proxy = queues.proxy(&client).await;
        works(&proxy).await;
        let deleting = raw.delete(&queues.calls);
        let ((), ()) = tokio::join!(deleting, raw.declare_kind(&queues.calls, kind));
        let proxy = proxy.with_timeout(Duration::from_secs(1));
        within(async {
            // More calls than the prefetch.
            for _ in 0..8 {
                while proxy.call::<_, String>(&ECHO, ("again",)).await.is_err() {}
            }
        })
        .await;
    };
    for kind in ["classic", "quorum"] {
        join_all((0..8).map(|_| replaced(kind))).await;
    }
}

#[tokio::test]
async fn undecodable_messages_are_dropped_and_not_redelivered() {
    let queues = Queues::at(Node::shared().port());
    let server = queues.serve("reader").await;
    let raw = Raw::connect(queues.port).await;
    let reserved = Message {
        msgtype: 9,
        ..Message::call(1, 0, Vec::new())
    };
    let neither = Message {
        calltype: 0x20,
        ..Message::call(1, 0, Vec::new())
    };
    let mut cut_off = Message::call(1, 0, Vec::new()).bytes();
    cut_off.truncate(20);
    for body in [
        Vec::new(),
        b"poison".to_vec(),
        cut_off,
        reserved.bytes(),
        neither.bytes(),
    ] {
        raw.publish(&queues.calls, &body).await;
    }
    let client = queues.open("writer").await;
    works(&queues.proxy(&client).await).await;
    let ended = server.communicator.shutdown(Duration::from_secs(10)).await;
    assert!(ended);
    drop(server);
    raw.wait_for(&queues.calls, 0).await;
    raw.read(&queues.calls).await.nothing_comes().await;
}

#[tokio::test]
async fn an_undecodable_return_fails_its_call_at_once() {
    let queues = Queues::at(Node::shared().port());
    let client = queues.open("client").await;
    let raw = Raw::connect(queues.port).await;
    let mut calls = raw.read(&queues.calls).await;
    let proxy = queues.proxy(&client).await;
    let call = proxy.call::<_, String>(&ECHO, ("x",));
    let sequence = calls.message().await.sequence;
    let mut answer = Message::returning(sequence, 0, Vec::new()).bytes();
    // An extra that announces more pairs than the message has bytes.
    answer[17..21].copy_from_slice(&[0, 0, 2, 0]);
    raw.publish(&queues.replies, &answer).await;
    let error = within(call).await.unwrap_err();
    assert_eq!(
        (error.code(), error.side()),
        (ErrorCode::DataDirty, Side::Local)
    );
}

#[tokio::test]
async fn messages_past_their_linger_time_are_dropped() {
    let queues = Queues::at(Node::shared().port());
    let server = queues.serve("reader").await;
    let raw = Raw::connect(queues.port).await;
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for (number, until) in [
        (1, (now - 5).to_string()),
        (2, (now + 60).to_string()),
        (3, format!("{}.25", now - 5)),
        (4, format!("{}.25", now + 60)),
        (5, "gibberish".to_owned()),
    ] {
        let note = Message {
            calltype: 0x21,
            ..Message::call(0, 5, int(number))
        };
        let note = note.with_extra(&[("__linger_time__", &until)]);
        raw.publish(&queues.calls, &note.bytes()).await;
    }
    server.probe.notes_reached(3).await;
    assert_eq!(*server.probe.notes.lock().unwrap(), [2, 4, 5]);
}

#[tokio::test]
async fn a_call_that_timed_out_expires_in_the_queue() {
    for queues in [Queues::at(Node::shared().port()), Queues::in_memory()] {
        let client = queues.open("client").await;
        let proxy = queues.proxy(&client).await;
        let hasty = proxy.with_timeout(Duration::from_millis(100));
        let error = within(hasty.call::<_, ()>(&RECORD, (1,))).await;
        assert_eq!(error.unwrap_err().code(), ErrorCode::Timeout);
        let server = record(&queues).await;
        within(proxy.oneway(&RECORD, (2,))).await.unwrap();
        assert_eq!(server.records.reached(1).await, [(2, false)]);
    }
}

#[tokio::test]
async fn the_prefetch_limits_the_deliveries_to_a_server() {
    let queues = Queues {
        prefetch: 2,
        ..Queues::at(Node::shared().port())
    };
    let server = queues.serve("reader").await;
    let raw = Raw::connect(queues.port).await;
    let gate = Message {
        calltype: 0x21,
        ..Message::call(0, 6, Vec::new())
    };
    for _ in 0..5 {
        raw.publish(&queues.calls, &gate.bytes()).await;
    }
    server.probe.gate_reached(2).await;
    raw.wait_for(&queues.calls, 3).await;
    assert_eq!(*server.probe.at_gate.borrow(), 2);
    server.probe.gate.add_permits(1);
    server.probe.gate_reached(3).await;
    raw.wait_for(&queues.calls, 2).await;
    server.probe.gate.add_permits(4);
    server.probe.gate_reached(5).await;
}

#[tokio::test]
async fn a_call_that_did_not_end_is_redelivered_and_marked() {
    for queues in [Queues::at(Node::shared().port()), Queues::in_memory()] {
        let first = record(&queues).await;
        let client = queues.open("writer").await;
        let proxy = queues.proxy(&client).await;
        within(proxy.oneway(&RECORD, (1,))).await.unwrap();
        within(proxy.oneway(&HANG, (2,))).await.unwrap();
        assert_eq!(first.records.reached(2).await, [(1, false), (2, false)]);
        let ended = first.communicator.shutdown(Duration::ZERO).await;
        assert!(!ended, "a call was running");
        let second = record(&queues).await;
        assert_eq!(second.records.reached(1).await, [(2, true)]);
    }
}

#[tokio::test]
async fn a_caller_that_names_no_queue_gets_no_answer() {
    let queues = Queues::at(Node::shared().port());
    let server = queues.serve("reader").await;
    let raw = Raw::connect(queues.port).await;
    raw.publish(&queues.calls, &Message::call(1, 6, Vec::new()).bytes())
        .await;
    // `callBack` to a caller without a queue fails at once.
    let back = Message::call(2, 12, int(7));
    raw.publish(&queues.calls, &back.bytes()).await;
    server.probe.gate_reached(1).await;
    server.probe.gate.add_permits(1);
    let client = queues.open("writer").await;
    let proxy = queues.proxy(&client).await;
    works(&proxy).await;
    let ended = soon(server.communicator.shutdown(Duration::from_secs(10))).await;
    assert!(ended, "no call is running");
}

#[tokio::test]
async fn a_reply_to_a_missing_queue_does_not_stop_others() {
    let queues = Queues::at(Node::shared().port());
    let server = queues.serve("reader").await;
    let raw = Raw::connect(queues.port).await;
    let replies = format!("{}_live", queues.replies);
    let options = QueueDeclareOptions::default();
    raw.declare(&replies, options).await.unwrap();
    let mut returns = raw.read(&replies).await;
    for sequence in 0..50 {
        for name in ["gone", &replies] {
            let call = Message::call(sequence, 6, Vec::new());
            let call = call.with_extra(&[("__mq_return__", name)]);
            raw.publish(&queues.calls, &call.bytes()).await;
            // They end together, so that one confirmation may cover many.
            server
                .probe
                .gate
                .add_permits(usize::from(sequence % 10 == 9) * 10);
        }
    }
    let mut came = Vec::new();
    for _ in 0..50 {
        came.push(returns.message().await.sequence);
    }
    came.sort_unstable();
    assert!(came.into_iter().eq(0..50));
}
