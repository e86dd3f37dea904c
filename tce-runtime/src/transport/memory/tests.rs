//! That a message is acknowledged once or delivered again.

use std::collections::BTreeSet;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::config::MqConfig;

const PREFETCH: u16 = 3;

fn endpoint(address: &str) -> MqEndpoint {
    let text = format!(
        "common_defs:
  endpoints:
    - {{name: q, host: h, port: 1, address: \"{address}\", prefetch: {PREFETCH}}}
p:
  endpoints:
    - {{name: q, af_mode: AF_READ|AF_WRITE}}
"
    );
    let config = MqConfig::parse(&text, "config.yml", "p").expect("it is right");
    config.endpoints.into_iter().next().expect("there is one")
}

fn queue() -> MqEndpoint {
    endpoint("q;{create:always,node:{type:queue}}")
}

fn publication(number: u8, expires_in: Option<Duration>) -> Publication {
    Publication {
        is_mandatory: false,
        body: vec![number],
        queue: None,
        is_persistent: true,
        expires_in,
        is_batch: false,
        user_id: None,
        deliveries: 0,
    }
}

/// The next delivery, if one is ready.
fn now(consumer: &mut MemoryConsumer) -> Option<Delivery> {
    consumer.next().now_or_never().flatten()
}

#[derive(Debug, Clone)]
enum MemoryStep {
    Publish,
    Take(usize),
    Acknowledge(usize),
    Requeue(usize),
    /// Drops a consumer, and opens another.
    Drop(usize),
}

fn step() -> impl Strategy<Value = MemoryStep> {
    prop_oneof![
        Just(MemoryStep::Publish),
        (0..2_usize).prop_map(MemoryStep::Take),
        (0..2_usize).prop_map(MemoryStep::Acknowledge),
        (0..2_usize).prop_map(MemoryStep::Requeue),
        (0..2_usize).prop_map(MemoryStep::Drop),
    ]
}

proptest! {
    #[test]
    fn every_message_is_acknowledged_once_or_still_queued(
        steps in prop::collection::vec(step(), 0..100),
    ) {
        let (broker, endpoint) = (MemoryBroker::new(), queue());
        let open = || broker.consumer(&endpoint, ConsumeMode::Shared).expect("the queue exists");
        let publisher = broker.publisher(&endpoint);
        let mut consumers = [open(), open()];
        let mut held: [Vec<(u8, DeliveryTag)>; 2] = Default::default();
        let (mut published, mut taken, mut done) = (0, BTreeSet::new(), BTreeSet::new());
        let mut ready = 0_usize;
        for step in steps {
            match step {
                MemoryStep::Publish => {
                    publisher.publish(&publication(published, None)).expect("the queue is not full");
                    published += 1;
                    ready += 1;
                }
                MemoryStep::Take(consumer) => {
                    let may = held[consumer].len() < usize::from(PREFETCH) && ready > 0;
                    let delivery = now(&mut consumers[consumer]);
                    prop_assert_eq!(delivery.is_some(), may);
                    if let Some(Delivery { body, is_redelivered, tag, .. }) = delivery {
                        prop_assert_eq!(is_redelivered, !taken.insert(body[0]));
                        held[consumer].push((body[0], tag));
                        ready -= 1;
                    }
                }
                MemoryStep::Acknowledge(consumer) => {
                    if let Some((number, tag)) = held[consumer].pop() {
                        consumers[consumer].tell(&[Settlement::Acknowledge(tag)]);
                        prop_assert!(done.insert(number));
                    }
                }
                MemoryStep::Requeue(consumer) => {
                    if let Some((_, tag)) = held[consumer].pop() {
                        consumers[consumer].tell(&[Settlement::Requeue(tag)]);
                        ready += 1;
                    }
                }
                MemoryStep::Drop(consumer) => {
                    consumers[consumer] = open();
                    ready += held[consumer].drain(..).count();
                }
            }
        }
        drop(consumers);
        let mut last = open();
        while let Some(Delivery { body, tag, .. }) = now(&mut last) {
            last.tell(&[Settlement::Acknowledge(tag)]);
            prop_assert!(done.insert(body[0]));
        }
        prop_assert!(done.into_iter().eq(0..published));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_consumer_continues_when_a_delivery_is_settled() {
    let (broker, endpoint) = (MemoryBroker::new(), queue());
    let publisher = broker.publisher(&endpoint);
    let mut consumer = broker.consumer(&endpoint, ConsumeMode::Shared).unwrap();
    for number in 0..=3 {
        publisher.publish(&publication(number, None)).unwrap();
    }
    let first = consumer.next().await.unwrap();
    let _held = [consumer.next().await, consumer.next().await];
    assert!(now(&mut consumer).is_none());
    consumer.tell(&[Settlement::Acknowledge(first.tag)]);
    assert_eq!(now(&mut consumer).unwrap().body, [3]);
}

#[test]
fn expired_messages_are_not_delivered() {
    let (broker, endpoint) = (MemoryBroker::new(), queue());
    let publisher = broker.publisher(&endpoint);
    let mut consumer = broker.consumer(&endpoint, ConsumeMode::Shared).unwrap();
    publisher
        .publish(&publication(1, Some(Duration::ZERO)))
        .unwrap();
    publisher
        .publish(&publication(2, Some(Duration::from_secs(60))))
        .unwrap();
    let delivery = now(&mut consumer).unwrap();
    assert_eq!(delivery.body, [2]);
    assert!(delivery.expires_in.unwrap() <= Duration::from_secs(60));
}

#[test]
fn a_node_that_was_not_declared_is_an_error() {
    let broker = MemoryBroker::new();
    let queue = endpoint("q;{node:{type:queue}}");
    let topic = endpoint("t;{node:{type:topic}}");
    for endpoint in [&queue, &topic] {
        let error = broker.consumer(endpoint, ConsumeMode::Shared).unwrap_err();
        let name = format!("`{}`", endpoint.address.name);
        assert!(error.to_string().contains(&name), "{error}");
    }
    let unroutable = broker.publisher(&queue).publish(&publication(1, None));
    assert!(matches!(unroutable, Err(PublishError::Unroutable(name)) if name == "q"));
    let refused = broker.publisher(&topic).publish(&publication(1, None));
    assert!(matches!(refused, Err(PublishError::Refused(text)) if text.contains("`t`")));
}

#[test]
fn an_exclusive_queue_ends_with_its_consumer() {
    let (broker, endpoint) = (MemoryBroker::new(), queue());
    let consumer = broker.consumer(&endpoint, ConsumeMode::Exclusive).unwrap();
    assert_eq!(broker.0.lock().queues.len(), 1);
    drop(consumer);
    assert!(broker.0.lock().queues.is_empty());
}

#[test]
fn patterns_match_subjects_by_words() {
    for (pattern, subject, expected) in [
        ("#", "", true),
        ("#", "a.b", true),
        ("*", "", false),
        ("*", "a", true),
        ("*", "a.b", false),
        ("a.*", "a.b", true),
        ("a.#", "a", true),
        ("a.#", "a.b.c", true),
        ("a.#.d", "a.b.c.d", true),
        ("a.#.d", "a.b.c", false),
        ("a", "a", true),
        ("a", "ab", false),
        ("", "", true),
        ("", "a", false),
    ] {
        assert_eq!(is_match(pattern, subject), expected, "{pattern} {subject}");
    }
}
