//! The bytes of messages in queues, and legacy programs at the other end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::{message::Delivery, options::QueueDeclareOptions};
use tce_runtime::Proxy;
use tce_test_rabbitmq::Node;

use crate::{
    common::{
        probe::{ECHO, NOTE},
        raw::{Message, int, string},
        watching::within,
    },
    queues::Queues,
    raw::Raw,
};

fn millis(delivery: &Delivery) -> Option<u64> {
    let text = delivery.properties.expiration().as_ref()?;
    Some(text.as_str().parse().expect("a number"))
}

/// Asserts that a message has no properties except mode, expiration and, if the
/// broker confirms it, the number that identifies it when it is returned.
fn assert_bare(delivery: &Delivery, is_confirmed: bool) {
    let properties = &delivery.properties;
    assert!(properties.content_type().is_none());
    assert!(properties.headers().is_none());
    assert!(properties.reply_to().is_none());
    assert!(properties.correlation_id().is_none());
    let number = properties.message_id().as_ref();
    let number = number.map(|text| text.as_str().parse::<u64>().expect("a number"));
    assert_eq!(number.is_some(), is_confirmed);
}

#[tokio::test]
async fn a_twoway_call_expires_with_its_deadline_and_a_legacy_program_answers_it() {
    let queues = Queues::at(Node::shared().port());
    let client = queues.open("client").await;
    let raw = Raw::connect(queues.port).await;
    let mut calls = raw.read(&queues.calls).await;
    let proxy = queues.proxy(&client).await;
    let hasty = proxy.with_timeout(Duration::from_secs(5));
    let pending = hasty
        .with_extra([("name", "scott.bo")])
        .call::<_, String>(&ECHO, ("hello",));

    let delivery = calls.next().await;
    assert_eq!(*delivery.properties.delivery_mode(), Some(2));
    let left = millis(&delivery).expect("an expiration");
    assert!((3_000..=5_000).contains(&left), "{left}");
    assert_bare(&delivery, true);
    let came = Message::parse(&delivery.data);
    let mut extra = came.extra.iter();
    let (_, deadline) = extra.find(|(key, _)| key == "__deadline__").unwrap();
    let until = UNIX_EPOCH + Duration::from_millis(deadline.parse().unwrap());
    let until_deadline = until.duration_since(SystemTime::now()).unwrap();
    assert!(
        until_deadline > Duration::from_secs(3),
        "{until_deadline:?}"
    );
    assert!(
        until_deadline <= Duration::from_secs(5),
        "{until_deadline:?}"
    );
    let expected = Message::call(came.sequence, 0, string("hello")).with_extra(&[
        ("name", "scott.bo"),
        ("__deadline__", deadline),
        ("__mq_return__", &queues.replies),
    ]);
    assert_eq!(delivery.data, expected.bytes());

    let answer = Message::returning(came.sequence, 0, string("HELLO"));
    raw.publish(&queues.replies, &answer.bytes()).await;
    assert_eq!(within(pending).await.unwrap(), "HELLO");
}

#[tokio::test]
async fn a_oneway_call_never_expires() {
    let queues = Queues::at(Node::shared().port());
    let client = queues.open("client").await;
    let proxy = queues.proxy(&client).await;
    within(proxy.oneway(&NOTE, (7,))).await.unwrap();
    // The call has waited for the confirmation of the broker.
    let raw = Raw::connect(queues.port).await;
    let delivery = raw.get(&queues.calls).await;
    assert_eq!(*delivery.properties.delivery_mode(), Some(2));
    assert_eq!(millis(&delivery), None);
    assert_bare(&delivery, true);
    let expected = Message {
        calltype: 0x21,
        ..Message::call(0, 5, int(7))
    };
    let expected = expected.with_extra(&[("__mq_return__", &queues.replies)]);
    assert_eq!(delivery.data, expected.bytes());
}

#[tokio::test]
async fn messages_to_transient_addresses_are_transient() {
    let queues = Queues {
        is_durable: false,
        ..Queues::at(Node::shared().port())
    };
    let client = queues.open("client").await;
    let raw = Raw::connect(queues.port).await;
    let mut calls = raw.read(&queues.calls).await;
    let proxy = queues.proxy(&client).await;
    within(proxy.oneway(&NOTE, (7,))).await.unwrap();
    let delivery = calls.next().await;
    assert_eq!(*delivery.properties.delivery_mode(), Some(1));
}

