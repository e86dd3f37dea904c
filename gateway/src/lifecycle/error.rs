//! Why a gateway does not start, or is not loaded anew.

use std::fmt;

use tce_runtime::{RpcError, config::problem::Problems};

use crate::{auth::BadJwtKey, config::UnknownServer, routing::UnknownInterface};

/// Why a gateway does not start, or is not loaded anew.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The file has mistakes.
    #[error("{0}")]
    Config(#[from] Problems),
    /// The file has no such server.
    #[error("{0}")]
    UnknownServer(#[from] UnknownServer),
    /// An address is taken, a certificate can't be read, a broker is away.
    #[error("{0}")]
    Rpc(#[from] RpcError),
    /// The admin page, or a file that a property names.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The key for JWTs.
    #[error("auth_jwt_key or auth_jwt_secret: {0}")]
    JwtKey(#[from] BadJwtKey),
    /// JWTs are signed with something.
    #[error("auth=jwt needs auth_jwt_key or auth_jwt_secret")]
    NoJwtKey,
    /// The servant that knows the users is somewhere.
    #[error("auth=interface needs auth_endpoint: where gateway.IAuthenticator is served")]
    NoAuthEndpoint,
    /// Somebody has to know the users.
    #[error("userid_check needs somebody who knows the users: set auth to token, jwt or interface")]
    NoAuthenticator,
    /// An interface that is not in the file.
    #[error("{0}")]
    UnknownInterface(#[from] UnknownInterface),
    /// The file has several servers, and none was named.
    #[error("name the servers to run: {0}")]
    WhichServer(String),
    /// What is logged can't be said so.
    #[error("{0}")]
    Log(#[from] crate::log::LogError),
    /// A configuration that was not loaded from a file can't be loaded anew.
    #[error("this gateway was not loaded from a file")]
    NoFile,
    /// Clients would have to connect elsewhere.
    #[error(
        "`listen` or its endpoints have changed: that takes effect when the gateway is started again"
    )]
    OtherListeners,
}

impl fmt::Debug for GatewayError {
    /// As for people, with advice where there is some: it is what `main` prints
    /// of an error that it returns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rpc(error) => write!(f, "{error:?}"),
            other => write!(f, "{other}"),
        }
    }
}
