//! The only names that generated code may use.

pub use crate::{
    client::{Pending, Proxy, TypedProxy},
    connection::{IncomingCall, Servant},
    error::{Fault, RpcError},
    server::Context,
    wire::{DecodeError, Marshal, Operation, Reader, Unmarshal, Writer},
};
