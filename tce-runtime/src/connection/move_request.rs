//! A peer that will end asks its client to continue elsewhere: `goAway` of the built-in
//! interface.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep_until};

use crate::in_flight::{after, now, wait_until};

/// Asks a client to open its next stream, while the present one still works.
#[derive(Debug, Default)]
pub(crate) struct MoveRequest {
    /// When to open it; `None` until the peer of the present stream asks.
    due_at: Mutex<Option<Instant>>,
    asked: Notify,
}

impl MoveRequest {
    /// The peer asks. The first request of a stream counts.
    pub(super) fn ask(&self, delay: Duration) {
        let due_at = after(now(), delay);
        self.due_at.lock().get_or_insert(due_at);
        self.asked.notify_waiters();
    }

    /// Forgets what the peer of an earlier stream has asked.
    pub(crate) fn reset(&self) {
        *self.due_at.lock() = None;
    }

    /// Waits until the peer has asked and its delay has passed.
    pub(crate) async fn due(&self) {
        wait_until(&self.asked, || self.due_at.lock().is_some()).await;
        let due_at = *self.due_at.lock();
        if let Some(due_at) = due_at {
            sleep_until(due_at.into()).await;
        }
    }
}
