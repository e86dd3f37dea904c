//! The only names that generated code may use.

use std::fmt;

pub use crate::{
    client::{MultiCall, MultiProxy, Oneway, Pending, Proxy, TypedMulti, TypedProxy, call, oneway},
    connection::{Context, IncomingCall, Servant},
    error::{Fault, RpcError},
    exception::Exception,
    wire::{DecodeError, Marshal, Operation, Reader, Unmarshal, Writer},
};

/// Writes a value of an enum: the name of the member, or the number of a later version.
///
/// # Errors
/// Those of the formatter.
pub fn debug_enum(name: Option<&str>, number: i32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match name {
        Some(name) => f.write_str(name),
        None => fmt::Display::fmt(&number, f),
    }
}
