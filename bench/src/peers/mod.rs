//! The systems that are measured: for each a server and a client, and nothing that only one of
//! them needs is anywhere else.

mod chosen;
mod ice;
mod mq_raw;
mod raw;
mod tarpc;
pub(crate) mod tce;
mod tce_mq;
mod tcp;
mod tonic;
mod ws_raw;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    case::{Case, Shape, Transport},
    control::Received,
    intermediary::Between,
    load::Load,
    meter::Measurement,
    package::{self, Package},
    process::{Address, Ready},
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
    /// The floor through nginx, which copies bytes
    RawNginx,
    /// The floor through haproxy, which copies bytes
    RawHaproxy,
    /// tce through the gateway to a server
    TceGateway,
    /// ZeroC Ice over TCP
    Ice,
    /// ZeroC Ice through its own gateway, Glacier2
    IceGlacier2,
    /// tce through the gateway and RabbitMQ
    TceGatewayMq,
    /// tce through the gateway and RabbitMQ, with several messages in one of the broker's
    TceGatewayMqBatch,
}

/// What a server is given.
pub(crate) struct Stand {
    pub(crate) case: Case,
    /// Where the broker listens, if there is one.
    pub(crate) broker: Option<SocketAddr>,
    /// To be told of each oneway message.
    pub(crate) received: Arc<Received>,
    pub(crate) ready: Ready,
}

impl Peer {
    pub(crate) const ALL: [Self; 16] = [
        Self::Raw,
        Self::Tonic,
        Self::Tarpc,
        Self::Tce,
        Self::WsRaw,
        Self::TceWs,
        Self::MqRaw,
        Self::TceMq,
        Self::TceMqBatch,
        Self::RawNginx,
        Self::RawHaproxy,
        Self::TceGateway,
        Self::Ice,
        Self::IceGlacier2,
        Self::TceGatewayMq,
        Self::TceGatewayMqBatch,
    ];