#[tokio::test]
async fn a_linger_time_is_absolute_and_in_whole_seconds() {
    let queues = Queues::at(Node::shared().port());
    let client = queues.open("client").await;
    let raw = Raw::connect(queues.port).await;
    let mut calls = raw.read(&queues.calls).await;
    let proxy: Proxy = queues.proxy(&client).await;
    let lingering = proxy.with_linger(Duration::from_millis(9_500));
    within(lingering.oneway(&NOTE, (7,))).await.unwrap();
    let message = calls.message().await;
    let until: u64 = message.extra("__linger_time__").unwrap().parse().unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let left = until.saturating_sub(now.as_secs());
    assert!((8..=11).contains(&left), "{left}");
}

/// Publishes a CALL as a legacy program does, and reads its RETURN from a queue
/// that is not configured.
async fn answer_to(call: &Message, replies: &str) -> Message {
    let queues = Queues::at(Node::shared().port());
    let _server = queues.serve("reader").await;
    let raw = Raw::connect(queues.port).await;
    raw.declare(replies, QueueDeclareOptions::default())
        .await
        .unwrap();
    let mut returns = raw.read(replies).await;
    raw.publish(&queues.calls, &call.bytes()).await;
    let delivery = returns.next().await;
    assert_bare(&delivery, false);
    Message::parse(&delivery.data)
}

#[tokio::test]
async fn a_return_goes_to_the_queue_that_its_call_names() {
    let call = Message::call(0xFFFF_FFFE, 0, string("hi"))
        .with_extra(&[("__mq_return__", "legacy_1"), ("name", "scott.bo")]);
    let returned = answer_to(&call, "legacy_1").await;
    let expected = Message {
        ifidx: 2,
        ..Message::returning(0xFFFF_FFFE, 0, string("hi"))
    };
    assert_eq!(returned, expected, "a RETURN repeats no extra");
}

#[tokio::test]
async fn a_return_to_a_gateway_repeats_call_id_and_extra() {
    let extra = [("__mq_return__", "legacy_2"), ("__user_id__", "A1001")];
    let call = Message {
        call_id: 0x8001,
        ..Message::call(0, 0, string("hi"))
    };
    let returned = answer_to(&call.with_extra(&extra), "legacy_2").await;
    let expected = Message {
        ifidx: 2,
        call_id: 0x8001,
        ..Message::returning(0, 0, string("hi"))
    };
    assert_eq!(returned, expected.with_extra(&extra));
}

#[tokio::test]
async fn an_error_goes_to_the_queue_that_its_call_names() {
    let extra = [("__mq_return__", "legacy_3"), ("__user_id__", "A1001")];
    let call = Message {
        call_id: 0x8001,
        ..Message::call(3, 99, Vec::new())
    };
    let returned = answer_to(&call.with_extra(&extra), "legacy_3").await;
    assert_eq!((returned.errcode, returned.call_id), (4, 0x8001));
    assert_eq!((returned.sequence, returned.opidx), (3, 99));
    assert_eq!(returned.extra("__user_id__"), Some("A1001"));
    assert!(returned.extra("__error__").is_some());
}

#[tokio::test]
async fn a_return_expires_with_the_call_that_it_answers() {
    let queues = Queues::at(Node::shared().port());
    let _server = queues.serve("reader").await;
    let raw = Raw::connect(queues.port).await;
    let options = QueueDeclareOptions::default();
    raw.declare("legacy_4", options).await.unwrap();
    let mut returns = raw.read("legacy_4").await;
    let call = Message::call(1, 0, string("hi")).with_extra(&[("__mq_return__", "legacy_4")]);
    let expiring = lapin::BasicProperties::default().with_expiration("5000".into());
    raw.publish_as(&queues.calls, &call.bytes(), expiring).await;
    let left = millis(&returns.next().await).expect("an expiration");
    assert!((1..=5_000).contains(&left), "{left}");
    // The RETURN of a call without a deadline does not expire.
    raw.publish(&queues.calls, &call.bytes()).await;
    assert_eq!(millis(&returns.next().await), None);
}
