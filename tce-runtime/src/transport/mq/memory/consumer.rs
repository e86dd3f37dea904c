//! ConsumeMode within the process.

use std::{
    collections::BTreeMap,
    fmt,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    MemoryBroker,
    queue::{Queue, Stored},
};
use crate::transport::mq::{Delivery, DeliveryTag, Settlement};

/// An endpoint that is open for reading.
pub(crate) struct MemoryConsumer {
    queue: Arc<Queue>,
    /// What is here and not settled.
    taken: BTreeMap<u64, Stored>,
    last_number: u64,
    prefetch: u16,
    /// Where the queue ends with this reader.
    own_of: Option<MemoryBroker>,
    is_cancelled: bool,
}

impl MemoryConsumer {
    pub(super) fn new(queue: Arc<Queue>, prefetch: u16, own_of: Option<MemoryBroker>) -> Self {
        Self {
            queue,
            taken: BTreeMap::new(),
            last_number: 0,
            prefetch,
            own_of,
            is_cancelled: false,
        }
    }

    pub(crate) fn cancel(&mut self) {
        self.is_cancelled = true;
    }

    pub(crate) fn prefetch(&self) -> u16 {
        self.prefetch
    }

    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        if self.is_cancelled {
            return None;
        }
        if self.prefetch > 0 && self.taken.len() >= usize::from(self.prefetch) {
            // What makes room is told by whoever waits here.
            pending::<()>().await;
        }
        let stored = self.queue.pop().await;
        self.last_number += 1;
        let tag = DeliveryTag {
            channel: 0,
            number: self.last_number,
        };
        self.taken.insert(tag.number, stored.clone());
        Some(Delivery {
            body: stored.publication.body.clone(),
            expires_in: stored.expires_at.map(time_left),
            is_batch: stored.publication.is_batch,
            is_redelivered: stored.is_redelivered,
            is_persistent: stored.publication.is_persistent,
            tag,
        })
    }

    pub(crate) fn tell(&mut self, settled: &[Settlement]) {
        for settled in settled {
            match settled {
                Settlement::Done(tag) => {
                    self.taken.remove(&tag.number);
                }
                Settlement::GivenBack(tag) => {
                    if let Some(stored) = self.taken.remove(&tag.number) {
                        self.queue.put_back(stored);
                    }
                }
            }
        }
    }
}

fn time_left(at: Instant) -> Duration {
    at.saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        if let Some(broker) = &self.own_of {
            return broker.remove(&self.queue);
        }
        // Back in the order in which they came: the last goes back first.
        for stored in std::mem::take(&mut self.taken).into_values().rev() {
            self.queue.put_back(stored);
        }
    }
}

impl fmt::Debug for MemoryConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConsumer").finish_non_exhaustive()
    }
}
