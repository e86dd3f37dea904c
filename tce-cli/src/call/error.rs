//! Why a call fails, and what to do.

use std::io;

use tce_runtime::RpcError;

use crate::{connect::with_advice, console::CommandError, remote::RemoteError};

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

impl From<RemoteError> for CallError {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Unsupported(text) => Self::Usage(text),
            RemoteError::Failed(text) => Self::Failed(text),
            RemoteError::Rpc(error) => error.into(),
        }
    }
}

impl From<io::Error> for CallError {
    fn from(error: io::Error) -> Self {
        Self::Command(error.into())
    }
}