    /// The peers that are measured side by side, in the order of their rows.
    pub(crate) const fn over(transport: Transport) -> &'static [Self] {
        match transport {
            Transport::Sockets => &[Self::Raw, Self::Tonic, Self::Tarpc, Self::Tce],
            Transport::WebSocket => &[Self::WsRaw, Self::TceWs],
            Transport::Queues => &[Self::MqRaw, Self::TceMq, Self::TceMqBatch],
            Transport::Gateway => &[
                Self::Raw,
                Self::RawNginx,
                Self::RawHaproxy,
                Self::Tce,
                Self::TceGateway,
                Self::Ice,
                Self::IceGlacier2,
            ],
            Transport::GatewayQueues => &[Self::MqRaw, Self::TceGatewayMq, Self::TceGatewayMqBatch],
        }
    }

    /// Where it is at home; others are measured beside what goes through a gateway, too.
    pub(crate) const fn transport(self) -> Transport {
        match self {
            Self::Raw | Self::Tonic | Self::Tarpc | Self::Tce => Transport::Sockets,
            Self::WsRaw | Self::TceWs => Transport::WebSocket,
            Self::MqRaw | Self::TceMq | Self::TceMqBatch => Transport::Queues,
            Self::RawNginx
            | Self::RawHaproxy
            | Self::TceGateway
            | Self::Ice
            | Self::IceGlacier2 => Transport::Gateway,
            Self::TceGatewayMq | Self::TceGatewayMqBatch => Transport::GatewayQueues,
        }
    }

    /// What the same work costs without any RPC system.
    pub(crate) const fn floor(self) -> Self {
        match self.transport() {
            Transport::Sockets | Transport::Gateway => Self::Raw,
            Transport::WebSocket => Self::WsRaw,
            Transport::Queues | Transport::GatewayQueues => Self::MqRaw,
        }
    }

    /// The same client and server with nothing between them.
    pub(crate) const fn direct(self) -> Option<Self> {
        match self {
            Self::RawNginx | Self::RawHaproxy => Some(Self::Raw),
            Self::TceGateway => Some(Self::Tce),
            Self::IceGlacier2 => Some(Self::Ice),
            _ => None,
        }
    }

    /// What stands between its client and its server.
    pub(crate) const fn between(self) -> Option<Between> {
        match self {
            Self::RawNginx => Some(Between::Nginx),
            Self::RawHaproxy => Some(Between::Haproxy),
            Self::TceGateway => Some(Between::Gateway),
            Self::IceGlacier2 => Some(Between::Glacier2),
            Self::TceGatewayMq => Some(Between::GatewayToQueues { in_batches: false }),
            Self::TceGatewayMqBatch => Some(Between::GatewayToQueues { in_batches: true }),
            _ => None,
        }
    }

    /// What has to be installed for it.
    pub(crate) fn packages(self) -> &'static [Package] {
        match self {
            Self::RawNginx => &package::NGINX,
            Self::RawHaproxy => &package::HAPROXY,
            Self::Ice => &package::ICE,
            Self::IceGlacier2 => &package::GLACIER2,
            _ if self.transport().uses_queues() => &package::RABBITMQ,
            _ => &[],
        }
    }

    /// Builds what is not in this program, and not there yet.
    pub(crate) fn build(self) -> Result<()> {
        match self {
            Self::Ice => ice::build(),
            _ => Ok(()),
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
            Self::RawNginx => "raw-nginx",
            Self::RawHaproxy => "raw-haproxy",
            Self::TceGateway => "tce-gateway",
            Self::Ice => "ice",
            Self::IceGlacier2 => "ice-glacier2",
            Self::TceGatewayMq => "tce-gateway-mq",
            Self::TceGatewayMqBatch => "tce-gateway-mq-batch",
        }
    }

    /// Whether it has a way to do this at all.
    pub(crate) fn offers(self, case: Case) -> bool {
        use Transport::{Gateway, GatewayQueues, Queues};
        match (self, case.shape) {
            (Self::Tonic | Self::Tarpc, Shape::Oneway) => false,
            (_, Shape::Oneway) => !matches!(case.transport, Gateway | GatewayQueues),
            // All clients of a process share its connection to the broker.
            (_, Shape::Fan) => case.transport != Queues,
            (_, Shape::Confirmed) => case.transport == Queues,
            _ => true,
        }
    }

    /// Serves until dropped.
    ///
    /// # Errors
    /// It can't serve, or a connection broke.
    pub(crate) async fn server(self, stand: Stand) -> Result<()> {
        match self {
            Self::Raw | Self::RawNginx | Self::RawHaproxy => raw::server(stand).await,
            Self::Tonic => tonic::server(stand).await,
            Self::Tarpc => tarpc::server(stand).await,
            Self::Tce | Self::TceGateway => tce::server(stand, "tcp://127.0.0.1:0").await,
            Self::WsRaw => ws_raw::server(stand).await,
            Self::TceWs => tce::server(stand, "ws://127.0.0.1:0").await,
            Self::MqRaw => mq_raw::server(stand).await,
            Self::TceMq | Self::TceGatewayMq => tce_mq::server(stand, false).await,
            Self::TceMqBatch | Self::TceGatewayMqBatch => tce_mq::server(stand, true).await,
            Self::Ice | Self::IceGlacier2 => ice::server(stand).await,
        }
    }

    /// Connects, and does what the load asks for.
    ///
    /// # Errors
    /// A call failed, or an answer is not what was sent.
    pub(crate) async fn client(self, server: &Address, load: &Load) -> Result<Measurement> {
        match self {
            Self::Raw | Self::RawNginx | Self::RawHaproxy => raw::client(server, load).await,
            Self::Tonic => tonic::client(server, load).await,
            Self::Tarpc => tarpc::client(server, load).await,
            Self::Tce
            | Self::TceWs
            | Self::TceGateway
            | Self::TceGatewayMq
            | Self::TceGatewayMqBatch => tce::client(server, load).await,
            Self::WsRaw => ws_raw::client(server, load).await,
            Self::MqRaw => mq_raw::client(server, load).await,
            Self::TceMq => tce_mq::client(server, load, false).await,
            Self::TceMqBatch => tce_mq::client(server, load, true).await,
            Self::Ice | Self::IceGlacier2 => ice::client(server, load).await,
        }
    }
}
