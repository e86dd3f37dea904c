//! Counting what is in flight, and waiting for a condition.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Stands for "never" where a clock can't represent it.
const FAR_FUTURE: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Counts calls, tasks or messages in flight. Clones share the count.
#[derive(Debug, Default, Clone)]
pub(crate) struct InFlightCounter(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    running: AtomicUsize,
    ended: Notify,
}

/// One counted call, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlightGuard(Arc<Count>);

impl InFlightCounter {
    pub(crate) fn begin(&self) -> InFlightGuard {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        InFlightGuard(Arc::clone(&self.0))
    }

    pub(crate) fn count(&self) -> usize {
        // Pairs with the release of the drop: what an ended call wrote is visible.
        self.0.running.load(Ordering::Acquire)
    }

    /// Waits until fewer than `limit` are in flight.
    pub(crate) async fn fewer_than(&self, limit: usize) {
        while self.count() >= limit {
            self.0.ended.notified().await;
        }
    }
}

impl InFlightGuard {
    /// Whether nothing else is in flight.
    pub(crate) fn is_last(&self) -> bool {
        self.0.running.load(Ordering::Relaxed) == 1
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Release);
        // A permit is stored for a task that has read the count and does not
        // wait yet.
        self.0.ended.notify_one();
    }
}

/// The instant `time` after `start`, also for [`Duration::MAX`] ("no limit").
pub(crate) fn after(start: Instant, time: Duration) -> Instant {
    start
        .checked_add(time)
        .unwrap_or_else(|| start + FAR_FUTURE)
}

/// Waits until `is_done` returns true; checked now and after each
/// `changed.notify_waiters()`.
pub(crate) async fn wait_until(changed: &Notify, is_done: impl Fn() -> bool) {
    let mut notified = std::pin::pin!(changed.notified());
    loop {
        // Registered before the check, so that no notification is missed.
        notified.as_mut().enable();
        if is_done() {
            return;
        }
        notified.as_mut().await;
        notified.set(changed.notified());
    }
}
