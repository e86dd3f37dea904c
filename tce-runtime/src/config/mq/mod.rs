//! The message queues of a process: `config.yml`, and the Qpid addresses in it
//! and in `services.xml` (`spec/gateway.md`).

mod address_parser;

mod address;

#[doc(hidden)]
pub mod yaml;

mod endpoint;

mod config_yml;

pub use address::{Address, AddressError, NodeType};
pub use config_yml::MqConfig;
pub(crate) use endpoint::REPLY_QUEUE_PREFIX;
pub use endpoint::{DELIVERY_LIMIT, MqEndpoint, is_zeromq};
