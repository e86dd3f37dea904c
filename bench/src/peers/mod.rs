//! The systems that are measured: for each a server and a client, and nothing that only one of
//! them needs is anywhere else.

mod chosen;
mod mq_raw;
mod queues;
mod raw;
mod tarpc;
mod tce;
mod tce_mq;
mod tonic;
mod ws_raw;

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
    shape::{Case, Shape, Transport},
};

pub(crate) use chosen::Chosen;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// Length-prefixed frames over tokio's TCP and nothing else: the floor
    Raw,
    /// gRPC by tonic, messages by prost
    Tonic,
    /// tarpc over TCP with bincode
    Tarpc,
    /// tce over TCP
    Tce,
    /// WebSocket messages by tungstenite and nothing else: the floor
    WsRaw,
    /// tce over WebSocket
    TceWs,
    /// Calls over RabbitMQ by lapin, written by hand: the floor
    MqRaw,
    /// tce over RabbitMQ
    TceMq,
    /// tce over RabbitMQ, with several messages in one of the broker's
    TceMqBatch,
}

/// What a server is given.
pub(crate) struct Stand {
    pub(crate) shape: Shape,
    /// Where the broker listens, if there is one.
    pub(crate) broker: Option<SocketAddr>,
    /// To be told of each oneway message.
    pub(crate) received: Arc<Received>,
    pub(crate) ready: Ready,
}

impl Peer {
    pub(crate) const ALL: [Self; 9] = [
        Self::Raw,
        Self::Tonic,
        Self::Tarpc,
        Self::Tce,
        Self::WsRaw,
        Self::TceWs,
        Self::MqRaw,
        Self::TceMq,
        Self::TceMqBatch,
    ];

    pub(crate) const fn transport(self) -> Transport {
        match self {
            Self::Raw | Self::Tonic | Self::Tarpc | Self::Tce => Transport::Sockets,
            Self::WsRaw | Self::TceWs => Transport::WebSocket,
            Self::MqRaw | Self::TceMq | Self::TceMqBatch => Transport::Queues,
        }
    }

    /// What the same work costs without any RPC system.
    pub(crate) const fn floor(self) -> Self {
        match self.transport() {
            Transport::Sockets => Self::Raw,
            Transport::WebSocket => Self::WsRaw,
            Transport::Queues => Self::MqRaw,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Tonic => "tonic",
            Self::Tarpc => "tarpc",
            Self::Tce => "tce",
            Self::WsRaw => "ws-raw",
            Self::TceWs => "tce-ws",
            Self::MqRaw => "mq-raw",
            Self::TceMq => "tce-mq",
            Self::TceMqBatch => "tce-mq-batch",
        }
    }

    /// Whether it has a way to do this at all.
    pub(crate) fn offers(self, case: Case) -> bool {
        let shape = match (self, case.shape) {
            (Self::Tonic | Self::Tarpc, Shape::Oneway) => false,
            // All clients of a process share its connection to the broker.
            (_, Shape::Fan) => case.transport != Transport::Queues,
            (_, Shape::Confirmed) => case.transport == Transport::Queues,
            _ => true,
        };
        shape && self.transport() == case.transport
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
            Self::Tce => tce::server(stand, "tcp://127.0.0.1:0").await,
            Self::WsRaw => ws_raw::server(stand).await,
            Self::TceWs => tce::server(stand, "ws://127.0.0.1:0").await,
            Self::MqRaw => mq_raw::server(stand).await,
            Self::TceMq => tce_mq::server(stand, false).await,
            Self::TceMqBatch => tce_mq::server(stand, true).await,
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
            Self::Tce | Self::TceWs => tce::client(server, load).await,
            Self::WsRaw => ws_raw::client(server, load).await,
            Self::MqRaw => mq_raw::client(server, load).await,
            Self::TceMq => tce_mq::client(server, load, false).await,
            Self::TceMqBatch => tce_mq::client(server, load, true).await,
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
