//! Takes requests, and bounds what they may take.

use std::{fmt, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

use crate::config::HostPort;

use super::{
    Recorder, Source, Starting,
    site::{Site, router},
    watchdog::Pulse,
};

/// Requests at once; further ones wait in the system's queue.
const REQUESTS: usize = 64;
/// How long one request may take, from its first byte to the answer's last. A
/// connection carries one request, so this bounds it too.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// A request's line and headers.
const REQUEST_BYTES: usize = 16 * 1024;
/// What is being answered when the end comes.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How long to rest when the system has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The HTTP server of `/`, `/api/state`, `/healthz`, `/readyz` and `/metrics`.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    host: String,
    recorder: Option<Recorder>,
}

impl Server {
    /// Listens; nobody is answered before [`Server::serve`]. Without a recorder
    /// there is no `/metrics`.
    ///
    /// # Errors
    /// Where the host is not ours or the port is taken.
    pub async fn bind(place: &HostPort, recorder: Option<Recorder>) -> io::Result<Self> {
        let failed = |error: io::Error| {
            let text = format!("the admin page can't be at {place}: {error}");
            io::Error::new(error.kind(), text)
        };
        let bound = TcpListener::bind((place.host.as_str(), place.port)).await;
        let listener = bound.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "whoever reaches the admin page sees users and addresses");
        }
        tracing::info!(%address, "the admin page is there");
        Ok(Self {
            listener,
            address,
            host: place.host.clone(),
            recorder,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says that the gateway `name` starts, to whoever asks until `starting` has
    /// its result: whatever it waits for, it is alive.
    pub async fn while_starting<T>(&self, name: &str, starting: impl Future<Output = T>) -> T {
        let (started, end) = oneshot::channel();
        let starting = async {
            let result = starting.await;
            // Nobody has stopped listening for it.
            let _ = started.send(());
            result
        };
        let serving = self.serve(Starting(name.to_owned()), async {
            let _ = end.await;
        });
        let (result, ()) = tokio::join!(starting, serving);
        result
    }

    /// Answers until `shutdown` is ready.
    pub async fn serve(&self, source: impl Source, shutdown: impl Future<Output = ()>) {
        let source: Arc<dyn Source> = Arc::new(source);
        let pulse = Arc::new(Pulse::new());
        let beating = Arc::clone(&pulse).beat(Arc::clone(&source), self.recorder.clone());
        let router = router(Site {
            source,
            pulse,
            host: self.host.clone(),
            recorder: self.recorder.clone(),
        });
        // Ends with this function.
        let mut heart = JoinSet::new();
        heart.spawn(beating);
        answer_all(&self.listener, &router, shutdown).await;
    }
}

async fn answer_all(listener: &TcpListener, router: &Router, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept(), if requests.len() < REQUESTS => match accepted {
                Ok((stream, _)) => {
                    requests.spawn(answer(stream, router.clone()));
                }
                Err(error) => {
                    tracing::warn!("can't accept a connection to the admin page: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = requests.join_next() => {}
        }
    }
    let rest = async { while requests.join_next().await.is_some() {} };
    // What takes longer is cut off.
    let _ = tokio::time::timeout(LAST_ANSWERS, rest).await;
}

async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(REQUEST_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(REQUEST_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a request to the admin page failed: {error}"),
        Err(_) => tracing::debug!("a request to the admin page took more than {REQUEST_TIME:?}"),
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
