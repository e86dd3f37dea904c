//! The TCE gateway: it accepts many clients and forwards their calls to servers,
//! by message queues or sockets, and delivers RETURNs and pushes to the right
//! client (`spec/gateway.md`).
//!
//! A module imports only from the modules before it in this list.

/// The interfaces between gateways and servers: `idl/gateway.idl`.
pub mod idl {
    tce_runtime::include_idl!(gateway);
}

mod metrics;

pub mod terminal;

mod report;

pub mod log;

mod http;

mod spans;

pub mod config;

mod client_address;

pub mod auth;

mod presence;

pub mod admin;

pub mod routing;

mod upstream;

mod session;

mod control;

mod listener;

mod lifecycle;

mod ctl;

mod init;

mod token;

mod command;

pub use command::GatewayCommand;
pub use lifecycle::{Gateway, GatewayError, RunningGateway};
pub use report::{ErrorFormat, Level};
