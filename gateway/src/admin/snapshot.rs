//! The rows that the admin page shows, and the trait of their source.

use std::{cmp::Reverse, future::ready, pin::Pin, sync::Arc};

use serde::{Deserialize, Serialize};

use super::operator::Operator;
use crate::metrics::TrafficTotals;

/// The default number of rows of a page of connections.
const DEFAULT_LIMIT: usize = 100;
/// The maximum number of rows of a page of connections.
const MAX_LIMIT: usize = 1000;

/// Provides the state of a gateway. Called on several threads.
pub trait SnapshotSource: Send + Sync + 'static {
    /// The current state, with the connections that `query` selects.
    fn snapshot(&self, query: &Query) -> Snapshot;
    /// Whether clients can be served now.
    fn readiness(&self) -> Readiness;
    /// Waits until each thread that serves clients has run a task; for ever if one is
    /// stuck. Where the calling thread serves them, it is ready.
    fn responded(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(ready(()))
    }
    /// What operators may ask and do; `None` while the gateway starts.
    fn operator(&self) -> Option<Arc<dyn Operator>> {
        None
    }
}

/// The source while a gateway starts: its name.
pub(super) struct StartingSource(pub(super) String);

impl SnapshotSource for StartingSource {
    fn snapshot(&self, _: &Query) -> Snapshot {
        Snapshot {
            gateway: self.0.clone(),
            ..Snapshot::default()
        }
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            reasons: vec!["starting".to_owned()],
        }
    }
}

/// Whether clients can be served.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Readiness {
    /// Why they can't: "starting", "mq_server is away". Empty if they can.
    pub reasons: Vec<String>,
}

impl Readiness {
    /// Whether clients can be served.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// The state of the gateway at one moment. Counts are since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Snapshot {
    /// The name of the gateway, for example `gwserver`.
    pub gateway: String,
    /// Time since the start, in milliseconds.
    pub uptime_ms: u64,
    /// Users who are logged in.
    pub users: usize,
    /// Sums over all connections, closed ones included.
    pub totals: TrafficTotals,
    /// Dropped messages, by reason.
    pub drops: Vec<ReasonRow>,
    /// Calls that were answered with an error of the gateway, by reason.
    pub refusals: Vec<ReasonRow>,
    /// The endpoints that clients connect to.
    pub listeners: Vec<ListenerRow>,
    /// The routes of calls.
    pub routes: Vec<RouteRow>,
    /// Brokers and servers; `backends` in JSON.
    #[serde(rename = "backends")]
    pub upstreams: Vec<UpstreamRow>,
    /// The selected connections.
    pub connections: ConnectionPage,
}

/// Messages that were dropped, or calls that were refused, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonRow {
    /// The reason, as in `tce_gateway_messages_dropped_total` or
    /// `tce_gateway_calls_refused_total`.
    pub reason: String,
    /// The number of messages.
    pub count: u64,
}

/// An endpoint that clients connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListenerRow {
    /// Its name in services.xml.
    pub endpoint: String,
    /// Its address, for example `tcp://0.0.0.0:12002`.
    pub address: String,
    /// The number of open connections.
    pub connections: usize,
}

/// A route of calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteRow {
    /// The name of the interface, for example `test.Server`.
    pub interface: String,
    /// Its index.
    pub ifidx: u16,
    /// The endpoint where CALLs arrive.
    pub from: String,
    /// The endpoint that they leave by.
    pub to: String,
    /// The number of calls.
    pub calls: u64,
    /// The number of RETURNs.
    pub answered: u64,
    /// The sum of the times from a CALL to its RETURN, in microseconds.
    pub answer_us: u64,
}

/// A broker or a server behind an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpstreamRow {
    /// Its name in services.xml.
    pub endpoint: String,
    /// Its address, for example `amqp://localhost:5672`.
    pub address: String,
    /// Whether it is connected.
    pub state: UpstreamState,
    /// Messages that wait to be sent to it.
    pub queued: usize,
}

/// Whether a broker or server is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamState {
    /// Connected.
    Up,
    /// Not connected; the gateway keeps trying.
    Down,
    /// Connected, but it does not answer: it gets no calls while another server
    /// of its endpoint does.
    Unhealthy,
    /// It has answered again, and gets a growing share of its clients' calls.
    Recovering,
}

/// One connection of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ConnectionRow {
    /// A number that grows with every connection of the gateway.
    pub id: u64,
    /// The address of the client.
    pub peer: String,
    /// The user id, once it is known.
    pub user: Option<String>,
    /// The device id of the login, if it had one.
    pub device: Option<String>,
    /// The endpoint that the client connected to.
    pub endpoint: String,
    /// When it was accepted, as Unix time in milliseconds.
    pub since_ms: u64,
    /// The number of its calls.
    pub calls: u64,
    /// Its calls that wait for their RETURN now.
    pub in_flight: u64,
    /// Bytes of messages from the client.
    pub bytes_in: u64,
    /// Bytes of messages to the client.
    pub bytes_out: u64,
}

/// A page of connections.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ConnectionPage {
    /// The number of open connections.
    pub open: usize,
    /// The number of those that match the query.
    pub matched: usize,
    /// The selected rows, in the requested order.
    pub rows: Vec<ConnectionRow>,
}

/// Selects connections.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// A text that peer, user, device or endpoint must contain, ignoring case; an empty
    /// text matches all.
    pub q: String,
    /// The maximum number of rows: by default 100, never more than 1,000.
    pub limit: Option<usize>,
    /// The number of rows to skip.
    pub offset: usize,
    /// The order.
    pub sort: Sort,
}

/// The order of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// The newest first.
    #[default]
    Newest,
    /// The most calls first.
    Calls,
    /// The most calls in flight first.
    InFlight,
    /// The most bytes first, in and out added.
    Bytes,
}

impl Query {
    /// Selects from all connections.
    pub fn select(&self, all: impl IntoIterator<Item = ConnectionRow>) -> ConnectionPage {
        let needle = self.q.to_lowercase();
        let mut open = 0;
        let matches = |row: &ConnectionRow| {
            open += 1;
            needle.is_empty()
                || row
                    .texts()
                    .any(|text| text.to_lowercase().contains(&needle))
        };
        let mut rows: Vec<ConnectionRow> = all.into_iter().filter(matches).collect();
        let matched = rows.len();
        rows.sort_unstable_by_key(|row| Reverse((self.sort.weight(row), row.id)));
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
        let rows = rows.into_iter().skip(self.offset).take(limit).collect();
        ConnectionPage {
            open,
            matched,
            rows,
        }
    }
}

impl Sort {
    fn weight(self, row: &ConnectionRow) -> u64 {
        match self {
            Self::Newest => row.id,
            Self::Calls => row.calls,
            Self::InFlight => row.in_flight,
            Self::Bytes => row.bytes_in.saturating_add(row.bytes_out),
        }
    }
}

impl ConnectionRow {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let optional = [self.user.as_deref(), self.device.as_deref()];
        [self.peer.as_str(), self.endpoint.as_str()]
            .into_iter()
            .chain(optional.into_iter().flatten())
    }
}
