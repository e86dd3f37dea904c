//! What is told the broker, and when.

use futures_util::FutureExt;

use super::*;
use crate::{
    config::MqConfig,
    transport::mq::{Broker, ConsumeMode, MemoryBroker, Publication as Published},
};

const PREFETCH: u16 = 64;

/// Deliveries as they come out of a queue.
async fn deliveries(count: usize, is_persistent: bool) -> Vec<Delivery> {
    let text = "common_defs:
  endpoints:
    - {name: q, host: h, port: 1, address: \"q;{create:always,node:{type:queue}}\"}
p:
  endpoints:
    - {name: q, af_mode: AF_READ|AF_WRITE}
";
    let config = MqConfig::parse(text, "config.yml", "p").expect("it is right");
    let endpoint = &config.endpoints[0];
    let broker = Broker::Memory(MemoryBroker::new());
    let publisher = broker.publisher(endpoint).await.expect("it is in memory");
    let reading = broker.consumer(endpoint, ConsumeMode::Shared);
    let mut consumer = reading.await.expect("it is in memory");
    let mut deliveries = Vec::new();
    for _ in 0..count {
        let parcel = Published {
            body: Vec::new(),
            queue: None,
            is_persistent,
            expires_in: None,
            is_batch: false,
        };
        let published = publisher.publish(&parcel).await;
        published.expect("the queue is there");
        deliveries.push(consumer.next().await.expect("it was published"));
    }
    deliveries
}

fn acks(prefetch: u16) -> Arc<AckBatcher> {
    Arc::new(AckBatcher::new(prefetch))
}

/// Does all that a delivery of one message asks for.
fn finish(delivery: &Delivery, acks: &Arc<AckBatcher>) {
    let parcel = DeliveryTracker::of(1, delivery, acks);
    parcel.ack_guard(&InFlightCounter::default(), None).finish();
}

/// How many leave without waiting.
fn leave_now(acks: &AckBatcher) -> Option<usize> {
    acks.take().now_or_never().map(|settled| settled.len())
}

#[tokio::test]
async fn enough_leave_together_at_once() {
    let acks = acks(PREFETCH);
    let deliveries = deliveries(GATHERED, false).await;
    for delivery in &deliveries {
        finish(delivery, &acks);
    }
    let told = acks.take().now_or_never().expect("they are enough");
    let told = told.iter().map(|settled| match settled {
        Settlement::Done(tag) => *tag,
        Settlement::GivenBack(tag) => panic!("{tag:?}"),
    });
    assert!(told.eq(deliveries.iter().map(|delivery| delivery.tag)));
}

#[tokio::test]
async fn a_persistent_one_takes_the_others_along_at_once() {
    let acks = acks(PREFETCH);
    finish(&deliveries(1, false).await[0], &acks);
    finish(&deliveries(1, true).await[0], &acks);
    assert_eq!(leave_now(&acks), Some(2));
}

#[tokio::test]
async fn none_gather_where_the_broker_would_stop_delivering() {
    let acks = acks(3);
    finish(&deliveries(1, false).await[0], &acks);
    assert_eq!(leave_now(&acks), Some(1));
}

#[tokio::test]
async fn few_wait_for_others_a_while() {
    let acks = acks(PREFETCH);
    // What was urgent before says nothing of those that follow.
    finish(&deliveries(1, true).await[0], &acks);
    assert_eq!(leave_now(&acks), Some(1));
    let few = deliveries(2, false).await;
    let start = Instant::now();
    let finishing = async {
        tokio::task::yield_now().await;
        for delivery in &few {
            finish(delivery, &acks);
        }
    };
    let (told, ()) = tokio::join!(acks.take(), finishing);
    assert_eq!(told.len(), 2);
    assert!(start.elapsed() >= GATHER_TIME);
}

#[tokio::test]
async fn a_batch_is_told_once_when_all_of_it_has_ended() {
    for is_given_back in [false, true] {
        let acks = acks(PREFETCH);
        let delivery = &deliveries(1, true).await[0];
        let parcel = DeliveryTracker::of(3, delivery, &acks);
        let mut origins = [(); 3].map(|()| parcel.ack_guard(&InFlightCounter::default(), None));
        origins.reverse();
        let [last, second, first] = origins;
        if is_given_back {
            first.give_back();
        } else {
            first.finish();
        }
        second.finish();
        assert_eq!(leave_now(&acks), None);
        last.finish();
        let told = acks.take_ready();
        let [Settlement::Done(tag) | Settlement::GivenBack(tag)] = told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(tag, delivery.tag);
        let was_given_back = matches!(told[..], [Settlement::GivenBack(_)]);
        assert_eq!(was_given_back, is_given_back);
    }
}
