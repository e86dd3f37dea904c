//! Several messages in one MQ message.

use std::time::{Duration, SystemTime};

use lapin::{BasicProperties, options::QueueDeclareOptions};
use tce_test_rabbitmq::Node;

use crate::{
    common::{
        probe::{GATE, NOTE, works},
        raw::{Message, int, string},
        watching::within,
    },
    queues::Queues,
    raw::Raw,
    recorder::{HANG, RECORD, record},
};

const CONTENT_TYPE: &str = "application/vnd.tce.batch";

fn batch() -> BasicProperties {
    BasicProperties::default().with_content_type(CONTENT_TYPE.into())
}

fn unix_millis() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// An entry as the format describes it.
fn entry(expires_at: u64, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [
        &expires_at.to_be_bytes()[..],
        &length.to_be_bytes(),
        message,
    ]
    .concat()
}

fn entries(mut body: &[u8]) -> Vec<(u64, Message)> {
    let mut entries = Vec::new();
    while !body.is_empty() {
        let expires_at = u64::from_be_bytes(body[..8].try_into().unwrap());
        let length = u32::from_be_bytes(body[8..12].try_into().unwrap()) as usize;
        let (message, rest) = body[12..].split_at(length);
        entries.push((expires_at, Message::parse(message)));
        body = rest;
    }
    entries
}

fn oneway(opidx: u16, number: i32) -> Vec<u8> {
    let call = Message {
        calltype: 0x21,
        ..Message::call(0, opidx, int(number))
    };
    call.bytes()
}

fn note(number: i32) -> Vec<u8> {
    oneway(5, number)
}

#[tokio::test]
async fn waiting_messages_leave_as_a_batch_with_a_deadline_for_each() {
    let queues = Queues {
        in_batches: true,
        ..Queues::at(Node::shared().port())
    };
    let client = queues.open("client").await;
    let proxy = queues.proxy(&client).await;
    let raw = Raw::connect(queues.port).await;
    let mut calls = raw.read(&queues.calls).await;
    let hasty = proxy.with_timeout(Duration::from_secs(20));
    let (mut messages, mut largest) = (0, 0);
    let now = unix_millis();
    let pending: Vec<_> = (0..50).map(|_| hasty.call::<_, ()>(&GATE, ())).collect();
    let unanswered = tokio::spawn(async move {
        let calls = (0..50).map(|number| proxy.oneway(&NOTE, (number,)));
        futures_util::future::join_all(calls).await
    });
    let mut notes = Vec::new();
    while messages < 100 {
        let delivery = calls.next().await;
        assert_eq!(*delivery.properties.delivery_mode(), Some(2));
        let Some(kind) = delivery.properties.content_type() else {
            // A single message is no batch.
            messages += 1;
            continue;
        };
        assert_eq!(kind.as_str(), CONTENT_TYPE);
        let entries = entries(&delivery.data);
        let expires = entries.iter().all(|(expires_at, _)| *expires_at != 0);
        assert_eq!(delivery.properties.expiration().is_some(), expires);
        largest = largest.max(entries.len());
        messages += entries.len();
        for (expires_at, message) in entries {
            if message.calltype == 0x21 {
                assert_eq!(expires_at, 0, "a oneway call never expires");
                notes.push(message.params);
            } else {
                let left = expires_at - now;
                assert!((15_000..30_000).contains(&left), "{left}");
            }
        }
    }
    assert!(largest > 10, "{largest}");
    assert!(notes.is_sorted(), "{notes:?}");
    let results = within(unanswered).await.unwrap();
    assert!(results.into_iter().all(|result| result.is_ok()));
    drop(pending);
}

