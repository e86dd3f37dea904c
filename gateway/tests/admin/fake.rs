//! A source with fixed data.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tce_gateway::{
    admin::{
        AdminServer, ConnectionRow, DropRow, ListenerRow, Query, Readiness, RouteRow, Snapshot,
        SnapshotSource, TrafficTotals, UpstreamRow, UpstreamState, install_recorder,
    },
    config::HostPort,
};
use tokio::sync::oneshot;

/// A source whose rows and readiness a test sets.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    pub(crate) rows: Arc<Vec<ConnectionRow>>,
    reasons: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub(crate) fn with_rows(rows: impl IntoIterator<Item = ConnectionRow>) -> Self {
        Self {
            rows: Arc::new(rows.into_iter().collect()),
            ..Self::default()
        }
    }

    pub(crate) fn is_unready(&self, reasons: &[&str]) {
        let reasons = reasons.iter().map(|&reason| reason.to_owned());
        *self.reasons.lock().unwrap() = reasons.collect();
    }
}

impl SnapshotSource for Fake {
    fn snapshot(&self, query: &Query) -> Snapshot {
        Snapshot {
            gateway: "gwserver".to_owned(),
            uptime_ms: 61_000,
            users: 2,
            totals: TrafficTotals {
                calls: 10,
                in_flight: 1,
                refused: 2,
                pushes: 3,
                bytes_in: 4,
                bytes_out: 5,
            },
            drops: vec![DropRow {
                reason: "user_gone".to_owned(),
                count: 7,
            }],
            listeners: vec![ListenerRow {
                endpoint: "socket_gateway".to_owned(),
                address: "tcp://0.0.0.0:12002".to_owned(),
                connections: 2,
            }],
            routes: vec![RouteRow {
                interface: "test.Server".to_owned(),
                ifidx: 2,
                from: "socket_gateway".to_owned(),
                to: "mq_server".to_owned(),
                calls: 10,
            }],
            upstreams: vec![UpstreamRow {
                endpoint: "mq_server".to_owned(),
                address: "amqp://localhost:5672".to_owned(),
                state: UpstreamState::Down,
                queued: 9,
            }],
            connections: query.select(self.rows.iter().cloned()),
        }
    }

    fn readiness(&self) -> Readiness {
        Readiness {
            reasons: self.reasons.lock().unwrap().clone(),
        }
    }
}

/// A different row for each number; the user names repeat every ten.
pub(crate) fn row(id: u64) -> ConnectionRow {
    ConnectionRow {
        id,
        peer: format!("tcp://10.0.{}.{}:40000", id / 256, id % 256),
        user: Some(format!("User{}", id % 10)),
        endpoint: "socket_gateway".to_owned(),
        since_ms: 1_700_000_000_000 + id,
        calls: id % 7,
        in_flight: id % 3,
        bytes_in: id % 11,
        bytes_out: id % 13,
    }
}

/// An admin server that a test can shut down.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) end: oneshot::Sender<()>,
    pub(crate) ended: tokio::task::JoinHandle<()>,
}

/// Serves on a free port of localhost.
pub(crate) async fn serve(source: &Fake) -> Running {
    serve_at("127.0.0.1", source).await
}

/// Any free port of a host.
pub(crate) fn place(host: &str) -> HostPort {
    HostPort {
        host: host.to_owned(),
        port: 0,
    }
}

pub(crate) async fn serve_at(host: &str, source: &Fake) -> Running {
    let recorder = install_recorder().unwrap();
    let server = AdminServer::bind(&place(host), Some(recorder))
        .await
        .unwrap();
    let address = server.address();
    let (end, ending) = oneshot::channel();
    let (source, ending) = (source.clone(), async {
        let _ = ending.await;
    });
    Running {
        address,
        end,
        ended: tokio::spawn(async move { server.serve(source, ending).await }),
    }
}
