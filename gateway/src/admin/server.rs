//! The HTTP server, and the limits of its connections.

use std::{collections::VecDeque, fmt, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};

use crate::{config::HostPort, metrics::Recorder};

use super::{
    site::{Site, router},
    snapshot::{SnapshotSource, StartingSource},
    watchdog::Watchdog,
};

/// The maximum number of connections. A further one closes the oldest: health
/// checks must not wait for connections that send nothing or read nothing.
const MAX_CONNECTIONS: usize = 64;
/// The time limit of a connection, which carries one request: from accepting it
/// to the last byte of the answer. A limit of the handler alone would not cover
/// a client that sends its request slowly.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// The maximum size of a request's line and headers, in bytes.
const MAX_REQUEST: usize = 16 * 1024;
/// Time for requests in progress at the shutdown.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// The pause after a failed accept, for example when no file descriptor is
/// left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The HTTP server of `/`, `/api/state`, `/healthz`, `/readyz` and `/metrics`.
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    hosts: Vec<String>,
    token: Option<String>,
    recorder: Option<Recorder>,
}

impl AdminServer {
    /// Listens. Requests are answered from [`AdminServer::serve`] on. Without a
    /// recorder there is no `/metrics`.
    ///
    /// # Errors
    /// The host is not an address of this machine, or the port is taken.
    pub async fn bind(at: &HostPort, recorder: Option<Recorder>) -> io::Result<Self> {
        let failed = |error: io::Error| {
            let text = format!("can't serve the admin page at {at}: {error}");
            io::Error::new(error.kind(), text)
        };
        let bound = TcpListener::bind((at.host.as_str(), at.port)).await;
        let listener = bound.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "the admin page shows users and addresses to everyone who can reach this port");
        }
        tracing::info!(%address, "serving the admin page");
        Ok(Self {
            listener,
            address,
            hosts: vec![at.host.clone()],
            token: None,
            recorder,
        })
    }

    /// Answers requests for these host names, too (`admin_hosts`).
    #[must_use]
    pub fn with_hosts(mut self, hosts: impl IntoIterator<Item = String>) -> Self {
        self.hosts.extend(hosts);
        self
    }

    /// Lets requests with this token change something (`admin_token`). Without one
    /// nothing can be changed.
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs `starting`, and meanwhile answers that the gateway `name` is alive
    /// and starting.
    pub async fn while_starting<T>(&self, name: &str, starting: impl Future<Output = T>) -> T {
        let (started, end) = oneshot::channel();
        let starting = async {
            let result = starting.await;
            // The receiver lives as long as this function.
            let _ = started.send(());
            result
        };
        let serving = self.serve(StartingSource(name.to_owned()), async {
            let _ = end.await;
        });
        let (result, ()) = tokio::join!(starting, serving);
        result
    }

    /// Answers requests until `shutdown` is ready.
    pub async fn serve(&self, source: impl SnapshotSource, shutdown: impl Future<Output = ()>) {
        let source: Arc<dyn SnapshotSource> = Arc::new(source);
        let watchdog = Arc::new(Watchdog::new());
        let watching = Arc::clone(&watchdog).run(Arc::clone(&source), self.recorder.clone());
        let router = router(Site {
            source,
            watchdog,
            hosts: self.hosts.clone(),
            token: self.token.clone(),
            recorder: self.recorder.clone(),
        });
        // The set aborts its task when this function ends.
        let mut tasks = JoinSet::new();
        tasks.spawn(watching);
        accept_all(&self.listener, &router, shutdown).await;
    }
}

async fn accept_all(listener: &TcpListener, router: &Router, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let mut connections = JoinSet::new();
    let mut by_age: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    by_age.retain(|connection| !connection.is_finished());
                    if by_age.len() >= MAX_CONNECTIONS
                        && let Some(oldest) = by_age.pop_front()
                    {
                        oldest.abort();
                    }
                    by_age.push_back(connections.spawn(answer(stream, router.clone())));
                }
                Err(error) => {
                    tracing::warn!("can't accept a connection to the admin page: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    let rest = async { while connections.join_next().await.is_some() {} };
    // Dropping the set closes the connections that take longer.
    let _ = tokio::time::timeout(DRAIN_TIME, rest).await;
}

async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_REQUEST)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a request to the admin page failed: {error}"),
        Err(_) => tracing::debug!("a request to the admin page took more than {CONNECTION_TIME:?}"),
    }
}

impl fmt::Debug for AdminServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
