//! What a broker carries: publications, deliveries, and their acknowledgement.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep_until};

use crate::{
    advice::{NO_QUEUE, NO_READER},
    in_flight::{InFlightCounter, InFlightGuard, after, now},
};

/// How long an acknowledgement waits for others. Each one that leaves alone
/// costs the consumer, the I/O thread and the broker about a twentieth of a call.
const GATHER_TIME: Duration = Duration::from_millis(1);
/// The number of acknowledgements that leaves without further delay.
const GATHERED: usize = 16;

/// A message for a queue or topic.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    /// One marshalled message (`spec/wire.md`, section 2, without a frame
    /// header), or several as a [`batch`](super::batch).
    pub(crate) body: Vec<u8>,
    /// The queue, if it differs from the endpoint's own.
    pub(crate) queue: Option<Arc<str>>,
    /// Whether it survives a restart of the broker.
    pub(crate) is_persistent: bool,
    /// How long it may wait in a queue; the broker drops it afterwards.
    pub(crate) expires_in: Option<Duration>,
    /// Whether the body is a [`batch`](super::batch).
    pub(crate) is_batch: bool,
    /// Whether it fails if no program reads the topic.
    pub(crate) is_mandatory: bool,
    /// How often the message was delivered before, for a copy of a redelivered one.
    #[cfg_attr(
        not(feature = "amqp"),
        allow(dead_code, reason = "the memory broker ends with its readers")
    )]
    pub(crate) deliveries: u32,
    /// The AMQP property `user-id`. The broker refuses the message unless it
    /// names the user of the connection.
    #[cfg_attr(
        not(feature = "amqp"),
        allow(dead_code, reason = "only an AMQP broker checks it")
    )]
    pub(crate) user_id: Option<Arc<str>>,
}

/// A message that a consumer received.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) body: Vec<u8>,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) is_batch: bool,
    /// Whether it may have been delivered before.
    pub(crate) is_redelivered: bool,
    /// The user of the broker who has sent it, if the message names the user.
    pub(crate) user_id: Option<Arc<str>>,
    /// Whether it survives a restart of the broker.
    pub(crate) is_persistent: bool,
    pub(crate) tag: DeliveryTag,
}

/// Identifies a delivery to the consumer that received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeliveryTag {
    /// Which of the consumer's successive channels it came by: the broker
    /// numbers the deliveries of each channel from 1.
    pub(super) channel: u64,
    pub(super) number: u64,
}

/// How a delivery ends. The broker delivers one that never ends to the next
/// consumer of the queue once this process is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Settlement {
    /// All of it was executed, or will never be: the broker forgets it.
    Acknowledge(DeliveryTag),
    /// The broker delivers it to another consumer.
    Requeue(DeliveryTag),
}

/// Why a publication failed.
#[derive(Debug, Clone, thiserror::Error)]
#[cfg_attr(
    not(feature = "amqp"),
    allow(dead_code, reason = "only an AMQP broker blocks, or is lost")
)]
pub(crate) enum PublishError {
    /// The queue does not exist.
    #[error("{NO_QUEUE}{0}` at the broker")]
    Unroutable(String),
    /// No program reads the topic.
    #[error("{NO_READER}{0}` at the broker")]
    NoReader(String),
    /// The broker refuses the publication, for example because the topic does
    /// not exist or the user may not write to it.
    #[error("the broker refused the message: {0}")]
    Refused(String),
    /// The queue is full.
    #[error("the broker's queue takes no more messages")]
    Rejected,
    /// The broker has stopped all publishers, because its memory or disk runs
    /// out. The publication was not sent.
    #[error("the broker accepts no messages at the moment: {0}")]
    Blocked(String),
    /// The connection is lost; the broker may have the publication or not.
    #[error("the connection to the broker was lost: {0}")]
    Lost(String),
}

/// Why a broker can't be reached or used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BrokerError(pub(super) String);

/// How a queue is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsumeMode {
    /// The endpoint's queue, which other processes may read as well.
    Shared,
    /// A queue of this process alone, which ends with it. Its messages need no
    /// acknowledgement.
    Exclusive,
}

/// The settlements of a consumer that the broker has not been told yet.
#[derive(Debug)]
pub(crate) struct AckBatcher {
    ready: Mutex<ReadySettlements>,
    /// The number of settlements that are due without further delay.
    enough: usize,
    changed: Notify,
}

#[derive(Debug, Default)]
struct ReadySettlements {
    settlements: Vec<Settlement>,
    /// When the first of them arrived.
    since: Option<Instant>,
    is_urgent: bool,
}

