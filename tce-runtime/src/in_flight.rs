//! Calls in flight: how many there are, waiting until fewer are, the instants by
//! which they must end, and a count of the messages that are dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::Notify;

/// Stands for "never": clocks can't represent an instant that is
/// [`Duration::MAX`] away.
const THIRTY_YEARS: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Counts what one connection or queue has in flight: servants' tasks, or
/// publications.
#[derive(Debug, Default, Clone)]
pub(crate) struct InFlightCounter(Arc<InFlightCount>);

#[derive(Debug, Default)]
struct InFlightCount {
    running: AtomicUsize,
    /// The bytes of their large parameters.
    bytes: AtomicUsize,
    ended: Notify,
}

/// Counts as one in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlightGuard {
    count: Arc<InFlightCount>,
    bytes: usize,
}

impl InFlightCounter {
    pub(crate) fn begin(&self) -> InFlightGuard {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        InFlightGuard {
            count: Arc::clone(&self.0),
            bytes: 0,
        }
    }

    /// The same, for a call whose parameters have this many bytes.
    pub(crate) fn begin_large(&self, bytes: usize) -> InFlightGuard {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut guard = self.begin();
        guard.bytes = bytes;
        guard
    }

    /// The bytes of the large parameters in flight.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) -> usize {
        // Pairs with the release in `drop`: a task that sees a call ended also
        // sees what that call has written.
        self.0.running.load(Ordering::Acquire)
    }

    /// Waits until fewer than `limit` are in flight, as [`InFlightCounter::until`]
    /// does.
    pub(crate) async fn fewer_than(&self, limit: usize) {
        self.until(|counter| counter.count() < limit).await;
    }

    /// Waits until `is_below` is true, which is checked now, when a call ends, and at
    /// [`InFlightCounter::recheck`]. Only one task at a time may wait: the end of a
    /// call wakes one.
    pub(crate) async fn until(&self, is_below: impl Fn(&Self) -> bool) {
        while !is_below(self) {
            self.0.ended.notified().await;
        }
    }
}

impl InFlightCounter {
    /// Lets the waiting task check its condition again.
    pub(crate) fn recheck(&self) {
        self.0.ended.notify_one();
    }
}

impl InFlightGuard {
    /// Whether this is the only one in flight.
    pub(crate) fn is_last(&self) -> bool {
        self.count.running.load(Ordering::Relaxed) == 1
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.count.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        }
        self.count.running.fetch_sub(1, Ordering::Release);
        // `notify_one` stores a permit, so that a task that has read the count
        // and does not wait yet is woken, too.
        self.count.ended.notify_one();
    }
}

/// The present instant by the clock of tokio's timers: a test may pause it
/// (`tokio::time::pause`).
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The instant that is `time` after `start`; 30 years after it where the clock
/// can't represent that, as for [`Duration::MAX`].
pub(crate) fn after(start: Instant, time: Duration) -> Instant {
    start
        .checked_add(time)
        .unwrap_or_else(|| start + THIRTY_YEARS)
}

/// The Unix time in milliseconds.
pub(crate) fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    millis(since)
}

/// The Unix time in milliseconds at `instant`, now at the earliest.
pub(crate) fn unix_millis_at(instant: Instant) -> u64 {
    let left = instant.saturating_duration_since(now());
    unix_millis().saturating_add(millis(left))
}

/// A time in whole milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Counts a message that is dropped.
pub(crate) fn count_dropped(reason: &'static str) {
    metrics::counter!("tce_messages_dropped_total", "reason" => reason).increment(1);
}

/// Waits until `is_done`, which is checked now and whenever `changed` notifies
/// its waiters.
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
