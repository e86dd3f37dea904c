//! The only names that generated code may use.

pub use crate::{
    client::{Oneway, Pending, Proxy, TypedProxy, call, oneway},
    connection::{Context, IncomingCall, Servant},
    error::{Fault, RpcError},
    wire::{DecodeError, Marshal, Operation, Reader, Unmarshal, Writer},
};
