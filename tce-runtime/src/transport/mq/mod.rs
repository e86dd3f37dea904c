//! Message queues: AMQP 0-9-1, or the same within the process.
//!
//! A broker carries publications: one marshalled message (`spec/wire.md`, section 2,
//! without a frame header), or several as a [`batch`]. What a message means is
//! not known here.

#[cfg_attr(not(feature = "amqp"), path = "amqp_absent.rs")]
mod amqp;
pub(crate) mod batch;
mod memory;

use std::{sync::Arc, time::Duration};

use amqp::{AmqpBroker, AmqpConsumer, AmqpPublisher};
use memory::{MemoryConsumer, MemoryPublisher};

pub use memory::MemoryBroker;

use crate::config::{MqEndpoint, Settings};

/// What a broker carries.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    pub(crate) body: Vec<u8>,
    /// The queue, where it is not the endpoint's own.
    pub(crate) queue: Option<Arc<str>>,
    /// Whether it survives a restart of the broker.
    pub(crate) is_persistent: bool,
    /// After how long in a queue it is worthless.
    pub(crate) expires_in: Option<Duration>,
    /// Whether the body is a [`batch`].
    pub(crate) is_batch: bool,
}

/// A publication that has come out of a queue.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) body: Vec<u8>,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) is_batch: bool,
    /// Whether it may have been delivered before.
    pub(crate) is_redelivered: bool,
    /// Whether it survives a restart of the broker.
    pub(crate) is_persistent: bool,
    pub(crate) tag: DeliveryTag,
}

/// Names a delivery to the consumer that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeliveryTag {
    /// Which of the consumer's channels it came by: numbers begin anew with
    /// each.
    channel: u64,
    number: u64,
}

/// What became of a delivery. One of which nothing is told is delivered again
/// to whoever reads the queue after this process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Settlement {
    /// All of it was executed, or will never be.
    Done(DeliveryTag),
    /// It is for another reader.
    GivenBack(DeliveryTag),
}

/// Why a publication was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum PublishError {
    /// There is no such queue.
    #[error("there is no queue `{0}` at the broker")]
    Unroutable(String),
    /// The broker has something against the publication, such as a topic that does
    /// not exist or is not ours to write.
    #[error("the broker refused the message: {0}")]
    Refused(String),
    /// The queue has no room.
    #[error("the broker's queue takes no more messages")]
    Rejected,
    /// The broker is away; it may have taken the publication or not.
    #[error("the connection to the broker was lost: {0}")]
    Lost(String),
}

/// Why a broker can't be reached or used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BrokerError(String);

/// How a queue is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConsumeMode {
    /// Together with others: the endpoint's queue.
    Shared,
    /// Alone: a queue of this process, which ends with it.
    Exclusive,
}

/// A way to a broker.
#[derive(Debug)]
pub(crate) enum Broker {
    Amqp(AmqpBroker),
    Memory(MemoryBroker),
}

impl Broker {
    /// AMQP brokers, as each endpoint names its own.
    pub(crate) fn amqp(settings: &Arc<Settings>) -> Self {
        Self::Amqp(AmqpBroker::new(settings))
    }

    /// Opens an endpoint for writing.
    pub(crate) async fn publisher(&self, endpoint: &MqEndpoint) -> Result<Publisher, BrokerError> {
        Ok(match self {
            Self::Amqp(broker) => Publisher::Amqp(Box::new(broker.publisher(endpoint).await?)),
            Self::Memory(broker) => Publisher::Memory(broker.publisher(endpoint)),
        })
    }

    /// Opens an endpoint for reading.
    pub(crate) async fn consumer(
        &self,
        endpoint: &MqEndpoint,
        reading: ConsumeMode,
    ) -> Result<Consumer, BrokerError> {
        Ok(match self {
            Self::Amqp(broker) => {
                Consumer::Amqp(Box::new(broker.consumer(endpoint, reading).await?))
            }
            Self::Memory(broker) => Consumer::Memory(broker.consumer(endpoint, reading)?),
        })
    }
}

/// An endpoint that is open for writing.
#[derive(Debug)]
pub(crate) enum Publisher {
    Amqp(Box<AmqpPublisher>),
    Memory(MemoryPublisher),
}

impl Publisher {
    /// Publishes, and waits for the broker to say that it has the publication. Polled
    /// once it has its place in the order of publishes.
    pub(crate) async fn publish(&self, publication: &Publication) -> Result<(), PublishError> {
        match self {
            Self::Amqp(publisher) => publisher.publish(publication).await,
            Self::Memory(publisher) => publisher.publish(publication),
        }
    }

    /// After [`PublishError::Lost`]: waits until the broker is back and the
    /// topology is declared again.
    pub(crate) async fn recovered(&mut self) {
        match self {
            Self::Amqp(publisher) => publisher.recovered().await,
            Self::Memory(_) => {}
        }
    }

    /// Whether a publish is done only when the broker has said so.
    pub(crate) fn is_confirmed(&self) -> bool {
        match self {
            Self::Amqp(publisher) => publisher.is_confirmed(),
            Self::Memory(_) => true,
        }
    }

    /// Waits until the broker has read what has left so far.
    pub(crate) async fn heard(&self) {
        match self {
            Self::Amqp(publisher) => publisher.heard().await,
            Self::Memory(_) => {}
        }
    }

    /// Waits until the broker is lost, also when nothing is published.
    pub(crate) async fn lost(&self) {
        match self {
            Self::Amqp(publisher) => publisher.lost().await,
            Self::Memory(_) => std::future::pending().await,
        }
    }

    /// After [`PublishError::Unroutable`] or [`PublishError::Refused`]:
    /// declares the queue or topic again, if the address says that whoever
    /// finds none creates it.
    pub(crate) async fn redeclare(&self) -> bool {
        match self {
            Self::Amqp(publisher) => publisher.redeclare().await,
            Self::Memory(publisher) => publisher.redeclare(),
        }
    }
}

/// An endpoint that is open for reading.
#[derive(Debug)]
pub(crate) enum Consumer {
    Amqp(Box<AmqpConsumer>),
    Memory(MemoryConsumer),
}

impl Consumer {
    /// The next publication. Survives the broker: it waits until one comes. Nothing
    /// comes after [`Consumer::cancel`] once all that was on its way has.
    ///
    /// A read that is given up loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        match self {
            Self::Amqp(consumer) => consumer.next().await,
            Self::Memory(consumer) => consumer.next().await,
        }
    }

    /// Asks for no more publications.
    pub(crate) async fn cancel(&mut self) {
        match self {
            Self::Amqp(consumer) => consumer.cancel().await,
            Self::Memory(consumer) => consumer.cancel(),
        }
    }

    /// How many publications may be here and not settled; 0 is "without limit".
    pub(crate) fn prefetch(&self) -> u16 {
        match self {
            Self::Amqp(consumer) => consumer.prefetch(),
            Self::Memory(consumer) => consumer.prefetch(),
        }
    }

    /// Tells the broker what became of deliveries. It is on its way then.
    pub(crate) fn tell(&mut self, settled: &[Settlement]) {
        match self {
            Self::Amqp(consumer) => consumer.tell(settled),
            Self::Memory(consumer) => consumer.tell(settled),
        }
    }

    /// Ends reading, once the broker has heard what it was told.
    pub(crate) async fn close(&mut self) {
        match self {
            Self::Amqp(consumer) => consumer.close().await,
            Self::Memory(_) => {}
        }
    }
}
