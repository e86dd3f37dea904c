//! The HTTP server for monitoring: health checks, metrics, and the admin page.

mod operator;

mod snapshot;
mod watchdog;

mod actions;
mod site;

mod server;

pub use crate::metrics::{Recorder, TrafficTotals, install_recorder};
pub(crate) use operator::{Disconnected, Refused};
pub use operator::{
    Disconnection, OnLineCount, OnLineUsers, Operation, Operator, OperatorError, SessionRow,
};
pub use server::AdminServer;
pub use snapshot::{
    ConnectionPage, ConnectionRow, ListenerRow, Query, Readiness, ReasonRow, RouteRow, Snapshot,
    SnapshotSource, Sort, UpstreamRow, UpstreamState,
};
