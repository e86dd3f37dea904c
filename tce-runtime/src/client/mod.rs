//! The side that calls: connections that are made, proxies, calls in flight.

mod connect;
mod call;
mod pending;
mod proxy;

pub use pending::{Pending, Returned};
pub use proxy::{Proxy, TypedProxy};
