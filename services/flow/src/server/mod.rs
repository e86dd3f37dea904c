//! The server: one owner of the machine, and the servants of `flow.idl`.
//!
//! A command goes from a servant to the owner, which applies it, and answers when it is safe.
//! Whatever has arrived meanwhile is applied next, together.

mod clock;
mod owner;
mod answer;
mod arguments;
mod uploads;
mod jobs;
mod control;
mod rows;
mod queries;
mod value;
mod start;

pub use start::{Server, ServerOptions, StartError};
