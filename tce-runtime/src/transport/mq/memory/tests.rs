//! That a publication is acknowledged once or can be had again.

use std::{collections::BTreeSet, time::Duration};

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::{
    config::MqConfig,
    transport::mq::{Delivery, DeliveryTag, Publication, PublishError, Settlement},
};

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
        body: vec![number],
        queue: None,
        is_persistent: true,
        expires_in,
        is_batch: false,
    }
}

/// The next publication that is there now.
fn now(consumer: &mut MemoryConsumer) -> Option<Delivery> {
    consumer.next().now_or_never().flatten()
}

#[derive(Debug, Clone)]
enum Step {
    Publish,
    Take(usize),
    Acknowledge(usize),
    GiveBack(usize),
    /// A reader dies, and another takes its place.
    Die(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Publish),
        (0..2_usize).prop_map(Step::Take),
        (0..2_usize).prop_map(Step::Acknowledge),
        (0..2_usize).prop_map(Step::GiveBack),
        (0..2_usize).prop_map(Step::Die),
    ]
}

proptest! {
    #[test]
    fn every_parcel_is_acknowledged_once_or_still_there(
        steps in prop::collection::vec(step(), 0..100),
    ) {
        let (broker, endpoint) = (MemoryBroker::new(), queue());
        let open = || broker.consumer(&endpoint, ConsumeMode::Shared).expect("it is there");
        let publisher = broker.publisher(&endpoint);
        let mut readers = [open(), open()];
        let mut held: [Vec<(u8, DeliveryTag)>; 2] = Default::default();
        let (mut published, mut taken, mut done) = (0, BTreeSet::new(), BTreeSet::new());
        let mut ready = 0_usize;
        for step in steps {
            match step {
                Step::Publish => {
                    publisher.publish(&publication(published, None)).expect("there is room");
                    published += 1;
                    ready += 1;
                }
                Step::Take(reader) => {
                    let may = held[reader].len() < usize::from(PREFETCH) && ready > 0;
                    let delivery = now(&mut readers[reader]);
                    prop_assert_eq!(delivery.is_some(), may);
                    if let Some(Delivery { body, is_redelivered, tag, .. }) = delivery {
                        prop_assert_eq!(is_redelivered, !taken.insert(body[0]));
                        held[reader].push((body[0], tag));
                        ready -= 1;
                    }
                }
                Step::Acknowledge(reader) => {
                    if let Some((number, tag)) = held[reader].pop() {
                        readers[reader].tell(&[Settlement::Done(tag)]);
                        prop_assert!(done.insert(number));
                    }
                }
                Step::GiveBack(reader) => {
                    if let Some((_, tag)) = held[reader].pop() {
                        readers[reader].tell(&[Settlement::GivenBack(tag)]);
                        ready += 1;
                    }
                }
                Step::Die(reader) => {
                    readers[reader] = open();
                    ready += held[reader].drain(..).count();
                }
            }
        }
        drop(readers);
        let mut last = open();
        while let Some(Delivery { body, tag, .. }) = now(&mut last) {
            last.tell(&[Settlement::Done(tag)]);
            prop_assert!(done.insert(body[0]));
        }
        prop_assert!(done.into_iter().eq(0..published));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_is_full_goes_on_when_one_is_done() {
    let (broker, endpoint) = (MemoryBroker::new(), queue());
    let publisher = broker.publisher(&endpoint);
    let mut reader = broker.consumer(&endpoint, ConsumeMode::Shared).unwrap();
    for number in 0..=3 {
        publisher.publish(&publication(number, None)).unwrap();
    }
    let first = reader.next().await.unwrap();
    let _held = [reader.next().await, reader.next().await];
    assert!(now(&mut reader).is_none());
    reader.tell(&[Settlement::Done(first.tag)]);
    assert_eq!(now(&mut reader).unwrap().body, [3]);
}

#[test]
fn what_expires_is_gone() {
    let (broker, endpoint) = (MemoryBroker::new(), queue());
    let publisher = broker.publisher(&endpoint);
    let mut reader = broker.consumer(&endpoint, ConsumeMode::Shared).unwrap();
    publisher
        .publish(&publication(1, Some(Duration::ZERO)))
        .unwrap();
    publisher
        .publish(&publication(2, Some(Duration::from_secs(60))))
        .unwrap();
    let delivery = now(&mut reader).unwrap();
    assert_eq!(delivery.body, [2]);
    assert!(delivery.expires_in.unwrap() <= Duration::from_secs(60));
}

#[test]
fn what_nobody_made_is_missed() {
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
fn a_queue_of_ones_own_ends_with_its_reader() {
    let (broker, endpoint) = (MemoryBroker::new(), queue());
    let reader = broker.consumer(&endpoint, ConsumeMode::Exclusive).unwrap();
    assert_eq!(broker.lock().queues.len(), 1);
    drop(reader);
    assert!(broker.lock().queues.is_empty());
}