#[tokio::test]
async fn consumers_accept_both_forms_and_check_each_deadline() {
    let queues = Queues::at(Node::shared().port());
    let server = queues.serve("reader").await;
    let raw = Raw::connect(queues.port).await;
    let body = [
        entry(0, &note(1)),
        entry(unix_millis() - 2_000, &note(2)),
        entry(unix_millis() + 60_000, &note(3)),
        entry(0, b"poison"),
        entry(0, &note(4)),
    ];
    raw.publish_as(&queues.calls, &body.concat(), batch()).await;
    raw.publish(&queues.calls, &note(5)).await;
    server.probe.notes_reached(4).await;
    assert_eq!(*server.probe.notes.lock().unwrap(), [1, 3, 4, 5]);
}

#[tokio::test]
async fn a_return_expires_with_its_own_call_of_a_batch() {
    let queues = Queues::at(Node::shared().port());
    let _server = queues.serve("reader").await;
    let raw = Raw::connect(queues.port).await;
    let replies = format!("{}_raw", queues.replies);
    let options = QueueDeclareOptions::default();
    raw.declare(&replies, options).await.unwrap();
    let mut returns = raw.read(&replies).await;
    let echo = |sequence| {
        let call = Message::call(sequence, 0, string("hi"));
        call.with_extra(&[("__mq_return__", &replies)]).bytes()
    };
    let body = [entry(0, &echo(1)), entry(unix_millis() + 60_000, &echo(2))];
    raw.publish_as(&queues.calls, &body.concat(), batch()).await;
    for (sequence, expires) in [(1, false), (2, true)] {
        let delivery = returns.next().await;
        assert_eq!(Message::parse(&delivery.data).sequence, sequence);
        let expiration = delivery.properties.expiration().as_ref();
        let left = expiration.map(|text| text.as_str().parse::<u64>().unwrap());
        assert_eq!(left.is_some(), expires);
        assert!(left.is_none_or(|left| (50_000..=60_000).contains(&left)));
    }
}

#[tokio::test]
async fn a_malformed_batch_affects_no_other_message() {
    let queues = Queues::at(Node::shared().port());
    let server = queues.serve("reader").await;
    let client = queues.open("writer").await;
    let proxy = queues.proxy(&client).await;
    let raw = Raw::connect(queues.port).await;
    let whole = entry(0, &note(1));
    let longer = {
        let mut body = entry(0, &note(2));
        body[11] += 1;
        body
    };
    let endless = [&0_u64.to_be_bytes()[..], &u32::MAX.to_be_bytes()].concat();
    for body in [
        Vec::new(),
        whole[..whole.len() - 1].to_vec(),
        [whole.clone(), vec![0; 5]].concat(),
        longer,
        endless,
        vec![0; 12 * 1_000_000],
        // A batch within a batch is an undecodable message.
        entry(0, &whole),
    ] {
        raw.publish_as(&queues.calls, &body, batch()).await;
        works(&proxy).await;
    }
    assert!(server.probe.notes.lock().unwrap().is_empty());
    assert!(server.communicator.shutdown(Duration::from_secs(10)).await);
    drop(server);
    raw.read(&queues.calls).await.nothing_comes().await;
}

#[tokio::test]
async fn a_batch_is_acknowledged_when_all_of_it_is_executed() {
    let queues = Queues::at(Node::shared().port());
    let first = record(&queues).await;
    let raw = Raw::connect(queues.port).await;
    let on_recorder = |operation: &tce_runtime::wire::Operation, number| {
        let call = Message {
            ifidx: 9,
            calltype: 0x21,
            ..Message::call(0, operation.opidx(), int(number))
        };
        entry(0, &call.bytes())
    };
    let body = [on_recorder(&RECORD, 1), on_recorder(&HANG, 2)].concat();
    raw.publish_as(&queues.calls, &body, batch()).await;
    assert_eq!(first.records.reached(2).await, [(1, false), (2, false)]);
    assert!(!first.communicator.shutdown(Duration::ZERO).await);
    let second = record(&queues).await;
    assert_eq!(second.records.reached(2).await, [(1, true), (2, true)]);
}
