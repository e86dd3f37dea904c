//! A broker within the process: queues, topics, prefetch, acknowledgement and
//! expiration as a real one has them, for tests and for programs that are
//! client, gateway and server in one.

mod consumer;
mod publisher;
mod queue;
mod subject;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(crate) use consumer::MemoryConsumer;
pub(crate) use publisher::MemoryPublisher;
use queue::Queue;

use super::{BrokerError, ConsumeMode};
use crate::config::{Address, MqEndpoint, NodeType};

/// Queues within this process. Clones are the same broker: the communicators
/// that are given one talk to each other. A queue holds 256 MiB at most; past
/// it messages are refused.
///
/// ```
/// # use tce_runtime::{Communicator, MemoryBroker, config::MqConfig};
/// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = MemoryBroker::new();
/// let (server, client) = (Communicator::new(), Communicator::new());
/// server.open_mq_in_memory(MqConfig::load("config.yml", "server")?, &broker).await?;
/// client.open_mq_in_memory(MqConfig::load("config.yml", "client")?, &broker).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryBroker(Arc<Mutex<Topology>>);

#[derive(Default)]
struct Topology {
    queues: HashMap<String, Arc<Queue>>,
    topics: HashMap<String, Vec<Binding>>,
}

/// A queue that a topic's publications go to, with the pattern of the subjects that
/// it wants.
type Binding = (String, Arc<Queue>);

impl MemoryBroker {
    /// A broker without queues.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Topology> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publisher(&self, endpoint: &MqEndpoint) -> MemoryPublisher {
        self.lock().declare(&endpoint.address);
        MemoryPublisher::new(self.clone(), endpoint.address.clone())
    }

    pub(super) fn consumer(
        &self,
        endpoint: &MqEndpoint,
        reading: ConsumeMode,
    ) -> Result<MemoryConsumer, BrokerError> {
        let address = &endpoint.address;
        let mut topology = self.lock();
        if reading == ConsumeMode::Shared {
            topology.declare(address);
        }
        let Topology { queues, topics } = &mut *topology;
        let queue = match (reading, address.node) {
            (ConsumeMode::Exclusive, _) => {
                Some(Arc::clone(queues.entry(address.name.clone()).or_default()))
            }
            (ConsumeMode::Shared, NodeType::Queue) => queues.get(&address.name).cloned(),
            (ConsumeMode::Shared, NodeType::Topic) => {
                topics.get_mut(&address.name).map(|readers| {
                    let queue = Arc::<Queue>::default();
                    let pattern = address.subject.as_deref().unwrap_or("#");
                    readers.push((pattern.to_owned(), Arc::clone(&queue)));
                    queue
                })
            }
        };
        let queue = queue.ok_or_else(|| {
            let MqEndpoint { name, address, .. } = endpoint;
            let (node, missing) = (address.node, &address.name);
            BrokerError(format!("endpoint `{name}`: there is no {node} `{missing}`"))
        })?;
        let is_own = reading == ConsumeMode::Exclusive || address.node == NodeType::Topic;
        let own_of = is_own.then(|| self.clone());
        Ok(MemoryConsumer::new(queue, endpoint.prefetch, own_of))
    }

    /// Forgets a queue whose only reader has gone.
    fn remove(&self, gone: &Arc<Queue>) {
        let Topology { queues, topics } = &mut *self.lock();
        queues.retain(|_, queue| !Arc::ptr_eq(queue, gone));
        for readers in topics.values_mut() {
            readers.retain(|(_, queue)| !Arc::ptr_eq(queue, gone));
        }
    }
}

impl Topology {
    /// Makes what an address names, where it says so.
    fn declare(&mut self, address: &Address) {
        let name = address.name.clone();
        match address.node {
            _ if !address.create => {}
            NodeType::Queue => drop(self.queues.entry(name).or_default()),
            NodeType::Topic => drop(self.topics.entry(name).or_default()),
        }
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().queues.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
