//! The TCE gateway: it takes in many clients and passes their calls to
//! servers, by message queues or sockets; RETURNs and pushes find their way
//! back to the right client (`spec/gateway.md`).

mod metric;

pub mod admin;
pub mod auth;
pub mod config;
pub mod log;
pub mod route;

tce_runtime::include_idl!(gateway);
