//! The life of a gateway: loaded, started, reloaded, observed and shut down.

mod error;

mod check;

mod threads;

mod operator;

mod live;

mod readers;

mod drain;

mod maintenance;

mod watched_files;

mod running;

mod gateway;

pub(crate) use check::check_start;
pub use error::GatewayError;
pub use gateway::Gateway;
pub use running::RunningGateway;
