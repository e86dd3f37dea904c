//! Why a call fails, and what to do.

use std::io;

use tce_gateway::terminal::escape_control;
use tce_runtime::{ErrorCode, RpcError};

use crate::console::CommandError;

/// Why `tce call` failed.
pub(super) enum CallError {
    /// The command line is wrong.
    Usage(String),
    /// The server, or the connection to it, failed.
    Failed(String),
    /// The output failed, or the message has been written.
    Command(CommandError),
}

impl CallError {
    pub(super) fn usage(error: impl std::fmt::Display) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<RpcError> for CallError {
    fn from(error: RpcError) -> Self {
        Self::Failed(with_advice(&error))
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        Self::Command(error.into())
    }
}

/// The text of an error, and what to do about it.
pub(super) fn with_advice(error: &RpcError) -> String {
    let text = escape_control(&error.to_string());
    let advice = match error.code() {
        // The servant's own text: there is no general advice.
        ErrorCode::RemoteException | ErrorCode::Other(_) => return text,
        ErrorCode::Timeout => "raise --timeout, or check why the servant takes so long",
        _ => error.advice(),
    };
    format!("{text}\nTry this: {advice}")
}
