//! Reading within the process.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    MemoryBroker,
    queue::{Queue, Stored},
};
use crate::transport::mq::{Ack, Delivery};

/// An endpoint that is open for reading.
pub(crate) struct MemoryConsumer {
    taken: Arc<Taken>,
    prefetch: usize,
    /// Where the queue ends with this reader.
    own_of: Option<MemoryBroker>,
    is_cancelled: bool,
}

/// What a reader has taken and not acknowledged.
struct Taken {
    queue: Arc<Queue>,
    parcels: Mutex<Parcels>,
    settled: Notify,
}

#[derive(Default)]
struct Parcels {
    last_tag: u64,
    by_tag: BTreeMap<u64, Stored>,
}

impl Taken {
    fn lock(&self) -> MutexGuard<'_, Parcels> {
        self.parcels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a parcel off the list; nothing where its reader has gone.
    fn settle(&self, tag: u64) -> Option<Stored> {
        let stored = self.lock().by_tag.remove(&tag);
        self.settled.notify_one();
        stored
    }
}

impl MemoryConsumer {
    pub(super) fn new(queue: Arc<Queue>, prefetch: u16, own_of: Option<MemoryBroker>) -> Self {
        let taken = Taken {
            queue,
            parcels: Mutex::default(),
            settled: Notify::new(),
        };
        Self {
            taken: Arc::new(taken),
            // As in AMQP, 0 is "without limit".
            prefetch: match prefetch {
                0 => usize::MAX,
                limit => usize::from(limit),
            },
            own_of,
            is_cancelled: false,
        }
    }

    pub(crate) fn cancel(&mut self) {
        self.is_cancelled = true;
    }

    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        if self.is_cancelled {
            return None;
        }
        let taken = &self.taken;
        while taken.lock().by_tag.len() >= self.prefetch {
            taken.settled.notified().await;
        }
        let stored = taken.queue.pop().await;
        let mut parcels = taken.lock();
        parcels.last_tag += 1;
        let tag = parcels.last_tag;
        parcels.by_tag.insert(tag, stored.clone());
        drop(parcels);
        Some(Delivery {
            body: stored.parcel.body.clone(),
            expires_in: stored.expires_at.map(time_left),
            is_batch: stored.parcel.is_batch,
            is_redelivered: stored.is_redelivered,
            ack: Ack::Memory(MemoryAck {
                taken: Arc::clone(taken),
                tag,
            }),
        })
    }
}

fn time_left(at: Instant) -> Duration {
    at.saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        let queue = &self.taken.queue;
        if let Some(broker) = &self.own_of {
            return broker.remove(queue);
        }
        let parcels = std::mem::take(&mut self.taken.lock().by_tag);
        // Back in the order in which they came: the last goes back first.
        for stored in parcels.into_values().rev() {
            queue.put_back(stored);
        }
    }
}

impl fmt::Debug for MemoryConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConsumer").finish_non_exhaustive()
    }
}

/// Tells the broker what became of one delivery.
pub(crate) struct MemoryAck {
    taken: Arc<Taken>,
    tag: u64,
}

impl MemoryAck {
    pub(crate) fn acknowledge(self) {
        self.taken.settle(self.tag);
    }

    pub(crate) fn give_back(self) {
        if let Some(stored) = self.taken.settle(self.tag) {
            self.taken.queue.put_back(stored);
        }
    }
}

impl fmt::Debug for MemoryAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryAck").field(&self.tag).finish()
    }
}
