//! A broker within the process, with the queues, topics, prefetch,
//! acknowledgement and expiration of an AMQP broker: for tests, and for programs
//! that are client, gateway and server in one.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::delivery::{
    BrokerError, ConsumeMode, Delivery, DeliveryTag, Publication, PublishError, Settlement,
};
use crate::{
    config::{Address, MqEndpoint, NodeType},
    in_flight::now,
};

/// The most bytes that a queue holds. Further publications are refused, as by a
/// broker with `x-overflow: reject-publish`.
const MAX_QUEUE_BYTES: usize = 256 << 20;

/// Queues within this process. Clones are the same broker: the communicators
/// that are given one talk to each other. A queue holds 256 MiB at most; further
/// messages are refused.
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

/// The pattern of the subjects that go from a topic to a queue, and the queue.
type Binding = (String, Arc<Queue>);

impl MemoryBroker {
    /// A broker without queues.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn publisher(&self, endpoint: &MqEndpoint) -> MemoryPublisher {
        self.0.lock().declare(&endpoint.address);
        MemoryPublisher {
            broker: self.clone(),
            address: endpoint.address.clone(),
        }
    }

    pub(super) fn consumer(
        &self,
        endpoint: &MqEndpoint,
        mode: ConsumeMode,
    ) -> Result<MemoryConsumer, BrokerError> {
        let address = &endpoint.address;
        let mut topology = self.0.lock();
        if mode == ConsumeMode::Shared {
            topology.declare(address);
        }
        let Topology { queues, topics } = &mut *topology;
        let queue = match (mode, address.node) {
            (ConsumeMode::Exclusive, _) => {
                Some(Arc::clone(queues.entry(address.name.clone()).or_default()))
            }
            (ConsumeMode::Shared, NodeType::Queue) => queues.get(&address.name).cloned(),
            (ConsumeMode::Shared, NodeType::Topic) => {
                topics.get_mut(&address.name).map(|bindings| {
                    let queue = Arc::<Queue>::default();
                    let pattern = address.subject.as_deref().unwrap_or("#");
                    bindings.push((pattern.to_owned(), Arc::clone(&queue)));
                    queue
                })
            }
        };
        let queue = queue.ok_or_else(|| {
            let MqEndpoint { name, address, .. } = endpoint;
            let (node, missing) = (address.node, &address.name);
            BrokerError(format!("endpoint `{name}`: there is no {node} `{missing}`"))
        })?;
        let is_own = mode == ConsumeMode::Exclusive || address.node == NodeType::Topic;
        let reader = QueueReader::begin(&queue, endpoint.exclusive).ok_or_else(|| {
            let MqEndpoint { name, address, .. } = endpoint;
            let queue = &address.name;
            BrokerError(format!(
                "endpoint `{name}`: another program reads the queue `{queue}`, which only one may read"
            ))
        })?;
        Ok(MemoryConsumer {
            _reader: reader,
            queue,
            unsettled: BTreeMap::new(),
            last_number: 0,
            prefetch: endpoint.prefetch,
            extended_prefetch: endpoint.prefetch,
            owner: is_own.then(|| self.clone()),
            is_cancelled: false,
        })
    }

    /// Deletes a queue, because its only consumer is gone.
    fn delete(&self, queue: &Arc<Queue>) {
        let Topology { queues, topics } = &mut *self.0.lock();
        queues.retain(|_, other| !Arc::ptr_eq(other, queue));
        for bindings in topics.values_mut() {
            bindings.retain(|(_, other)| !Arc::ptr_eq(other, queue));
        }
    }
}

impl Topology {
    /// Creates the node of an address that says `create`.
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
        f.debug_set().entries(self.0.lock().queues.keys()).finish()
    }
}

#[derive(Default)]
struct Queue {
    ready: Mutex<ReadyMessages>,
    filled: Notify,
    readers: Mutex<QueueReaders>,
}

#[derive(Default)]
struct QueueReaders {
    count: usize,
    has_exclusive: bool,
}

