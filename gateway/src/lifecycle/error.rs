//! The errors of starting and reloading a gateway.

use std::fmt;

use tce_runtime::{
    RpcError,
    config::{TlsError, problem::Problems},
    forwarding::advice_of_cause,
};

use crate::{
    auth::BadJwtKey, config::UnknownServer, presence::InvalidPresence, routing::UnknownInterface,
};

/// Why a gateway can't start or reload.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The file has mistakes.
    #[error("{0}")]
    Config(#[from] Problems),
    /// The file does not define the server.
    #[error("{0}")]
    UnknownServer(#[from] UnknownServer),
    /// An address is in use, a certificate can't be read, or a broker can't be
    /// reached.
    #[error("{0}")]
    Rpc(#[from] RpcError),
    /// The admin page can't listen, or the file of a property can't be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The key of JWTs is missing or can't be used.
    #[error("auth_jwt_key, auth_jwt_jwks or auth_jwt_secret: {0}")]
    JwtKey(#[from] BadJwtKey),
    /// `auth` is interface, and `auth_endpoint` is not set.
    #[error(
        "auth=interface needs auth_endpoint, the endpoint of the server of gateway.IAuthenticator"
    )]
    NoAuthEndpoint,
    /// `userid_check` is set, and there is no authenticator.
    #[error("userid_check needs an authenticator: set auth to token, jwt or interface")]
    NoAuthenticator,
    /// `presence` is redis, and `redis` is not set.
    #[error("{0}")]
    Presence(#[from] InvalidPresence),
    /// The collector of spans is not valid.
    #[error("otlp_endpoint, or a variable of OpenTelemetry: {0}")]
    Otlp(#[from] tce_otlp::OtlpConfigError),
    /// The file does not define the interface.
    #[error("{0}")]
    UnknownInterface(#[from] UnknownInterface),
    /// The file defines several servers, and none was named.
    #[error("name the servers to run: {0}")]
    WhichServer(String),
    /// The log can't be set up.
    #[error("{0}")]
    Log(#[from] crate::log::LogError),
    /// A server was named twice.
    #[error("server `{0}` is named twice: a process runs each server once")]
    NamedTwice(String),
    /// The configuration was not loaded from a file, so it can't be reloaded.
    #[error("this gateway was not loaded from a file")]
    NoFile,
    /// The certificates or keys of an endpoint can't be used.
    #[error("endpoint `{endpoint}`: {source}")]
    Tls {
        /// The name of the endpoint.
        endpoint: String,
        /// What is wrong with them.
        source: TlsError,
    },
    /// The reloaded file names another server, which can't be reached.
    #[error(
        "endpoint `{0}`: no server can be reached at its new address, and the old one still serves"
    )]
    Unreachable(String),
    /// `listen` or its endpoints have changed, which takes a restart.
    #[error("`listen` or its endpoints have changed: this takes effect at the next start")]
    ListenersChanged,
}

impl GatewayError {
    /// What to do about it; `None` if the text says so.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Rpc(error) => Some(error.advice()),
            Self::Io(error) => advice_of_cause(error),
            Self::Tls { source, .. } => advice_of_cause(source),
            _ => None,
        }
    }
}

impl fmt::Debug for GatewayError {
    /// The readable text, with advice if there is some: `main` prints the `Debug`
    /// form of the error that it returns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rpc(error) => write!(f, "{error:?}"),
            other => write!(f, "{other}"),
        }
    }
}
