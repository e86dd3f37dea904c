//! Why there is no result, and how that is told.

use std::io;

use tce_runtime::{ErrorCode, RpcError};

use crate::console::Failure;

/// Why there is no result.
pub(super) enum Ended {
    /// The command line is wrong.
    Misused(String),
    /// The server, or the way to it.
    Failed(String),
    /// All is said.
    Said(Failure),
}

impl From<RpcError> for Ended {
    fn from(error: RpcError) -> Self {
        Self::Failed(told(&error))
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Said(error.into())
    }
}

/// An error of a call, with what can be done about it.
pub(super) fn told(error: &RpcError) -> String {
    let text = visible(&error.to_string());
    let advice = match error.code() {
        // The words of the servant say all that is known.
        ErrorCode::RemoteException | ErrorCode::Other(_) => return text,
        ErrorCode::Timeout => "give it more time with --timeout, or see what keeps the servant",
        _ => error.advice(),
    };
    format!("{text}\nTry this: {advice}")
}

/// The words of a peer, who may send what is an order to a terminal.
pub(super) fn visible(text: &str) -> String {
    let characters = text.chars().map(|c| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    });
    characters.collect()
}