/// Counts as a reader of its queue until it is dropped.
struct QueueReader(Arc<Queue>);

impl QueueReader {
    /// `None` if the queue has an exclusive reader, or this one is to be exclusive
    /// and there is another.
    fn begin(queue: &Arc<Queue>, is_exclusive: bool) -> Option<Self> {
        let mut readers = queue.readers.lock();
        if readers.has_exclusive || is_exclusive && readers.count > 0 {
            return None;
        }
        readers.count += 1;
        readers.has_exclusive = is_exclusive;
        Some(Self(Arc::clone(queue)))
    }
}

impl Drop for QueueReader {
    fn drop(&mut self) {
        let mut readers = self.0.readers.lock();
        readers.count -= 1;
        readers.has_exclusive = false;
    }
}

/// The messages that are not delivered, or requeued.
#[derive(Default)]
struct ReadyMessages {
    messages: VecDeque<StoredMessage>,
    bytes: usize,
}

#[derive(Clone)]
struct StoredMessage {
    /// Shared by the consumer and the broker, which keeps it until it is
    /// settled.
    publication: Arc<Publication>,
    expires_at: Option<Instant>,
    is_redelivered: bool,
}

impl Queue {
    fn push(&self, message: StoredMessage) -> Result<(), PublishError> {
        let mut ready = self.ready.lock();
        let size = message.publication.body.len();
        if ready.bytes + size > MAX_QUEUE_BYTES {
            return Err(PublishError::Rejected);
        }
        ready.bytes += size;
        ready.messages.push_back(message);
        drop(ready);
        self.filled.notify_one();
        Ok(())
    }

    /// Puts a message back to the front.
    fn requeue(&self, message: StoredMessage) {
        let mut ready = self.ready.lock();
        ready.bytes += message.publication.body.len();
        ready.messages.push_front(StoredMessage {
            is_redelivered: true,
            ..message
        });
        drop(ready);
        self.filled.notify_one();
    }

    /// Waits for the next message.
    async fn pop(&self) -> StoredMessage {
        loop {
            if let Some(message) = self.try_pop() {
                return message;
            }
            self.filled.notified().await;
        }
    }

    fn try_pop(&self) -> Option<StoredMessage> {
        let now = now();
        let mut ready = self.ready.lock();
        while let Some(message) = ready.messages.pop_front() {
            ready.bytes -= message.publication.body.len();
            if message.expires_at.is_none_or(|at| now < at) {
                let has_more = !ready.messages.is_empty();
                drop(ready);
                if has_more {
                    // A notification wakes one consumer, and several
                    // notifications may have become one.
                    self.filled.notify_one();
                }
                return Some(message);
            }
        }
        None
    }
}

/// An endpoint that is open for publishing.
#[derive(Debug)]
pub(crate) struct MemoryPublisher {
    broker: MemoryBroker,
    address: Address,
}

impl MemoryPublisher {
    pub(super) fn publish(&self, publication: &Publication) -> Result<(), PublishError> {
        let message = StoredMessage {
            expires_at: publication.expires_in.map(|left| now() + left),
            publication: Arc::new(publication.clone()),
            is_redelivered: false,
        };
        match (&publication.queue, self.address.node) {
            (None, NodeType::Topic) => self.broadcast(&message, publication.is_mandatory),
            (queue, _) => self.push(queue.as_deref().unwrap_or(&self.address.name), message),
        }
    }

    fn push(&self, name: &str, message: StoredMessage) -> Result<(), PublishError> {
        let queue = self.broker.0.lock().queues.get(name).cloned();
        queue
            .ok_or_else(|| PublishError::Unroutable(name.to_owned()))?
            .push(message)
    }

