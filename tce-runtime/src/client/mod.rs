//! The calling side: connections that reconnect, calls, proxies.

mod connect;
mod intercepted;
mod call;
mod user_routes;
mod proxy;
mod double;

pub use call::{Oneway, Pending, Returned};
pub use double::{call, oneway};
pub use proxy::{Proxy, TypedProxy};
pub use user_routes::new_push_id;
