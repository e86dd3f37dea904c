//! The MQ message that a call came in, until it is acknowledged.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep_until};

use crate::in_flight::{InFlightCounter, InFlightGuard};
use crate::transport::mq::{Delivery, DeliveryTag, Settlement};

/// How long an acknowledgement waits for others. Each one that leaves alone
/// costs a reader, its I/O thread and the broker about a twentieth of a call.
const GATHER_TIME: Duration = Duration::from_millis(1);
/// How many leave together at the latest.
const GATHERED: usize = 16;

/// What is ready to be told the broker, by an endpoint's reader.
#[derive(Debug)]
pub(crate) struct AckBatcher {
    ready: Mutex<Ready>,
    /// How many there are at least before any is due; time makes fewer due.
    enough: usize,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Ready {
    settled: Vec<Settlement>,
    /// When the first of them came.
    since: Option<Instant>,
    is_urgent: bool,
}

impl AckBatcher {
    /// Those of a reader that gets `prefetch` deliveries ahead of them; 0 is
    /// "without limit".
    pub(crate) fn new(prefetch: u16) -> Self {
        // The broker shall go on delivering while they gather.
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

    fn lock(&self) -> MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is ready now, due or not.
    pub(crate) fn take_ready(&self) -> Vec<Settlement> {
        std::mem::take(&mut *self.lock()).settled
    }

    /// What is ready, once it is due.
    pub(crate) async fn take(&self) -> Vec<Settlement> {
        loop {
            let changed = self.changed.notified();
            match self.due_at() {
                Some(at) if at <= Instant::now() => return self.take_ready(),
                Some(at) => tokio::select! {
                    () = sleep_until(at.into()) => {}
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    fn due_at(&self) -> Option<Instant> {
        let ready = self.lock();
        let since = ready.since?;
        let is_due = ready.is_urgent || ready.settled.len() >= self.enough;
        Some(if is_due { since } else { since + GATHER_TIME })
    }

    fn push(&self, settled: Settlement, is_urgent: bool) {
        let mut ready = self.lock();
        ready.settled.push(settled);
        ready.is_urgent |= is_urgent;
        let is_first = ready.since.is_none();
        if is_first {
            ready.since = Some(Instant::now());
        }
        let is_news = is_first || ready.is_urgent || ready.settled.len() >= self.enough;
        drop(ready);
        if is_news {
            self.changed.notify_one();
        }
    }
}

/// An MQ message, as long as something of it is not done.
#[derive(Debug, Clone)]
pub(crate) struct DeliveryTracker(Arc<Undone>);

#[derive(Debug)]
struct Undone {
    /// How many of its messages are not done.
    left: AtomicUsize,
    /// Whether one of them was not executed, and another reader shall.
    is_given_back: AtomicBool,
    is_redelivered: bool,
    /// Whether the broker shall hear at once: it may confirm a persistent
    /// message no earlier than that.
    is_urgent: bool,
    tag: DeliveryTag,
    acks: Arc<AckBatcher>,
}

impl DeliveryTracker {
    /// One with so many messages, each of which has to come to its end.
    pub(crate) fn of(count: usize, delivery: &Delivery, acks: &Arc<AckBatcher>) -> Self {
        Self(Arc::new(Undone {
            left: AtomicUsize::new(count),
            is_given_back: AtomicBool::new(false),
            is_redelivered: delivery.is_redelivered,
            is_urgent: delivery.is_persistent,
            tag: delivery.tag,
            acks: Arc::clone(acks),
        }))
    }

    /// The origin of its next message, counted among those that `handling`
    /// counts.
    pub(crate) fn ack_guard(
        &self,
        handling: &InFlightCounter,
        expires_in: Option<Duration>,
    ) -> AckGuard {
        AckGuard {
            parcel: self.clone(),
            _handling: handling.begin(),
            is_redelivered: self.0.is_redelivered,
            expires_in,
        }
    }
}

/// Where a call came from. Dropped before it is finished, the whole MQ message
/// is delivered again.
#[derive(Debug)]
pub(crate) struct AckGuard {
    parcel: DeliveryTracker,
    _handling: InFlightGuard,
    pub(crate) is_redelivered: bool,
    /// After how long the caller waits for no RETURN any more.
    pub(crate) expires_in: Option<Duration>,
}

impl AckGuard {
    /// This message is done; the last one settles the MQ message.
    pub(crate) fn finish(self) {
        let undone = &self.parcel.0;
        if undone.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let settled = if undone.is_given_back.load(Ordering::Acquire) {
            Settlement::GivenBack(undone.tag)
        } else {
            Settlement::Done(undone.tag)
        };
        undone.acks.push(settled, undone.is_urgent);
    }

    /// This message is not for us; the whole MQ message goes to another reader
    /// once what was begun of it has ended.
    pub(crate) fn give_back(self) {
        self.parcel.0.is_given_back.store(true, Ordering::Release);
        self.finish();
    }
}

#[cfg(test)]
mod tests;