    fn broadcast(&self, message: &StoredMessage, is_mandatory: bool) -> Result<(), PublishError> {
        let name = &self.address.name;
        let bindings = self.broker.0.lock().topics.get(name).cloned();
        let bindings =
            bindings.ok_or_else(|| PublishError::Refused(format!("there is no topic `{name}`")))?;
        let subject = self.address.subject.as_deref().unwrap_or_default();
        let mut has_reader = false;
        for (pattern, queue) in bindings {
            if is_match(&pattern, subject) {
                has_reader = true;
                // A full queue misses the message; the others get it.
                let _ = queue.push(message.clone());
            }
        }
        match has_reader || !is_mandatory {
            true => Ok(()),
            false => Err(PublishError::NoReader(name.clone())),
        }
    }

    pub(super) fn redeclare(&self) -> bool {
        self.broker.0.lock().declare(&self.address);
        self.address.create
    }
}

/// Whether a pattern matches a subject: words separated by dots, where `*`
/// matches one word and `#` any number of them, as in a topic exchange.
fn is_match(pattern: &str, subject: &str) -> bool {
    fn words(text: &str) -> Vec<&str> {
        text.split('.').filter(|_| !text.is_empty()).collect()
    }
    fn is_match(pattern: &[&str], subject: &[&str]) -> bool {
        match pattern.split_first() {
            None => subject.is_empty(),
            Some((&"#", rest)) => {
                (0..=subject.len()).any(|count| is_match(rest, &subject[count..]))
            }
            Some((word, rest)) => subject.split_first().is_some_and(|(first, others)| {
                (*word == "*" || word == first) && is_match(rest, others)
            }),
        }
    }
    is_match(&words(pattern), &words(subject))
}

/// An endpoint that is open for consuming.
pub(crate) struct MemoryConsumer {
    queue: Arc<Queue>,
    _reader: QueueReader,
    /// The deliveries that are not settled, by number.
    unsettled: BTreeMap<u64, StoredMessage>,
    last_number: u64,
    /// That of the endpoint, and as it is extended.
    prefetch: u16,
    extended_prefetch: u16,
    /// The broker of a queue that ends with this consumer.
    owner: Option<MemoryBroker>,
    is_cancelled: bool,
}

impl MemoryConsumer {
    pub(super) fn cancel(&mut self) {
        self.is_cancelled = true;
    }

    pub(super) fn prefetch(&self) -> u16 {
        self.prefetch
    }

    pub(super) fn set_prefetch(&mut self, prefetch: u16) {
        self.extended_prefetch = prefetch;
    }

    pub(super) fn extended_prefetch(&self) -> u16 {
        self.extended_prefetch
    }

    pub(super) async fn next(&mut self) -> Option<Delivery> {
        if self.is_cancelled {
            return None;
        }
        if self.prefetch > 0 && self.unsettled.len() >= usize::from(self.extended_prefetch) {
            // The caller settles a delivery, and calls again.
            pending::<()>().await;
        }
        let message = self.queue.pop().await;
        self.last_number += 1;
        let tag = DeliveryTag {
            channel: 0,
            number: self.last_number,
        };
        self.unsettled.insert(tag.number, message.clone());
        Some(Delivery {
            body: message.publication.body.clone(),
            expires_in: message.expires_at.map(time_left),
            is_batch: message.publication.is_batch,
            is_redelivered: message.is_redelivered,
            user_id: None,
            is_persistent: message.publication.is_persistent,
            tag,
        })
    }

    pub(super) fn tell(&mut self, settlements: &[Settlement]) {
        for settlement in settlements {
            match settlement {
                Settlement::Acknowledge(tag) => {
                    self.unsettled.remove(&tag.number);
                }
                Settlement::Requeue(tag) => {
                    if let Some(message) = self.unsettled.remove(&tag.number) {
                        self.queue.requeue(message);
                    }
                }
            }
        }
    }
}

fn time_left(at: Instant) -> Duration {
    at.saturating_duration_since(now())
        .max(Duration::from_millis(1))
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        if let Some(broker) = &self.owner {
            return broker.delete(&self.queue);
        }
        // The last one first, so that the order stays.
        for message in std::mem::take(&mut self.unsettled).into_values().rev() {
            self.queue.requeue(message);
        }
    }
}

impl fmt::Debug for MemoryConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConsumer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
