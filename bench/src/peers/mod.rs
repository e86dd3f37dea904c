//! The measured systems. Each file has a server and a client of one system, and all that only this
//! system needs.

mod tcp;

mod capnp;
mod ice;
mod mq_raw;
mod nats;
mod raw;
mod tarpc;
pub(crate) mod tce;
mod tce_mq;
mod tonic;
mod ws_raw;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    case::{Case, LoadShape, Transport},
    endpoint::{ServerAddress, ServerSetup},
    load::LoadGenerator,
    meter::Measurement,
    package::{self, DebianPackage},
};

/// A measured system, on its own or behind a gateway or proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// The floor for sockets: length-prefixed frames over tokio's TCP
    Raw,
    /// gRPC by tonic, with prost
    Tonic,
    /// tarpc over TCP with bincode
    Tarpc,
    /// Cap'n Proto RPC over TCP by capnp-rpc
    Capnp,
    /// tce over TCP
    Tce,
    /// The floor for WebSocket: binary messages by tungstenite
    WsRaw,
    /// tce over WebSocket
    TceWs,
    /// The floor for message queues: lapin used directly over RabbitMQ
    MqRaw,
    /// tce over RabbitMQ
    TceMq,
    /// tce over RabbitMQ, several messages in one AMQP message
    TceMqBatch,
    /// raw through nginx as a TCP proxy
    RawNginx,
    /// raw through haproxy as a TCP proxy
    RawHaproxy,
    /// tce over TCP through tce-gateway
    TceGateway,
    /// ZeroC Ice over TCP
    Ice,
    /// ZeroC Ice through its gateway, Glacier2
    IceGlacier2,
    /// Requests by async-nats through nats-server
    Nats,
    /// tce through tce-gateway and RabbitMQ
    TceGatewayMq,
    /// tce through tce-gateway and RabbitMQ, several messages in one AMQP message
    TceGatewayMqBatch,
}

impl Peer {
    pub(crate) const ALL: [Self; 18] = [
        Self::Raw,
        Self::Tonic,
        Self::Tarpc,
        Self::Capnp,
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
        Self::Nats,
        Self::TceGatewayMq,
        Self::TceGatewayMqBatch,
    ];

