//! What carries the messages: nothing but memory, or a broker of one's own.

use std::fmt;

use tce_gateway::Gateway;
use tce_runtime::{
    Communicator, MemoryBroker, RpcError,
    config::{MqConfig, MqEndpoint},
};

use super::address::AmqpUrl;

/// What begins the names of the demo's queues at a real broker, where others of
/// the same names may be at work.
const PREFIX: &str = "tce_demo.";

/// Where the queues are.
pub(super) enum Broker {
    Memory(MemoryBroker),
    Amqp(AmqpUrl),
}

impl Broker {
    /// The broker of that address, or one in memory.
    pub(super) fn new(amqp: Option<&AmqpUrl>) -> Self {
        amqp.cloned()
            .map_or_else(|| Self::Memory(MemoryBroker::new()), Self::Amqp)
    }

    /// Has an endpoint lead to this broker, whatever its file says.
    pub(super) fn place(&self, endpoint: &mut MqEndpoint) {
        let Self::Amqp(url) = self else {
            return;
        };
        url.place(endpoint);
        endpoint.address.name.insert_str(0, PREFIX);
    }

    pub(super) async fn open(&self, config: MqConfig) -> Result<Communicator, RpcError> {
        let communicator = Communicator::new();
        match self {
            Self::Memory(broker) => communicator.open_mq_in_memory(config, broker).await?,
            Self::Amqp(_) => communicator.open_mq(config).await?,
        }
        Ok(communicator)
    }

    pub(super) fn serve(&self, gateway: Gateway) -> Gateway {
        match self {
            Self::Memory(broker) => gateway.in_memory(broker),
            Self::Amqp(_) => gateway,
        }
    }
}

impl fmt::Display for Broker {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("in memory"),
            Self::Amqp(url) => write!(f, "{url}, queues {PREFIX}*"),
        }
    }
}
