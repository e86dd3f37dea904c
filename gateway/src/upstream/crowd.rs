//! The messages that wait for a backend that takes no more for now.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use super::Backend;

/// How long there may be no room before nobody waits for it any more: long
/// enough for what comes at once, and no time for a caller that is told
/// (`spec/gateway.md`, "What the gateway does with a message", 1).
const ROOM_TIME: Duration = Duration::from_millis(200);

/// Those that found no room. They go on in the order in which they came, and
/// before any that comes after them. One at a time looks for room: however many
/// they are, a message that leaves wakes one of them.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    size: AtomicUsize,
    turn: Mutex<()>,
    /// Whether there was no room for too long, and has been none since then.
    is_stuck: AtomicBool,
}

impl Crowd {
    pub(super) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Waits for room, unless that is in vain; whether there is some.
    async fn capacity(&self, room: impl Future<Output = ()>) -> bool {
        let has_room = match self.is_stuck.load(Ordering::Relaxed) {
            true => room.now_or_never().is_some(),
            false => timeout(ROOM_TIME, room).await.is_ok(),
        };
        self.is_stuck.store(!has_room, Ordering::Relaxed);
        has_room
    }

    /// The backend has taken a message.
    pub(super) fn moves(&self) {
        if self.is_stuck.load(Ordering::Relaxed) {
            self.is_stuck.store(false, Ordering::Relaxed);
        }
    }
}

/// A message's place among those that wait, until it is dropped.
pub(crate) struct Place(Arc<Backend>);

impl Place {
    pub(super) fn of(backend: Arc<Backend>) -> Self {
        backend.crowd.size.fetch_add(1, Ordering::Relaxed);
        Self(backend)
    }

    /// Waits for all that came before, and then for room. What is returned is
    /// kept until the message has gone on; it is nothing where the backend
    /// takes nothing.
    pub(crate) async fn turn(&self, session: u64) -> Option<MutexGuard<'_, ()>> {
        let crowd = &self.0.crowd;
        let turn = crowd.turn.lock().await;
        crowd
            .capacity(self.0.capacity(session))
            .await
            .then_some(turn)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.crowd.size.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_what_is_stuck_until_it_moves() {
        let crowd = Crowd::default();
        let waits = async || {
            let began = Instant::now();
            assert!(!crowd.capacity(pending()).await);
            began.elapsed() >= ROOM_TIME
        };
        assert!(waits().await);
        assert!(!waits().await);
        crowd.moves();
        assert!(waits().await);
        assert!(!waits().await);
        assert!(crowd.capacity(ready(())).await);
        assert!(waits().await);
    }
}
