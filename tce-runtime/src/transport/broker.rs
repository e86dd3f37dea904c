//! Message queues, whichever broker holds them: AMQP 0-9-1, or this process.

use std::sync::Arc;

#[cfg(feature = "amqp")]
use super::amqp::{AmqpBroker, AmqpConsumer, AmqpPublisher};
use super::{
    delivery::{BrokerError, ConsumeMode, Delivery, Publication, PublishError, Settlement},
    memory::{MemoryBroker, MemoryConsumer, MemoryPublisher},
};
use crate::config::{MqEndpoint, SharedOptions};

/// What endpoints are opened at.
#[derive(Debug)]
pub(crate) enum Broker {
    #[cfg(feature = "amqp")]
    Amqp(AmqpBroker),
    Memory(MemoryBroker),
}

impl Broker {
    /// AMQP brokers; each endpoint names its own.
    #[cfg(feature = "amqp")]
    #[allow(
        clippy::unnecessary_wraps,
        reason = "it fails without the feature `amqp`"
    )]
    pub(crate) fn amqp(settings: &Arc<SharedOptions>) -> Result<Self, BrokerError> {
        Ok(Self::Amqp(AmqpBroker::new(settings)))
    }

    #[cfg(not(feature = "amqp"))]
    pub(crate) fn amqp(_: &Arc<SharedOptions>) -> Result<Self, BrokerError> {
        let text = "this program is built without AMQP: enable the feature `amqp` of tce-runtime";
        Err(BrokerError(text.to_owned()))
    }

    /// Opens an endpoint for publishing.
    #[cfg_attr(
        not(feature = "amqp"),
        allow(clippy::unused_async, reason = "only AMQP waits for its broker")
    )]
    pub(crate) async fn publisher(&self, endpoint: &MqEndpoint) -> Result<Publisher, BrokerError> {
        Ok(match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(broker) => Publisher::Amqp(Box::new(broker.publisher(endpoint).await?)),
            Self::Memory(broker) => Publisher::Memory(broker.publisher(endpoint)),
        })
    }

    /// Opens an endpoint for consuming.
    #[cfg_attr(
        not(feature = "amqp"),
        allow(clippy::unused_async, reason = "only AMQP waits for its broker")
    )]
    pub(crate) async fn consumer(
        &self,
        endpoint: &MqEndpoint,
        mode: ConsumeMode,
    ) -> Result<Consumer, BrokerError> {
        Ok(match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(broker) => Consumer::Amqp(Box::new(broker.consumer(endpoint, mode).await?)),
            Self::Memory(broker) => Consumer::Memory(broker.consumer(endpoint, mode)?),
        })
    }
}

/// An endpoint that is open for publishing.
#[derive(Debug)]
pub(crate) enum Publisher {
    #[cfg(feature = "amqp")]
    Amqp(Box<AmqpPublisher>),
    Memory(MemoryPublisher),
}

impl Publisher {
    /// Publishes, and waits for the broker's confirmation where
    /// [`Publisher::is_confirmed`]. The first poll determines the position among
    /// other publications.
    pub(crate) async fn publish(&self, publication: &Publication) -> Result<(), PublishError> {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(publisher) => publisher.publish(publication).await,
            Self::Memory(publisher) => publisher.publish(publication),
        }
    }

    /// After [`PublishError::Lost`]: waits until the connection is
    /// re-established and the queue or topic is declared again.
    pub(crate) async fn recovered(&mut self) {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(publisher) => publisher.recovered().await,
            Self::Memory(_) => {}
        }
    }

    /// Whether [`Publisher::publish`] waits for the broker's confirmation.
    pub(crate) fn is_confirmed(&self) -> bool {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(publisher) => publisher.is_confirmed(),
            Self::Memory(_) => true,
        }
    }

    /// Waits until the broker has read all publications so far, at most for the
    /// time of one attempt to connect.
    pub(crate) async fn heard(&self) {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(publisher) => publisher.heard().await,
            Self::Memory(_) => {}
        }
    }

    /// Waits until the connection is lost, even if nothing is published.
    pub(crate) async fn lost(&self) {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(publisher) => publisher.lost().await,
            Self::Memory(_) => std::future::pending().await,
        }
    }

    /// Waits until the broker accepts no messages; returns the reason.
    pub(crate) async fn blocked(&self) -> String {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(publisher) => publisher.blocked().await,
            Self::Memory(_) => std::future::pending().await,
        }
    }

    /// Waits until the broker accepts messages.
    pub(crate) async fn unblocked(&self) {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(publisher) => publisher.unblocked().await,
            Self::Memory(_) => {}
        }
    }

    /// After [`PublishError::Unroutable`] or [`PublishError::Refused`]: declares
    /// the queue or topic again if the address says `create`. Returns whether it
    /// did.
    pub(crate) async fn redeclare(&self) -> bool {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(publisher) => publisher.redeclare().await,
            Self::Memory(publisher) => publisher.redeclare(),
        }
    }
}

/// An endpoint that is open for consuming.
#[derive(Debug)]
pub(crate) enum Consumer {
    #[cfg(feature = "amqp")]
    Amqp(Box<AmqpConsumer>),
    Memory(MemoryConsumer),
}

impl Consumer {
    /// Waits for the next delivery; reconnects when the broker is lost. Returns
    /// `None` after [`Consumer::cancel`], once all outstanding deliveries were
    /// returned.
    ///
    /// Cancel safe: dropping the future loses no delivery.
    pub(crate) async fn next(&mut self) -> Option<Delivery> {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(consumer) => consumer.next().await,
            Self::Memory(consumer) => consumer.next().await,
        }
    }

    /// Asks the broker to stop delivering.
    pub(crate) async fn cancel(&mut self) {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(consumer) => consumer.cancel().await,
            Self::Memory(consumer) => consumer.cancel(),
        }
    }

    /// The most deliveries that may be unsettled; 0 means no limit.
    pub(crate) fn prefetch(&self) -> u16 {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(consumer) => consumer.prefetch(),
            Self::Memory(consumer) => consumer.prefetch(),
        }
    }

    /// The prefetch as [`Consumer::set_prefetch`] has set it.
    pub(crate) fn extended_prefetch(&self) -> u16 {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(consumer) => consumer.extended_prefetch(),
            Self::Memory(consumer) => consumer.extended_prefetch(),
        }
    }

    /// Sets how many deliveries may be unsettled, until the consumer reconnects:
    /// the endpoint's prefetch or more.
    pub(crate) fn set_prefetch(&mut self, prefetch: u16) {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(consumer) => consumer.set_prefetch(prefetch),
            Self::Memory(consumer) => consumer.set_prefetch(prefetch),
        }
    }

    /// Settles deliveries. Returns once the settlements are queued for sending.
    pub(crate) fn tell(&mut self, settlements: &[Settlement]) {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(consumer) => consumer.tell(settlements),
            Self::Memory(consumer) => consumer.tell(settlements),
        }
    }

    /// Ends consuming, after the broker has received all settlements.
    pub(crate) async fn close(&mut self) {
        match self {
            #[cfg(feature = "amqp")]
            Self::Amqp(consumer) => consumer.close().await,
            Self::Memory(_) => {}
        }
    }
}
