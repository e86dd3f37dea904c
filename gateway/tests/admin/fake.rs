//! A source with fixed data.

use std::{
    future::ready,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tce_gateway::{
    admin::{
        AdminServer, ConnectionRow, Disconnection, ListenerRow, OnLineCount, OnLineUsers,
        Operation, Operator, OperatorError, Query, Readiness, ReasonRow, RouteRow, SessionRow,
        Snapshot, SnapshotSource, TrafficTotals, UpstreamRow, UpstreamState, install_recorder,
    },
    config::HostPort,
};
use tokio::sync::oneshot;

/// A source whose rows and readiness a test sets.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    pub(crate) rows: Arc<Vec<ConnectionRow>>,
    reasons: Arc<Mutex<Vec<String>>>,
    pub(crate) operator: Arc<FakeOperator>,
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
            drops: vec![ReasonRow {
                reason: "user_gone".to_owned(),
                count: 7,
            }],
            refusals: vec![ReasonRow {
                reason: "no_route".to_owned(),
                count: 2,
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
                answered: 9,
                answer_us: 4500,
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

    fn operator(&self) -> Option<Arc<dyn Operator>> {
        Some(Arc::clone(&self.operator) as Arc<dyn Operator>)
    }
}

/// An operator of a gateway where scott is on line.
#[derive(Default)]
pub(crate) struct FakeOperator {
    pub(crate) disconnected: Mutex<Vec<Disconnection>>,
    pub(crate) reloads: AtomicUsize,
}

impl Operator for FakeOperator {
    fn users(&self, cursor: String, _: usize) -> Operation<'_, OnLineUsers> {
        let (user, cursor) = match cursor.as_str() {
            "" => ("scott", "second"),
            _ => ("tiger", ""),
        };
        Box::pin(ready(Ok(OnLineUsers {
            users: vec![user.to_owned()],
            cursor: cursor.to_owned(),
        })))
    }

    fn sessions(&self, user: String) -> Operation<'_, Vec<SessionRow>> {
        let is_here = user == "scott" && self.disconnected.lock().unwrap().is_empty();
        let session = SessionRow {
            user,
            device: "phone".to_owned(),
            gateway: "gwserver".to_owned(),
            address: "192.0.2.1:40000".to_owned(),
            endpoint: "socket_gateway".to_owned(),
            connection: "gwserver-0123456789abcdef-17".to_owned(),
            since_ms: 1_700_000_000_000,
        };
        Box::pin(ready(Ok(is_here.then_some(session).into_iter().collect())))
    }

    fn count(&self) -> Operation<'_, OnLineCount> {
        let text = "Redis does not answer".to_owned();
        Box::pin(ready(Err(OperatorError::Unavailable(text))))
    }

    fn disconnect(&self, which: Disconnection) -> Operation<'_, usize> {
        self.disconnected.lock().unwrap().push(which);
        Box::pin(ready(Ok(1)))
    }

    fn reload(&self) -> Operation<'_, ()> {
        let is_first = self.reloads.fetch_add(1, Ordering::Relaxed) == 0;
        let mistake = "services.xml:3:5: a mistake".to_owned();
        Box::pin(ready(match is_first {
            true => Ok(()),
            false => Err(OperatorError::Invalid(mistake)),
        }))
    }
}

/// A different row for each number; the user names repeat every ten.
pub(crate) fn row(id: u64) -> ConnectionRow {
    ConnectionRow {
        id,
        peer: format!("tcp://10.0.{}.{}:40000", id / 256, id % 256),
        user: Some(format!("User{}", id % 10)),
        device: None,
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
    serve_with(host, source, |server| server).await
}

/// The same, with additions to the server.
pub(crate) async fn serve_with(
    host: &str,
    source: &Fake,
    add: impl FnOnce(AdminServer) -> AdminServer,
) -> Running {
    let recorder = install_recorder().unwrap();
    let server = AdminServer::bind(&place(host), Some(recorder))
        .await
        .unwrap();
    let server = add(server);
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