    /// The peers that are compared over a transport, in the order of their rows.
    pub(crate) const fn over(transport: Transport) -> &'static [Self] {
        match transport {
            Transport::Sockets => &[Self::Raw, Self::Tonic, Self::Tarpc, Self::Capnp, Self::Tce],
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
                Self::Nats,
            ],
            Transport::GatewayQueues => &[Self::MqRaw, Self::TceGatewayMq, Self::TceGatewayMqBatch],
        }
    }

    /// The transport that the peer belongs to. In cases of other transports the peer is a
    /// reference.
    pub(crate) const fn transport(self) -> Transport {
        match self {
            Self::Raw | Self::Tonic | Self::Tarpc | Self::Capnp | Self::Tce => Transport::Sockets,
            Self::WsRaw | Self::TceWs => Transport::WebSocket,
            Self::MqRaw | Self::TceMq | Self::TceMqBatch => Transport::Queues,
            Self::RawNginx
            | Self::RawHaproxy
            | Self::TceGateway
            | Self::Ice
            | Self::IceGlacier2
            | Self::Nats => Transport::Gateway,
            Self::TceGatewayMq | Self::TceGatewayMqBatch => Transport::GatewayQueues,
        }
    }

    /// The peer that does the same exchange without an RPC system.
    pub(crate) const fn floor(self) -> Self {
        match self.transport() {
            Transport::Sockets | Transport::Gateway => Self::Raw,
            Transport::WebSocket => Self::WsRaw,
            Transport::Queues | Transport::GatewayQueues => Self::MqRaw,
        }
    }

    /// The same client and server without the gateway or proxy.
    pub(crate) const fn direct(self) -> Option<Self> {
        match self {
            Self::RawNginx | Self::RawHaproxy => Some(Self::Raw),
            Self::TceGateway => Some(Self::Tce),
            Self::IceGlacier2 => Some(Self::Ice),
            _ => None,
        }
    }

    /// The packages that have to be installed for the peer.
    pub(crate) fn packages(self) -> &'static [DebianPackage] {
        match self {
            Self::RawNginx => &package::NGINX,
            Self::RawHaproxy => &package::HAPROXY,
            Self::Ice => &package::ICE,
            Self::IceGlacier2 => &package::GLACIER2,
            Self::Nats => &package::NATS,
            _ if self.transport().uses_queues() => &package::RABBITMQ,
            _ => &[],
        }
    }

    /// Builds the peer's program if the peer is not part of this one and is not built yet.
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
            Self::Capnp => "capnp",
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
            Self::Nats => "nats",
            Self::TceGatewayMq => "tce-gateway-mq",
            Self::TceGatewayMqBatch => "tce-gateway-mq-batch",
        }
    }

    /// Whether the peer is tce, on whatever transport.
    pub(crate) const fn is_tce(self) -> bool {
        matches!(
            self,
            Self::Tce
                | Self::TceWs
                | Self::TceMq
                | Self::TceMqBatch
                | Self::TceGateway
                | Self::TceGatewayMq
                | Self::TceGatewayMqBatch
        )
    }

    /// Whether the peer supports the case.
    pub(crate) fn supports(self, case: Case) -> bool {
        use Transport::{Gateway, GatewayQueues, Queues};
        match (self, case.shape) {
            (Self::Tonic | Self::Tarpc | Self::Capnp, LoadShape::Oneway) => false,
            (_, LoadShape::Oneway) => !matches!(case.transport, Gateway | GatewayQueues),
            // All clients of a process share one connection to the broker.
            (_, LoadShape::Fan) => case.transport != Queues,
            (_, LoadShape::Confirmed) => case.transport == Queues,
            _ => true,
        }
    }

    /// Whether callgrind can count the peer's processes in the case. Ice's are another program,
    /// which calls for a time only. Oneway messages through a gateway have no rate to compare, but
    /// what they cost can be counted.
    pub(crate) fn can_be_counted(self, case: Case) -> bool {
        let is_relayed_oneway = self == Self::TceGateway && case.shape == LoadShape::Oneway;
        !matches!(self, Self::Ice | Self::IceGlacier2) && (is_relayed_oneway || self.supports(case))
    }

    /// Serves until dropped.
    ///
    /// # Errors
    /// The server can't listen, or a connection failed.
    pub(crate) async fn server(self, setup: ServerSetup) -> Result<()> {
        match self {
            Self::Raw | Self::RawNginx | Self::RawHaproxy => raw::server(setup).await,
            Self::Tonic => tonic::server(setup).await,
            Self::Tarpc => tarpc::server(setup).await,
            Self::Capnp => capnp::server(setup).await,
            Self::Tce | Self::TceGateway => tce::server(setup, "tcp://127.0.0.1:0").await,
            Self::WsRaw => ws_raw::server(setup).await,
            Self::TceWs => tce::server(setup, "ws://127.0.0.1:0").await,
            Self::MqRaw => mq_raw::server(setup).await,
            Self::TceMq | Self::TceGatewayMq => tce_mq::server(setup, false).await,
            Self::TceMqBatch | Self::TceGatewayMqBatch => tce_mq::server(setup, true).await,
            Self::Ice | Self::IceGlacier2 => ice::server(setup).await,
            Self::Nats => nats::server(setup).await,
        }
    }

    /// Connects and generates the load.
    ///
    /// # Errors
    /// A call failed, or an answer is not the text that was sent.
    pub(crate) async fn client(
        self,
        server: &ServerAddress,
        load: &LoadGenerator,
    ) -> Result<Measurement> {
        match self {
            Self::Raw | Self::RawNginx | Self::RawHaproxy => raw::client(server, load).await,
            Self::Tonic => tonic::client(server, load).await,
            Self::Tarpc => tarpc::client(server, load).await,
            Self::Capnp => capnp::client(server, load).await,
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
            Self::Nats => nats::client(server, load).await,
        }
    }
}
