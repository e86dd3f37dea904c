//! The only names that generated code may use.

pub use crate::{
    client::{Pending, Proxy},
    communicator::Communicator,
    connection::{Connection, IncomingCall, Servant},
    error::{Fault, RpcError},
    server::Context,
    wire::{DecodeError, Marshal, Operation, Reader, Unmarshal, Writer},
};
