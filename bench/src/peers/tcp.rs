//! TCP listeners and connections, for the peers whose library leaves them to the program.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Listens on a free port; returns the listener and its address.
pub(super) async fn listen() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

pub(super) async fn connect(endpoint: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(endpoint).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Serves each connection in a task of its own.
///
/// # Errors
/// The first error of any task.
pub(super) async fn serve_each<F>(
    listener: TcpListener,
    serve: impl Fn(TcpStream) -> F,
) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                connections.spawn(serve(stream));
            }
            Some(ended) = connections.join_next() => ended??,
        }
    }
}
