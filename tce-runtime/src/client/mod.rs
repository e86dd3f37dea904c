//! The calling side: connections that reconnect, calls, proxies.

mod connect;
mod intercepted;
mod call;
mod user_routes;
mod proxy;
mod double;
mod announcer;
mod multi_call;

pub(crate) use announcer::announce;
pub use call::{Oneway, Pending, Returned};
pub use double::{call, oneway};
pub use multi_call::{MultiCall, MultiProxy, Replies, Reply, TypedMulti};
pub use proxy::{Proxy, TypedProxy};
pub use user_routes::new_push_id;
