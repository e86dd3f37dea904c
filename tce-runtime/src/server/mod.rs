//! The side that answers: adapters, servants, dispatch.

mod adapter;
mod builtin;
mod context;
mod dispatch;

pub use adapter::Adapter;
pub(crate) use builtin::{DESCRIBE, PING};
pub use context::Context;
