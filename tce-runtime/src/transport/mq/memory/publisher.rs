//! Publishing within the process.

use std::{sync::Arc, time::Instant};

use super::{MemoryBroker, queue::Stored, subject};
use crate::{
    config::{Address, NodeType},
    transport::mq::{Publication, PublishError},
};

/// An endpoint that is open for writing.
#[derive(Debug)]
pub(crate) struct MemoryPublisher {
    broker: MemoryBroker,
    address: Address,
}

impl MemoryPublisher {
    pub(super) fn new(broker: MemoryBroker, address: Address) -> Self {
        Self { broker, address }
    }

    pub(crate) fn publish(&self, publication: &Publication) -> Result<(), PublishError> {
        let stored = Stored {
            expires_at: publication.expires_in.map(|left| Instant::now() + left),
            publication: Arc::new(publication.clone()),
            is_redelivered: false,
        };
        match (&publication.queue, self.address.node) {
            (None, NodeType::Topic) => self.broadcast(&stored),
            (queue, _) => self.put(queue.as_deref().unwrap_or(&self.address.name), stored),
        }
    }

    fn put(&self, name: &str, stored: Stored) -> Result<(), PublishError> {
        let queue = self.broker.lock().queues.get(name).cloned();
        queue
            .ok_or_else(|| PublishError::Unroutable(name.to_owned()))?
            .push(stored)
    }

    fn broadcast(&self, stored: &Stored) -> Result<(), PublishError> {
        let name = &self.address.name;
        let readers = self.broker.lock().topics.get(name).cloned();
        let readers =
            readers.ok_or_else(|| PublishError::Refused(format!("there is no topic `{name}`")))?;
        let subject = self.address.subject.as_deref().unwrap_or_default();
        for (pattern, queue) in readers {
            if subject::matches(&pattern, subject) {
                // A reader that is full misses what others get.
                let _ = queue.push(stored.clone());
            }
        }
        Ok(())
    }

    pub(crate) fn redeclare(&self) -> bool {
        self.broker.lock().declare(&self.address);
        self.address.create
    }
}
