//! When settlements are due, and what they say.

use futures_util::FutureExt;

use super::*;
use crate::{
    config::MqConfig,
    transport::{broker::Broker, memory::MemoryBroker},
};

const PREFETCH: u16 = 64;

/// Deliveries of a queue within the process.
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
        let publication = Publication {
            body: Vec::new(),
            queue: None,
            is_persistent,
            expires_in: None,
            is_batch: false,
            is_mandatory: false,
            user_id: None,
            deliveries: 0,
        };
        let published = publisher.publish(&publication).await;
        published.expect("the queue is there");
        deliveries.push(consumer.next().await.expect("it was published"));
    }
    deliveries
}

fn acks(prefetch: u16) -> Arc<AckBatcher> {
    Arc::new(AckBatcher::new(prefetch))
}

/// Finishes a delivery of one message.
fn finish(delivery: &Delivery, acks: &Arc<AckBatcher>) {
    let tracker = DeliveryTracker::of(1, delivery, acks);
    tracker
        .ack_guard(&InFlightCounter::default(), None)
        .finish();
}

/// The number of settlements that are due.
fn due(acks: &AckBatcher) -> Option<usize> {
    acks.take()
        .now_or_never()
        .map(|settlements| settlements.len())
}

#[tokio::test]
async fn a_full_batch_is_due_at_once() {
    let acks = acks(PREFETCH);
    let deliveries = deliveries(GATHERED, false).await;
    for delivery in &deliveries {
        finish(delivery, &acks);
    }
    let settled = acks.take().now_or_never().expect("the batch is full");
    let settled = settled.iter().map(|settlement| match settlement {
        Settlement::Acknowledge(tag) => *tag,
        Settlement::Requeue(tag) => panic!("{tag:?}"),
    });
    assert!(settled.eq(deliveries.iter().map(|delivery| delivery.tag)));
}

#[tokio::test]
async fn a_persistent_delivery_makes_the_others_due() {
    let acks = acks(PREFETCH);
    finish(&deliveries(1, false).await[0], &acks);
    finish(&deliveries(1, true).await[0], &acks);
    assert_eq!(due(&acks), Some(2));
}

#[tokio::test]
async fn a_small_prefetch_makes_each_settlement_due() {
    let acks = acks(3);
    finish(&deliveries(1, false).await[0], &acks);
    assert_eq!(due(&acks), Some(1));
}

#[tokio::test]
async fn a_few_settlements_are_due_after_the_gather_time() {
    let acks = acks(PREFETCH);
    // An urgent settlement has no effect on those after it.
    finish(&deliveries(1, true).await[0], &acks);
    assert_eq!(due(&acks), Some(1));
    let few = deliveries(2, false).await;
    let start = Instant::now();
    let finishing = async {
        tokio::task::yield_now().await;
        for delivery in &few {
            finish(delivery, &acks);
        }
    };
    let (settled, ()) = tokio::join!(acks.take(), finishing);
    assert_eq!(settled.len(), 2);
    assert!(start.elapsed() >= GATHER_TIME);
}

#[tokio::test]
async fn a_delivery_is_settled_once_when_all_of_its_messages_are_finished() {
    for is_requeued in [false, true] {
        let acks = acks(PREFETCH);
        let delivery = &deliveries(1, true).await[0];
        let tracker = DeliveryTracker::of(3, delivery, &acks);
        let mut guards = [(); 3].map(|()| tracker.ack_guard(&InFlightCounter::default(), None));
        guards.reverse();
        let [last, second, first] = guards;
        if is_requeued {
            first.give_back();
        } else {
            first.finish();
        }
        second.finish();
        assert_eq!(due(&acks), None);
        last.finish();
        let settled = acks.take_ready();
        let [Settlement::Acknowledge(tag) | Settlement::Requeue(tag)] = settled[..] else {
            panic!("{settled:?}");
        };
        assert_eq!(tag, delivery.tag);
        let was_requeued = matches!(settled[..], [Settlement::Requeue(_)]);
        assert_eq!(was_requeued, is_requeued);
    }
}
