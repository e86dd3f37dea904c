//! Why a call fails, and what to do.

use std::io;

use tce_dynamic::decode_members;
use tce_gateway::terminal::escape_control;
use tce_idl::model::Model;
use tce_runtime::{RpcError, wire::Reader};

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

/// The exception of the IDL that a servant has raised, with its members as JSON; `None`
/// if the model does not declare it or its members do not decode.
pub(super) fn exception(error: &RpcError, model: &Model) -> Option<String> {
    let name = error.exception_name()?;
    let mut declared = model.exceptions.iter();
    let declared = declared.find(|it| model.full_name(it.module, &it.name) == name)?;
    let mut members = Reader::new(error.exception_members()?);
    let members = decode_members(model, &declared.members, &mut members).ok()?;
    Some(escape_control(&format!("{name} {members}")))
}
