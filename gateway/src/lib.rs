//! The TCE gateway: it takes in many clients and passes their calls to
//! servers, by message queues or sockets; RETURNs and pushes find their way
//! back to the right client (`spec/gateway.md`).

mod metrics;

pub mod auth;
pub mod log;

pub mod config;
pub mod routing;

mod phase;
mod places;
mod slots;
mod ticks;

pub mod admin;

mod table;
mod upstream;

mod session;

mod listener;
mod tend;
mod who;

mod lifecycle;
mod signals;

mod files;

mod command;

pub use command::GatewayCommand;
pub use lifecycle::{error::GatewayError, gateway::Gateway, running::Running};

/// What gateways and servers say to each other: `idl/gateway.idl`.
pub mod idl {
    tce_runtime::include_idl!(gateway);
}
