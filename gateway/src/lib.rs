//! The TCE gateway: it takes in many clients and passes their calls to
//! servers, by message queues or sockets; RETURNs and pushes find their way
//! back to the right client (`spec/gateway.md`).

mod metric;

pub mod auth;
pub mod log;

pub mod config;
pub mod route;

mod drops;
mod places;
mod slots;

pub mod admin;

mod command;
mod core;
mod endpoint;
mod error;
mod events;
mod gateway;
mod listen;
mod meter;
mod queues;
mod running;
mod session;
mod signals;
mod state;
mod table;
mod tend;
mod users;
mod who;

pub use command::GatewayCommand;
pub use error::GatewayError;
pub use gateway::Gateway;
pub use running::Running;

/// What gateways and servers say to each other: `idl/gateway.idl`.
pub mod idl {
    tce_runtime::include_idl!(gateway);
}
