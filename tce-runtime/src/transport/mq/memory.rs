//! A broker within the process: queues, topics, prefetch, acknowledgement and
//! expiration as a real one has them, for tests and for programs that are
//! client, gateway and server in one.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{Ack, Delivery, Parcel, PublishError, Reading};
use crate::config::{MqEndpoint, NodeType};

/// The bytes that a queue holds at most; past it parcels are refused, as by a
/// broker with `x-overflow: reject-publish`.
const MAX_QUEUE_BYTES: usize = 256 << 20;

/// Queues within this process. Clones are the same broker: the communicators
/// that are given one talk to each other.
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

/// A queue that a topic's parcels go to, with the subject that it wants.
type Binding = (Option<String>, Arc<Queue>);

#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    filled: Notify,
}

#[derive(Default)]
struct QueueState {
    ready: VecDeque<Stored>,
    bytes: usize,
}

#[derive(Clone)]
struct Stored {
    parcel: Parcel,
    expires_at: Option<Instant>,
    is_redelivered: bool,
}

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
        let publisher = MemoryPublisher {
            broker: self.clone(),
            endpoint: endpoint.clone(),
        };
        publisher.redeclare();
        publisher
    }

    pub(super) fn consumer(&self, endpoint: &MqEndpoint, reading: Reading) -> MemoryConsumer {
        let address = &endpoint.address;
        let mut topology = self.lock();
        let is_own = reading == Reading::Exclusive || address.node == NodeType::Topic;
        let queue = match address.node {
            NodeType::Queue => Arc::clone(topology.queues.entry(address.name.clone()).or_default()),
            NodeType::Topic => {
                let queue = Arc::<Queue>::default();
                let bound = (address.subject.clone(), Arc::clone(&queue));
                topology
                    .topics
                    .entry(address.name.clone())
                    .or_default()
                    .push(bound);
                queue
            }
        };
        let unacknowledged = Arc::new(Unacknowledged::default());
        let prefetch = usize::from(endpoint.prefetch);
        MemoryConsumer {
            broker: self.clone(),
            name: address.name.clone(),
            is_own,
            queue,
            unacknowledged,
            prefetch,
        }
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().queues.keys()).finish()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, stored: Stored) -> Result<(), PublishError> {
        let mut state = self.lock();
        if state.bytes + stored.parcel.body.len() > MAX_QUEUE_BYTES {
            return Err(PublishError::Rejected);
        }
        state.bytes += stored.parcel.body.len();
        state.ready.push_back(stored);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Puts back what its reader has not acknowledged.
    fn put_back(&self, stored: Stored) {
        let mut state = self.lock();
        state.bytes += stored.parcel.body.len();
        state.ready.push_front(stored);
        drop(state);
        self.filled.notify_one();
    }

    fn pop(&self) -> Option<Stored> {
        let now = Instant::now();
        let mut state = self.lock();
        while let Some(stored) = state.ready.pop_front() {
            state.bytes -= stored.parcel.body.len();
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

/// An endpoint that is open for writing.
#[derive(Debug)]
pub(crate) struct MemoryPublisher {
    broker: MemoryBroker,
    endpoint: MqEndpoint,
}

impl MemoryPublisher {
    pub(super) fn publish(&self, parcel: &Parcel) -> Result<(), PublishError> {
        let address = &self.endpoint.address;
        let expires_at = parcel.expires_in.map(|left| Instant::now() + left);
        let stored = Stored {
            parcel: parcel.clone(),
            expires_at,
            is_redelivered: false,
        };
        let topology = self.broker.lock();
        match (&parcel.queue, address.node) {
            (None, NodeType::Topic) => {
                let readers = topology
                    .topics
                    .get(&address.name)
                    .cloned()
                    .unwrap_or_default();
                drop(topology);
                // Whoever wants no subject wants all.
                let wanted = readers
                    .iter()
                    .filter(|(subject, _)| subject.is_none() || *subject == address.subject);
                for (_, queue) in wanted {
                    // A reader that is full misses what others get.
                    let _ = queue.push(stored.clone());
                }
                Ok(())
            }
            (other, _) => {
                let name = other.as_deref().unwrap_or(&address.name);
                let queue = topology.queues.get(name).cloned();
                drop(topology);
                queue
                    .ok_or_else(|| PublishError::Unroutable(name.to_owned()))?
                    .push(stored)
            }
        }
    }

    pub(super) fn redeclare(&self) -> bool {
        let address = &self.endpoint.address;
        if address.create && address.node == NodeType::Queue {
            self.broker
                .lock()
                .queues
                .entry(address.name.clone())
                .or_default();
        }
        address.create
    }
}

/// An endpoint that is open for reading.
pub(crate) struct MemoryConsumer {
    broker: MemoryBroker,
    name: String,
    /// Whether the queue ends with this reader.
    is_own: bool,
    queue: Arc<Queue>,
    unacknowledged: Arc<Unacknowledged>,
    prefetch: usize,
}

/// What a reader has taken and not acknowledged.
#[derive(Default)]
struct Unacknowledged {
    taken: Mutex<(u64, HashMap<u64, Stored>)>,
    acknowledged: Notify,
}

impl Unacknowledged {
    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<u64, Stored>)> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryConsumer {
    pub(super) async fn next(&mut self) -> Delivery {
        while self.prefetch != 0 && self.unacknowledged.lock().1.len() >= self.prefetch {
            self.unacknowledged.acknowledged.notified().await;
        }
        let stored = loop {
            match self.queue.pop() {
                Some(stored) => break stored,
                None => self.queue.filled.notified().await,
            }
        };
        let mut taken = self.unacknowledged.lock();
        taken.0 += 1;
        let tag = taken.0;
        taken.1.insert(tag, stored.clone());
        drop(taken);
        let left = |at: Instant| {
            at.saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1))
        };
        Delivery {
            body: stored.parcel.body,
            expires_in: stored.expires_at.map(left),
            is_batch: stored.parcel.is_batch,
            is_redelivered: stored.is_redelivered,
            ack: Ack::Memory(MemoryAck {
                unacknowledged: Arc::clone(&self.unacknowledged),
                tag,
            }),
        }
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        if self.is_own {
            let mut topology = self.broker.lock();
            topology
                .queues
                .retain(|_, queue| !Arc::ptr_eq(queue, &self.queue));
            if let Some(readers) = topology.topics.get_mut(&self.name) {
                readers.retain(|(_, queue)| !Arc::ptr_eq(queue, &self.queue));
            }
            return;
        }
        let mut taken: Vec<_> = self.unacknowledged.lock().1.drain().collect();
        // Back in the order in which they came: the last goes back first.
        taken.sort_by_key(|(tag, _)| std::cmp::Reverse(*tag));
        for (_, mut stored) in taken {
            stored.is_redelivered = true;
            self.queue.put_back(stored);
        }
    }
}

impl fmt::Debug for MemoryConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConsumer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Acknowledges one delivery.
pub(crate) struct MemoryAck {
    unacknowledged: Arc<Unacknowledged>,
    tag: u64,
}

impl MemoryAck {
    pub(super) fn acknowledge(self) {
        self.unacknowledged.lock().1.remove(&self.tag);
        self.unacknowledged.acknowledged.notify_one();
    }
}

impl fmt::Debug for MemoryAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryAck").field(&self.tag).finish()
    }
}
