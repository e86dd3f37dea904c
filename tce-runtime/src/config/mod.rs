//! What a program says about where and how to talk.

mod endpoint;
mod options;
mod tls;

pub use endpoint::{Endpoint, EndpointError, Scheme};
pub use options::{ConnectionLimits, Options};
pub use tls::TlsConfig;
pub(crate) use tls::TlsError;
