//! The TCE gateway: it takes in many clients and passes their calls to
//! servers, by message queues or sockets; RETURNs and pushes find their way
//! back to the right client (`spec/gateway.md`).

mod metric;

pub mod auth;
pub mod log;

pub mod config;
pub mod route;

mod drops;
mod phase;
mod places;
mod slots;
mod ticks;

pub mod admin;

mod error;
mod events;
mod meter;

mod endpoint;
mod table;

mod core;
mod session;

mod arrivals;
mod listen;
mod queues;
mod state;
mod tend;
mod who;

mod running;
mod signals;

mod gateway;

mod files;

mod command;

pub use command::GatewayCommand;
pub use error::GatewayError;
pub use gateway::Gateway;
pub use running::Running;

/// What gateways and servers say to each other: `idl/gateway.idl`.
pub mod idl {
    tce_runtime::include_idl!(gateway);
}
