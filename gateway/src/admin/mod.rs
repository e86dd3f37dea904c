//! The HTTP server for monitoring: health checks, metrics, and the admin page.

mod snapshot;
mod watchdog;

mod site;

mod server;

pub use crate::metrics::{Recorder, TrafficTotals, install_recorder};
pub use server::AdminServer;
pub use snapshot::{
    ConnectionPage, ConnectionRow, DropRow, ListenerRow, Query, Readiness, RouteRow, Snapshot,
    SnapshotSource, Sort, UpstreamRow, UpstreamState,
};
