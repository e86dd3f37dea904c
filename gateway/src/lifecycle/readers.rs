//! The queues that a gateway reads, and when it stops.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tce_runtime::{Adapter, config::MqEndpoint};

use crate::upstream::is_read_alike;

/// The readers of queues.
#[derive(Debug, Default)]
pub(super) struct QueueReaders(Mutex<Vec<QueueReader>>);

#[derive(Debug)]
struct QueueReader {
    endpoint: MqEndpoint,
    adapter: Adapter,
    /// Set when a reload has removed the queue.
    ends_at: Option<Instant>,
}

impl QueueReaders {
    pub(super) fn add(&self, endpoint: MqEndpoint, adapter: Adapter) {
        let reader = QueueReader {
            endpoint,
            adapter,
            ends_at: None,
        };
        self.0.lock().push(reader);
    }

    pub(super) fn endpoints(&self) -> Vec<MqEndpoint> {
        let readers = self.0.lock();
        readers.iter().map(|it| it.endpoint.clone()).collect()
    }

    /// Ends the readers that a new configuration, which reads `wanted`, does not
    /// have; those of RETURNs after `call_time`, since calls may be in flight.
    pub(super) fn retain(&self, wanted: &[MqEndpoint], call_time: Duration) {
        let now = Instant::now();
        for reader in self.0.lock().iter_mut() {
            let is_wanted = wanted.iter().any(|it| is_read_alike(&reader.endpoint, it));
            let brings_returns = reader.endpoint.exclusive;
            let ends_at = now + call_time * u32::from(brings_returns);
            reader.ends_at = (!is_wanted).then(|| reader.ends_at.unwrap_or(ends_at));
        }
    }

    /// Stops the readers that are to end by now. Each has `time` for what it has
    /// begun.
    pub(super) fn stop_due(&self, now: Instant, time: Duration) {
        let is_due = |reader: &mut QueueReader| reader.ends_at.is_some_and(|at| at <= now);
        for reader in self.0.lock().extract_if(.., is_due) {
            let queue = &reader.endpoint.name;
            tracing::info!(queue, "the configuration reads this queue no longer");
            tokio::spawn(async move { reader.adapter.shutdown(time).await });
        }
    }
}
