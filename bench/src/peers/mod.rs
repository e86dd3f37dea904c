//! The systems that are measured: for each a server and a client, and nothing that only one of
//! them needs is anywhere else.

mod raw;
mod tarpc;
mod tce;
mod tonic;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    control::Received,
    load::Load,
    meter::Measurement,
    process::{Address, Ready},
    shape::Shape,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peer {
    /// Length-prefixed frames over tokio's TCP and nothing else: the floor
    Raw,
    /// gRPC by tonic, messages by prost
    Tonic,
    /// tarpc over TCP with bincode
    Tarpc,
    /// tce over TCP
    Tce,
}

/// What a server is given.
pub(crate) struct Stand {
    pub(crate) shape: Shape,
    /// To be told of each oneway message.
    pub(crate) received: Arc<Received>,
    pub(crate) ready: Ready,
}

impl Peer {
    pub(crate) const ALL: [Self; 4] = [Self::Raw, Self::Tonic, Self::Tarpc, Self::Tce];

    /// What the same work costs without any RPC system.
    pub(crate) const fn floor(self) -> Self {
        match self {
            Self::Raw | Self::Tonic | Self::Tarpc | Self::Tce => Self::Raw,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Tonic => "tonic",
            Self::Tarpc => "tarpc",
            Self::Tce => "tce",
        }
    }

    /// Whether it has a way to do this at all.
    pub(crate) const fn offers(self, shape: Shape) -> bool {
        match self {
            Self::Raw | Self::Tce => true,
            Self::Tonic | Self::Tarpc => !matches!(shape, Shape::Oneway),
        }
    }

    /// Serves until dropped.
    ///
    /// # Errors
    /// It can't serve, or a connection broke.
    pub(crate) async fn server(self, stand: Stand) -> Result<()> {
        match self {
            Self::Raw => raw::server(stand).await,
            Self::Tonic => tonic::server(stand).await,
            Self::Tarpc => tarpc::server(stand).await,
            Self::Tce => tce::server(stand).await,
        }
    }

    /// Connects, and does what the load asks for.
    ///
    /// # Errors
    /// A call failed, or an answer is not what was sent.
    pub(crate) async fn client(self, server: &Address, load: &Load) -> Result<Measurement> {
        match self {
            Self::Raw => raw::client(server, load).await,
            Self::Tonic => tonic::client(server, load).await,
            Self::Tarpc => tarpc::client(server, load).await,
            Self::Tce => tce::client(server, load).await,
        }
    }
}

/// A listener on a free port, and that port's address.
async fn listen() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn connect(endpoint: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(endpoint).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Serves each connection in a task of its own, and fails with the first that fails.
async fn serve_each<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F) -> Result<()>
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
