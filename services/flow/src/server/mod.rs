//! The server: one owner of the machine, and the servants of `flow.idl`.
//!
//! A command goes from a servant to the owner, which applies it, and answers when it is durable.
//! What has arrived meanwhile is applied next, together.

mod clock;
mod describe;
mod log;
mod watchers;
mod waits;
mod owner;
mod statistics;
mod uploads;
mod renderings;
mod shared;
mod facts;
mod monitor;
mod scope;
mod answer;
mod arguments;
mod node;
mod value;
mod files;
mod rows;
mod push;
mod jobs;
mod control;
mod queries;
mod start;

pub use monitor::Monitor;
pub use start::{Failure, Server, ServerOptions, StartError};
