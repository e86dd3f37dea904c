//! The configuration of a program: endpoints, TLS, options, message queues.

pub mod host;

mod endpoint;

#[cfg(feature = "websocket")]
mod origin;

mod tls;

mod token;

mod networks;

mod options;

pub mod problem;

mod mq;

pub use crate::memory::MemoryBudget;
#[cfg(not(feature = "websocket"))]
pub(crate) use endpoint::WITHOUT_WEBSOCKET;
pub use endpoint::{Endpoint, EndpointError, Scheme};
#[cfg(feature = "websocket")]
pub(crate) use host::without_zone;
pub(crate) use mq::REPLY_QUEUE_PREFIX;
#[doc(hidden)]
pub use mq::yaml;
pub use mq::{Address, AddressError, DELIVERY_LIMIT, MqConfig, MqEndpoint, NodeType, is_zeromq};
pub use networks::{NetworkError, Networks};
#[doc(hidden)]
pub use options::LoadedTls;
pub use options::{ConnectionLimits, Options, ProxyOptions, WebSocketOptions};
pub(crate) use options::{DEFAULT_TIMEOUT, SharedOptions};
#[cfg(feature = "websocket")]
pub use origin::WebOrigin;
pub(crate) use tls::server_name;
pub use tls::{TlsConfig, TlsError};
pub use token::TokenProvider;
