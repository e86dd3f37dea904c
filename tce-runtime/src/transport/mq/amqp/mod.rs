//! AMQP 0-9-1, against RabbitMQ 3.10 to 4.x.
//!
//! Publishing and consuming use separate connections, so that a broker that
//! stops publishers does not stop acknowledgements.

mod address;
mod answer;
mod channel;
mod confirms;
mod connect;
mod consumer;
mod dialog;
mod error;
mod frame;
mod link;
mod octets;
mod publisher;
mod request;
mod session;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use address::AmqpAddress;
pub(crate) use consumer::AmqpConsumer;
use link::{Link, attempt};
pub(crate) use publisher::AmqpPublisher;

use super::{BrokerError, ConsumeMode};
use crate::config::{MqEndpoint, Settings};

/// The brokers that the endpoints name, each connected when first needed, and
/// disconnected when nobody uses it any more.
#[derive(Debug)]
pub(crate) struct AmqpBroker {
    settings: Arc<Settings>,
    links: Mutex<HashMap<(AmqpAddress, Purpose), Weak<Link>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Purpose {
    Publish,
    Consume,
}

impl AmqpBroker {
    pub(super) fn new(settings: &Arc<Settings>) -> Self {
        Self {
            settings: Arc::clone(settings),
            links: Mutex::default(),
        }
    }

    fn link(&self, endpoint: &MqEndpoint, purpose: Purpose) -> Arc<Link> {
        let address = AmqpAddress::of(endpoint);
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let place = links.entry((address.clone(), purpose)).or_default();
        place.upgrade().unwrap_or_else(|| {
            let link = Arc::new(Link::new(address, &self.settings));
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
        reading: ConsumeMode,
    ) -> Result<AmqpConsumer, BrokerError> {
        let link = self.link(endpoint, Purpose::Consume);
        attempt(endpoint, AmqpConsumer::open(link, endpoint, reading)).await
    }
}
