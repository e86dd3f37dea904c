//! The calling side: connections that reconnect, calls, proxies.

mod connect;
mod call;
mod user_routes;
mod proxy;

pub use call::{Oneway, Pending, Returned};
pub use proxy::{Proxy, TypedProxy};
