//! AMQP 0-9-1 by lapin, for RabbitMQ 3.10 to 4.x.
//!
//! Publishing and consuming use separate connections, so that a broker that
//! blocks publishers still reads acknowledgements.
//!
//! lapin's own recovery stays off. It restores channels and consumers as they
//! were; a broker that comes back without its queues needs them declared first,
//! with pauses between the attempts, and unconfirmed messages sent again.

mod control;

mod pace;

mod filter;

mod stream;

mod connection;

mod carry_over;

mod publisher;

mod poison;

mod consumer;

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

use connection::{BrokerAddress, BrokerConnection, attempt};
pub(crate) use consumer::AmqpConsumer;
use poison::PoisonGuard;
pub(crate) use publisher::AmqpPublisher;

use super::delivery::{BrokerError, ConsumeMode};
use crate::config::{MqEndpoint, SharedOptions};

/// AMQP's delivery mode of messages that survive a restart of the broker.
const PERSISTENT: u8 = 2;

/// The brokers that the endpoints name. A connection is made when it is first
/// needed, and closed with its last publisher or consumer.
#[derive(Debug)]
pub(crate) struct AmqpBroker {
    settings: Arc<SharedOptions>,
    connections: Mutex<HashMap<(BrokerAddress, ConnectionRole), Weak<BrokerConnection>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum ConnectionRole {
    Publish,
    Consume,
}

impl AmqpBroker {
    pub(super) fn new(settings: &Arc<SharedOptions>) -> Self {
        Self {
            settings: Arc::clone(settings),
            connections: Mutex::default(),
        }
    }

    fn connection(&self, endpoint: &MqEndpoint, role: ConnectionRole) -> Arc<BrokerConnection> {
        let address = BrokerAddress::of(endpoint);
        let mut connections = self.connections.lock();
        let known = connections.entry((address.clone(), role)).or_default();
        known.upgrade().unwrap_or_else(|| {
            let connection = Arc::new(BrokerConnection::new(address, role, &self.settings));
            *known = Arc::downgrade(&connection);
            connection
        })
    }

    pub(super) async fn publisher(
        &self,
        endpoint: &MqEndpoint,
    ) -> Result<AmqpPublisher, BrokerError> {
        let connection = self.connection(endpoint, ConnectionRole::Publish);
        attempt(endpoint, AmqpPublisher::open(connection, endpoint)).await
    }

    pub(super) async fn consumer(
        &self,
        endpoint: &MqEndpoint,
        mode: ConsumeMode,
    ) -> Result<AmqpConsumer, BrokerError> {
        let connection = self.connection(endpoint, ConnectionRole::Consume);
        let publishes = self.connection(endpoint, ConnectionRole::Publish);
        let guard = PoisonGuard::new(publishes, endpoint);
        attempt(
            endpoint,
            AmqpConsumer::open(connection, endpoint, mode, guard),
        )
        .await
    }
}

#[cfg(test)]
mod tests;
