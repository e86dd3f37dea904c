//! Waiting for a condition that somebody else makes true.

use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Where "never" is kept, for clocks that can't tell of it.
const AN_AGE: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The instant that is `time` after `start`. A program may say
/// [`Duration::MAX`] for "without end".
pub(crate) fn after(start: Instant, time: Duration) -> Instant {
    start.checked_add(time).unwrap_or_else(|| start + AN_AGE)
}

/// Waits until `is_done`; looked at now, and whenever `changed` tells its
/// waiters.
pub(super) async fn wait_until(changed: &Notify, is_done: impl Fn() -> bool) {
    let mut notified = std::pin::pin!(changed.notified());
    loop {
        // Registered before the look, so that no notice is missed.
        notified.as_mut().enable();
        if is_done() {
            return;
        }
        notified.as_mut().await;
        notified.set(changed.notified());
    }
}
