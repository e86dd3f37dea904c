//! What the page shows, and who tells it.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::metrics::TrafficTotals;

/// The rows that a page of connections has unless asked for more or fewer.
const LIMIT: usize = 100;
/// The rows that it has at most.
const MAX_LIMIT: usize = 1000;

/// What knows the gateway's state. Both are asked from several threads, the
/// readiness once a second.
pub trait Source: Send + Sync + 'static {
    /// The state at this moment, with the connections that `query` asks for.
    fn snapshot(&self, query: &Query) -> Snapshot;
    /// Whether clients can be served at this moment.
    fn readiness(&self) -> Readiness;
}

/// A gateway of this name that does not serve yet.
pub(super) struct Starting(pub(super) String);

impl Source for Starting {
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
    /// Why not: "starting", "the broker of mq_server is away". Empty: they can.
    pub reasons: Vec<String>,
}

impl Readiness {
    /// Whether nothing speaks against it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// The gateway at one moment. Counts are since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Snapshot {
    /// The name by which the gateway was started: `gwserver`.
    pub gateway: String,
    /// How long it runs.
    pub uptime_ms: u64,
    /// Users who are logged in.
    pub users: usize,
    /// All connections together, the ended ones too.
    pub totals: TrafficTotals,
    /// Messages that went nowhere, by reason.
    pub drops: Vec<DropRow>,
    /// Where clients connect to.
    pub listeners: Vec<ListenerRow>,
    /// Which call goes where.
    pub routes: Vec<RouteRow>,
    /// Brokers and servers.
    pub backends: Vec<BackendRow>,
    /// The connections that were asked for.
    pub connections: Connections,
}

/// Messages that went nowhere for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DropRow {
    /// As in `tce_gateway_messages_dropped_total`.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// An endpoint that clients connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListenerRow {
    /// Its name in services.xml.
    pub endpoint: String,
    /// What clients connect to: `tcp://0.0.0.0:12002`.
    pub address: String,
    /// How many are connected.
    pub connections: usize,
}

/// A way through the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteRow {
    /// The interface: `test.Server`.
    pub interface: String,
    /// Its index.
    pub ifidx: u16,
    /// The endpoint that a CALL arrives at.
    pub from: String,
    /// The endpoint that it leaves by.
    pub to: String,
    /// How many did.
    pub calls: u64,
}

/// A broker or servers behind one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackendRow {
    /// Its name in services.xml.
    pub endpoint: String,
    /// Where it is: `amqp://localhost:5672 mq_server`.
    pub address: String,
    /// Whether it can be reached.
    pub state: BackendState,
    /// Why it can't, or anything else worth knowing; may be empty.
    pub detail: String,
    /// Messages that wait to leave for it.
    pub queued: usize,
}

/// Whether a backend can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// It can.
    Up,
    /// It is being connected to for the first time.
    Connecting,
    /// It can't; it is tried again.
    Down,
}

/// One connection of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ConnectionRow {
    /// Grows with every connection of this process.
    pub id: u64,
    /// The address that it came from.
    pub peer: String,
    /// The user, once there is one.
    pub user: Option<String>,
    /// The endpoint that it came to.
    pub endpoint: String,
    /// When it came, as Unix time.
    pub since_ms: u64,
    /// Its calls so far.
    pub calls: u64,
    /// Those that wait for their RETURN now.
    pub in_flight: u64,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to it.
    pub bytes_out: u64,
}

/// Some of the connections.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Connections {
    /// How many there are.
    pub open: usize,
    /// How many of them fit the question.
    pub matched: usize,
    /// Those that were asked for, in the order that was asked for.
    pub rows: Vec<ConnectionRow>,
}

/// Which connections to show.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// Those with this text in peer, user or endpoint, in whatever case; all
    /// unless given.
    pub q: String,
    /// How many at most: 100 unless given, and never more than 1,000.
    pub limit: Option<usize>,
    /// How many to pass over.
    pub offset: usize,
    /// Which come first.
    pub sort: Sort,
}

/// Which connections come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// The newest.
    #[default]
    Newest,
    /// Those with the most calls.
    Calls,
    /// Those with the most calls that wait.
    InFlight,
    /// Those with the most bytes, in and out together.
    Bytes,
}

impl Query {
    /// Picks from all connections those that are asked for.
    pub fn select(&self, all: impl IntoIterator<Item = ConnectionRow>) -> Connections {
        let needle = self.q.to_lowercase();
        let mut open = 0;
        let fits = |row: &ConnectionRow| {
            open += 1;
            needle.is_empty()
                || row
                    .texts()
                    .any(|text| text.to_lowercase().contains(&needle))
        };
        let mut rows: Vec<ConnectionRow> = all.into_iter().filter(fits).collect();
        let matched = rows.len();
        rows.sort_unstable_by_key(|row| Reverse((self.sort.weight(row), row.id)));
        let limit = self.limit.unwrap_or(LIMIT).min(MAX_LIMIT);
        let rows = rows.into_iter().skip(self.offset).take(limit).collect();
        Connections {
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
        let user = self.user.as_deref();
        [self.peer.as_str(), self.endpoint.as_str()]
            .into_iter()
            .chain(user)
    }
}
