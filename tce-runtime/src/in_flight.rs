//! The calls of a peer that are under way.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// Counts the servants' tasks of one connection.
#[derive(Debug, Default, Clone)]
pub(crate) struct InFlightCounter(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    running: AtomicUsize,
    ended: Notify,
}

/// One call that is under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlightGuard(Arc<Count>);

impl InFlightCounter {
    pub(crate) fn begin(&self) -> InFlightGuard {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        InFlightGuard(Arc::clone(&self.0))
    }

    pub(crate) fn count(&self) -> usize {
        // Whoever finds a call ended also finds what it left behind.
        self.0.running.load(Ordering::Acquire)
    }

    /// Waits until fewer than `limit` are under way.
    pub(crate) async fn fewer_than(&self, limit: usize) {
        while self.count() >= limit {
            self.0.ended.notified().await;
        }
    }
}

impl InFlightGuard {
    /// Whether no other call of this connection is under way.
    pub(crate) fn is_last(&self) -> bool {
        self.0.running.load(Ordering::Relaxed) == 1
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Release);
        // A permit is kept for a reader that has looked and not yet begun to
        // wait.
        self.0.ended.notify_one();
    }
}
