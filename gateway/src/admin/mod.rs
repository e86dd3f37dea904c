//! What people and monitoring see of a gateway: health, metrics, one page.

mod host;
mod server;
mod site;
mod snapshot;
mod watchdog;

pub use crate::metrics::{Recorder, TrafficTotals, install_recorder};
pub use server::Server;
use snapshot::Starting;
pub use snapshot::{
    BackendRow, BackendState, ConnectionRow, Connections, DropRow, ListenerRow, Query, Readiness,
    RouteRow, Snapshot, Sort, Source,
};
