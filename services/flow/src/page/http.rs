//! The HTTP server, and the limits of its connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::server::Monitor;

use super::site::router;

/// The most connections; further ones are closed.
const MAX_CONNECTIONS: usize = 64;
/// The time for a connection, which carries one request.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// The most bytes of a request's line and headers.
const MAX_REQUEST: usize = 16 * 1024;
/// The pause after a failed accept, for example when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers monitoring until it is dropped.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    task: AbortHandle,
}

impl AdminServer {
    /// Listens at `host:port`.
    ///
    /// # Errors
    ///
    /// The host is no address of this machine, or the port is taken.
    pub async fn start(at: &str, monitor: Monitor) -> io::Result<Self> {
        let listener = TcpListener::bind(at).await;
        let listener = listener.map_err(|error| {
            io::Error::new(error.kind(), format!("can't listen on {at}: {error}"))
        })?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept_all(listener, router(monitor)));
        Ok(Self {
            address,
            task: task.abort_handle(),
        })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept_all(listener: TcpListener, router: Router) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            continue;
        };
        let serving = tokio::time::timeout(CONNECTION_TIME, serve(stream, router.clone()));
        tokio::spawn(async move {
            // A request that fails concerns its client alone.
            let _ = serving.await;
            drop(permit);
        });
    }
}

async fn serve(stream: TcpStream, router: Router) -> hyper::Result<()> {
    let service = TowerToHyperService::new(router);
    http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_REQUEST)
        .serve_connection(TokioIo::new(stream), service)
        .await
}
