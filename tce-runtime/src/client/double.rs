//! The operations of a client that are not its own: by a proxy, or not at all.

use super::{
    call::{Oneway, Pending},
    proxy::Proxy,
};
use crate::{
    error::{ErrorCode, RpcError},
    wire::{Marshal, Operation, Unmarshal},
};

const ADVICE: &str = "implement the operation in the test double, or its `fallback_proxy`";

/// Calls by the proxy of a client. Fails with INTERFACE_NOTFOUND if it has none.
pub fn call<P: Marshal, T: Unmarshal + 'static>(
    proxy: Option<&Proxy>,
    operation: &Operation,
    params: P,
) -> Pending<T> {
    match proxy {
        Some(proxy) => proxy.call(operation, params),
        None => Pending::failed(not_implemented(operation)),
    }
}

/// The same, oneway.
pub fn oneway<P: Marshal>(proxy: Option<&Proxy>, operation: &Operation, params: P) -> Oneway {
    match proxy {
        Some(proxy) => proxy.oneway(operation, params),
        None => Oneway::failed(not_implemented(operation)),
    }
}

fn not_implemented(operation: &Operation) -> RpcError {
    let text = "the test double does not implement this operation";
    RpcError::new(ErrorCode::InterfaceNotFound, text)
        .of_operation(operation.name())
        .advised(ADVICE)
}
