//! What a program says about where and how to talk.

mod endpoint;
mod mq;
mod options;
mod settings;
mod tls;

#[cfg(not(feature = "websocket"))]
pub(crate) use endpoint::WITHOUT_WEBSOCKET;
pub use endpoint::{Endpoint, EndpointError, Scheme};
pub use mq::{
    Address, AddressError, MqConfig, MqConfigErrors, MqConfigProblem, MqEndpoint, NodeType,
};
pub use options::{ConnectionLimits, Options, WebSocketOptions};
pub(crate) use settings::Settings;
pub use tls::TlsConfig;
pub(crate) use tls::TlsError;
