//! What a program says about where and how to talk.

mod endpoint;
mod mq;
mod options;
pub mod problem;
mod settings;
pub mod text;
mod tls;

#[cfg(not(feature = "websocket"))]
pub(crate) use endpoint::WITHOUT_WEBSOCKET;
pub use endpoint::{Endpoint, EndpointError, Scheme};
pub use mq::{Address, AddressError, MqConfig, MqEndpoint, NodeType};
pub use options::{ConnectionLimits, Options, WebSocketOptions};
pub(crate) use settings::Settings;
pub use tls::TlsConfig;
pub(crate) use tls::TlsError;
