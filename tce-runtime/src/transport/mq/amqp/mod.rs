//! AMQP 0-9-1 by lapin, against RabbitMQ 3.10 to 4.x.
//!
//! Publishing and consuming use separate connections, so that a broker that
//! stops publishers does not stop acknowledgements.
//!
//! lapin's own recovery stays off. It replays channels and consumers as they
//! were; a broker that comes back without its queues, or with a full disk,
//! needs them declared and opened again with pauses in between, and unconfirmed
//! messages sent again. Two that recover the same consumer would read twice.

mod consumer;
mod link;
mod publisher;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

pub(crate) use consumer::AmqpConsumer;
use link::{AmqpAddress, Link, attempt};
pub(crate) use publisher::AmqpPublisher;

use super::{BrokerError, Reading};
use crate::config::MqEndpoint;

/// AMQP's delivery modes.
const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// The brokers that the endpoints name, each connected when first needed, and
/// disconnected when nobody uses it any more.
#[derive(Debug, Default)]
pub(crate) struct AmqpBroker {
    links: Mutex<HashMap<(AmqpAddress, Purpose), Weak<Link>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Purpose {
    Publish,
    Consume,
}

impl AmqpBroker {
    fn link(&self, endpoint: &MqEndpoint, purpose: Purpose) -> Arc<Link> {
        let address = AmqpAddress::of(endpoint);
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let place = links.entry((address.clone(), purpose)).or_default();
        place.upgrade().unwrap_or_else(|| {
            let link = Arc::new(Link::new(&address));
            *place = Arc::downgrade(&link);
            link
        })
    }

    pub(super) async fn publisher(
        &self,
        endpoint: &MqEndpoint,
    ) -> Result<AmqpPublisher, BrokerError> {
        let link = self.link(endpoint, Purpose::Publish);
        attempt(endpoint, AmqpPublisher::open(link, endpoint)).await
    }

    pub(super) async fn consumer(
        &self,
        endpoint: &MqEndpoint,
        reading: Reading,
    ) -> Result<AmqpConsumer, BrokerError> {
        let link = self.link(endpoint, Purpose::Consume);
        attempt(endpoint, AmqpConsumer::open(link, endpoint, reading)).await
    }
}
