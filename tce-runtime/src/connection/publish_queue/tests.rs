//! The queue against a model: every byte is counted once, every waiter woken.

use std::{collections::VecDeque, time::Duration};

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 100;

fn message(number: u32, size: usize, completion: Completion) -> OutgoingMessage {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(size, 0);
    OutgoingMessage {
        is_mandatory: false,
        body,
        queue: None,
        expires_at: None,
        completion,
    }
}

fn number(message: &OutgoingMessage) -> u32 {
    u32::from_be_bytes(
        *message
            .body
            .first_chunk()
            .expect("the body begins with its number"),
    )
}

#[derive(Debug, Clone)]
enum QueueStep {
    Call(usize),
    Oneway(usize),
    Return(usize),
    /// Takes all, keeps this many in flight and puts the others back.
    Take(usize),
    /// The broker has this many of those in flight.
    Settle(usize),
    Away,
    Up,
}

fn step() -> impl Strategy<Value = QueueStep> {
    prop_oneof![
        (4..60_usize).prop_map(QueueStep::Call),
        (4..60_usize).prop_map(QueueStep::Oneway),
        (4..60_usize).prop_map(QueueStep::Return),
        (0..5_usize).prop_map(QueueStep::Take),
        (0..5_usize).prop_map(QueueStep::Settle),
        Just(QueueStep::Away),
        Just(QueueStep::Up),
    ]
}

/// What a publish queue should hold: number, size, and whether it is a twoway call.
#[derive(Debug, Default)]
struct QueueModel {
    waiting: VecDeque<(u32, usize, bool)>,
    in_flight: VecDeque<usize>,
    is_away: bool,
    next: u32,
}

impl QueueModel {
    fn bytes(&self) -> usize {
        let waiting = self.waiting.iter().map(|(_, size, _)| size);
        waiting.chain(&self.in_flight).sum()
    }

    fn push(&mut self, publish_queue: &PublishQueue, size: usize, is_call: bool) {
        self.next += 1;
        let completion = if is_call {
            Completion::Call(self.next)
        } else {
            Completion::Unconfirmed
        };
        let pushed = publish_queue.push(message(self.next, size, completion));
        let expected = if is_call && self.is_away {
            Err(PushError::Disconnected)
        } else if self.bytes() >= LIMIT {
            Err(PushError::Full)
        } else {
            self.waiting.push_back((self.next, size, is_call));
            Ok(())
        };
        assert_eq!(format!("{pushed:?}"), format!("{expected:?}"));
    }

    fn take(&mut self, publish_queue: &PublishQueue, keep: usize) {
        let Some(mut taken) = publish_queue.take().now_or_never() else {
            return assert!(self.waiting.is_empty());
        };
        let numbers: Vec<_> = taken.iter().map(number).collect();
        let expected: Vec<_> = self.waiting.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers, expected);
        let keep = keep.min(taken.len());
        publish_queue.put_back(taken.split_off(keep));
        let kept = self.waiting.drain(..keep);
        self.in_flight.extend(kept.map(|(_, size, _)| size));
    }

    fn settle(&mut self, publish_queue: &PublishQueue, count: usize) {
        let count = count.min(self.in_flight.len());
        self.in_flight
            .drain(..count)
            .for_each(|size| publish_queue.settled(size));
    }

    fn away(&mut self, publish_queue: &PublishQueue) {
        self.is_away = true;
        let calls = self.waiting.iter().filter(|(.., is_call)| *is_call);
        let expected: Vec<_> = calls.map(|(number, ..)| *number).collect();
        let failed =
            publish_queue
                .set_reconnecting()
                .into_iter()
                .map(|completion| match completion {
                    Completion::Call(sequence) => sequence,
                    other => panic!("{other:?} is not failed"),
                });
        assert_eq!(failed.collect::<Vec<_>>(), expected);
        self.waiting.retain(|(.., is_call)| !is_call);
    }
}

proptest! {
    #[test]
    fn messages_leave_in_order_and_bytes_are_counted_once(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let publish_queue = PublishQueue::new(LIMIT);
        let mut model = QueueModel::default();
        for step in steps {
            match step {
                QueueStep::Call(size) => model.push(&publish_queue, size, true),
                QueueStep::Oneway(size) => model.push(&publish_queue, size, false),
                QueueStep::Return(size) => {
                    model.next += 1;
                    let message = message(model.next, size, Completion::Unconfirmed);
                    let fits = model.bytes() < LIMIT * RETURNS_FACTOR;
                    prop_assert_eq!(publish_queue.push_return(message).is_ok(), fits);
                    if fits {
                        model.waiting.push_back((model.next, size, false));
                    }
                }
                QueueStep::Take(keep) => model.take(&publish_queue, keep),
                QueueStep::Settle(count) => model.settle(&publish_queue, count),
                QueueStep::Away => model.away(&publish_queue),
                QueueStep::Up => {
                    model.is_away = false;
                    publish_queue.set_connected();
                }
            }
            prop_assert_eq!(publish_queue.state.lock().bytes, model.bytes());
            prop_assert_eq!(publish_queue.is_empty(), model.bytes() == 0);
            let has_room = publish_queue.capacity().now_or_never().is_some();
            prop_assert_eq!(has_room, model.bytes() < LIMIT);
        }
    }
}

/// Checks that `waiting` ends after `then`, and not before.
async fn ends_after(waiting: impl Future<Output = ()>, then: impl FnOnce()) {
    let mut waiting = std::pin::pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none(), "it waits");
    then();
    let ended = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    assert!(ended.is_ok(), "nobody woke it");
}

fn full() -> PublishQueue {
    let publish_queue = PublishQueue::new(LIMIT);
    let pushed = publish_queue.push(message(1, LIMIT, Completion::Call(1)));
    assert!(pushed.is_ok());
    publish_queue
}

#[tokio::test]
async fn waiting_for_capacity_ends_when_there_is_some() {
    let publish_queue = full();
    ends_after(publish_queue.capacity(), || publish_queue.settled(LIMIT)).await;
    let publish_queue = full();
    ends_after(publish_queue.capacity(), || {
        drop(publish_queue.set_reconnecting());
    })
    .await;
    let publish_queue = full();
    ends_after(publish_queue.capacity(), || publish_queue.close()).await;
    let publish_queue = full();
    ends_after(publish_queue.drained(), || publish_queue.close()).await;
}

#[tokio::test]
async fn the_publisher_is_woken_by_a_message() {
    let publish_queue = PublishQueue::new(LIMIT);
    let taking = publish_queue.take().map(|taken| assert_eq!(taken.len(), 1));
    ends_after(taking, || {
        let pushed = publish_queue.push(message(1, 4, Completion::Unconfirmed));
        assert!(pushed.is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_closed_queue_refuses_messages() {
    let publish_queue = full();
    let (call, confirmation) = ConfirmedCall::new();
    let confirmed = message(2, 4, Completion::Confirmed(call));
    assert!(publish_queue.push_return(confirmed).is_ok());
    publish_queue.close();
    assert!(
        confirmation.result.await.is_err(),
        "its caller waits no longer"
    );
    for completion in [Completion::Call(3), Completion::Unconfirmed] {
        let pushed = publish_queue.push(message(3, 4, completion));
        assert!(matches!(pushed, Err(PushError::Disconnected)));
    }
    assert_eq!(
        publish_queue.unavailable().code(),
        ErrorCode::ConnectionLost
    );
    assert!(publish_queue.is_empty());
}
