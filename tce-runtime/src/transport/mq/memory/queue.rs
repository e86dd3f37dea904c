//! One queue.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;

use crate::transport::mq::{Publication, PublishError};

/// The bytes that a queue holds at most; past it publications are refused, as by a
/// broker with `x-overflow: reject-publish`.
const MAX_QUEUE_BYTES: usize = 256 << 20;

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Stored>,
    bytes: usize,
}

/// A publication in a queue.
#[derive(Clone)]
pub(super) struct Stored {
    /// Shared: a reader has it, and the broker until that acknowledges it.
    pub(super) publication: Arc<Publication>,
    pub(super) expires_at: Option<Instant>,
    pub(super) is_redelivered: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, stored: Stored) -> Result<(), PublishError> {
        let mut state = self.lock();
        let size = stored.publication.body.len();
        if state.bytes + size > MAX_QUEUE_BYTES {
            return Err(PublishError::Rejected);
        }
        state.bytes += size;
        state.ready.push_back(stored);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Puts back, as the next, what a reader took and has not done.
    pub(super) fn put_back(&self, stored: Stored) {
        let mut state = self.lock();
        state.bytes += stored.publication.body.len();
        state.ready.push_front(Stored {
            is_redelivered: true,
            ..stored
        });
        drop(state);
        self.filled.notify_one();
    }

    /// The next publication; waits for one.
    pub(super) async fn pop(&self) -> Stored {
        loop {
            if let Some(stored) = self.try_pop() {
                return stored;
            }
            self.filled.notified().await;
        }
    }

    fn try_pop(&self) -> Option<Stored> {
        let now = Instant::now();
        let mut state = self.lock();
        while let Some(stored) = state.ready.pop_front() {
            state.bytes -= stored.publication.body.len();
            if stored.expires_at.is_none_or(|at| now < at) {
                let is_more = !state.ready.is_empty();
                drop(state);
                if is_more {
                    // Each notice wakes one reader: the next is for the others.
                    self.filled.notify_one();
                }
                return Some(stored);
            }
        }
        None
    }
}
