//! Why the demo did not go as it should.

use std::{io, time::Duration};

use tce_gateway::GatewayError;
use tce_runtime::{RpcError, config::problem::Problems};

/// How long anything may take that should happen at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Why the demo did not go as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Surprise {
    #[error("the IDL does not compile:\n{0}")]
    Idl(String),
    #[error("there is no code: {0}")]
    Codegen(#[from] tce_codegen::Error),
    #[error("{0}")]
    Config(#[from] Problems),
    #[error("{0:?}")]
    Gateway(#[from] GatewayError),
    #[error("{0}\nTry this: {advice}", advice = .0.advice())]
    Call(#[from] RpcError),
    #[error("expected {expected}, got {got}")]
    Different { expected: String, got: String },
    #[error("expected `{0}`, and it did not happen within {PATIENCE:?}")]
    NotInTime(String),
    #[error("can't write: {0}")]
    Console(#[from] io::Error),
}

/// Waits for something that has a name, but not longer than is reasonable.
pub(super) async fn in_time<T, E: Into<Surprise>>(
    expected: &str,
    happens: impl Future<Output = Result<T, E>>,
) -> Result<T, Surprise> {
    match tokio::time::timeout(PATIENCE, happens).await {
        Ok(happened) => happened.map_err(Into::into),
        Err(_) => Err(Surprise::NotInTime(expected.to_owned())),
    }
}