impl AckBatcher {
    /// For a consumer that gets `prefetch` deliveries ahead of their
    /// settlement; 0 means no limit.
    pub(crate) fn new(prefetch: u16) -> Self {
        // The broker must be able to deliver while settlements gather.
        let enough = match prefetch {
            0 => GATHERED,
            limit => GATHERED.min(usize::from(limit) / 4),
        };
        Self {
            ready: Mutex::default(),
            enough,
            changed: Notify::new(),
        }
    }

    /// All settlements, due or not.
    pub(crate) fn take_ready(&self) -> Vec<Settlement> {
        std::mem::take(&mut *self.ready.lock()).settlements
    }

    /// Waits until a settlement is due; returns all there are.
    pub(crate) async fn take(&self) -> Vec<Settlement> {
        loop {
            let changed = self.changed.notified();
            match self.due_at() {
                Some(at) if at <= now() => return self.take_ready(),
                Some(at) => tokio::select! {
                    () = sleep_until(at.into()) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    fn due_at(&self) -> Option<Instant> {
        let ready = self.ready.lock();
        let since = ready.since?;
        let is_due = ready.is_urgent || ready.settlements.len() >= self.enough;
        Some(if is_due { since } else { since + GATHER_TIME })
    }

    fn push(&self, settlement: Settlement, is_urgent: bool) {
        let mut ready = self.ready.lock();
        ready.settlements.push(settlement);
        ready.is_urgent |= is_urgent;
        let is_first = ready.since.is_none();
        if is_first {
            ready.since = Some(now());
        }
        let is_due_earlier = is_first || ready.is_urgent || ready.settlements.len() >= self.enough;
        drop(ready);
        if is_due_earlier {
            self.changed.notify_one();
        }
    }
}

/// An MQ message until all messages in it are finished.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryTracker(Arc<Unfinished>);

#[derive(Debug)]
struct Unfinished {
    /// The number of messages that are not finished.
    left: AtomicUsize,
    /// Whether a message was not executed, so that all go to another consumer.
    is_requeued: AtomicBool,
    is_redelivered: bool,
    user_id: Option<Arc<str>>,
    /// Whether the settlement must not wait for others: the broker may
    /// confirm a persistent message only when it is settled.
    is_urgent: bool,
    tag: DeliveryTag,
    acks: Arc<AckBatcher>,
}

impl DeliveryTracker {
    /// Tracks a delivery that holds `count` messages.
    pub(crate) fn of(count: usize, delivery: &Delivery, acks: &Arc<AckBatcher>) -> Self {
        Self(Arc::new(Unfinished {
            left: AtomicUsize::new(count),
            is_requeued: AtomicBool::new(false),
            is_redelivered: delivery.is_redelivered,
            user_id: delivery.user_id.clone(),
            is_urgent: delivery.is_persistent,
            tag: delivery.tag,
            acks: Arc::clone(acks),
        }))
    }

    /// The guard of the next message; it is counted in `handling`.
    pub(crate) fn ack_guard(
        &self,
        handling: &InFlightCounter,
        expires_in: Option<Duration>,
    ) -> AckGuard {
        AckGuard {
            tracker: self.clone(),
            _handling: handling.begin(),
            is_redelivered: self.0.is_redelivered,
            expires_at: expires_in.map(|left| after(now(), left)),
        }
    }
}

/// One message of a delivery, until it is finished. If it is dropped unfinished,
/// the broker delivers the whole MQ message again.
#[derive(Debug)]
pub(crate) struct AckGuard {
    tracker: DeliveryTracker,
    _handling: InFlightGuard,
    pub(crate) is_redelivered: bool,
    /// Until when the caller waits for a RETURN, at the latest.
    pub(crate) expires_at: Option<Instant>,
}

impl AckGuard {
    /// The user of the broker who has sent the message, if it names the user.
    pub(crate) fn user_id(&self) -> Option<&Arc<str>> {
        self.tracker.0.user_id.as_ref()
    }

    /// Ends this message; the last one settles the delivery.
    pub(crate) fn finish(self) {
        let unfinished = &self.tracker.0;
        if unfinished.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let settlement = if unfinished.is_requeued.load(Ordering::Acquire) {
            Settlement::Requeue(unfinished.tag)
        } else {
            Settlement::Acknowledge(unfinished.tag)
        };
        unfinished.acks.push(settlement, unfinished.is_urgent);
    }

    /// Ends this message without having executed it: the whole MQ message goes
    /// to another consumer once its other messages are finished.
    pub(crate) fn give_back(self) {
        self.tracker.0.is_requeued.store(true, Ordering::Release);
        self.finish();
    }
}

#[cfg(test)]
mod tests;
