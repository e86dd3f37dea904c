//! The cases that are measured: transport, load shape, payload size.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tce_runtime::config::Options;

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Sockets,
    WebSocket,
    Queues,
    /// Sockets, with a gateway or proxy between client and server.
    Gateway,
    /// A socket between client and gateway, message queues between gateway and server.
    #[serde(rename = "gateway-mq")]
    GatewayQueues,
}

impl Transport {
    pub(crate) const ALL: [Self; 5] = [
        Self::Sockets,
        Self::WebSocket,
        Self::Queues,
        Self::Gateway,
        Self::GatewayQueues,
    ];

    /// Whether messages pass through the broker.
    pub(crate) const fn uses_queues(self) -> bool {
        matches!(self, Self::Queues | Self::GatewayQueues)
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Sockets => "sockets",
            Self::WebSocket => "WebSocket",
            Self::Queues => "message queues",
            Self::Gateway => "gateway to a server",
            Self::GatewayQueues => "gateway to message queues",
        }
    }
}

/// How many connections, and how many calls in flight on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LoadShape {
    /// One connection, one call in flight: latency
    Single,
    /// One connection, 64 calls in flight: batching of reads and writes
    Pipelined,
    /// 64 connections, 16 calls in flight on each: a server with many clients
    Fan,
    /// One connection, oneway messages as fast as the client can send, counted by the server
    Oneway,
    /// Persistent oneway messages, 64 callers that each wait for the broker's confirmation
    Confirmed,
}

impl LoadShape {
    pub(crate) const ALL: [Self; 5] = [
        Self::Single,
        Self::Pipelined,
        Self::Fan,
        Self::Oneway,
        Self::Confirmed,
    ];

    pub(crate) const fn connections(self) -> usize {
        match self {
            Self::Fan => 64,
            Self::Single | Self::Pipelined | Self::Oneway | Self::Confirmed => 1,
        }
    }

    /// Calls in flight on each connection.
    pub(crate) const fn in_flight(self) -> usize {
        match self {
            Self::Pipelined | Self::Confirmed => 64,
            Self::Fan => 16,
            Self::Single | Self::Oneway => 1,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Pipelined => "pipelined",
            Self::Fan => "fan",
            Self::Oneway => "oneway",
            Self::Confirmed => "confirmed",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Single => "one connection, one call in flight",
            Self::Pipelined => "one connection, 64 calls in flight",
            Self::Fan => "64 connections, 16 calls in flight on each",
            Self::Oneway => "oneway, one connection, as received by the server",
            Self::Confirmed => "oneway, persistent and confirmed, 64 in flight, as received",
        }
    }
}

/// Which processes of tce busy-poll before their thread sleeps. All other peers sleep at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BusyPollMode {
    /// No process
    Never,
    /// All, as is their default
    Usual,
}

impl BusyPollMode {
    /// Options of tce's clients and servers.
    pub(crate) fn options(self) -> Options {
        let defaults = Options::default();
        Options {
            busy_poll_time: defaults.busy_poll_time.filter(|_| self != Self::Never),
            ..defaults
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Never => ", tce without busy polling",
            Self::Usual => "",
        }
    }
}

/// One combination to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) transport: Transport,
    pub(crate) shape: LoadShape,
    /// Bytes of text in a call.
    pub(crate) payload: usize,
    pub(crate) busy_poll: BusyPollMode,
}

impl Case {
    pub(crate) fn title(self) -> String {
        let Self {
            transport,
            shape,
            payload,
            busy_poll,
        } = self;
        // Connections to a broker never busy-poll.
        let busy_poll = match transport {
            Transport::Queues => "",
            _ => busy_poll.title(),
        };
        let (transport, shape) = (transport.title(), shape.title());
        format!("{transport}: {payload} bytes, {shape}{busy_poll}")
    }

    /// What a reader of the numbers has to know about the floor.
    pub(crate) const fn footnote(self) -> &'static str {
        match (self.transport, self.shape) {
            (Transport::Sockets, LoadShape::Oneway) => {
                "raw writes frames through a buffer of 64 KiB; tonic, tarpc and capnp have no oneway."
            }
            (Transport::Queues, LoadShape::Single | LoadShape::Pipelined) => {
                "mq-raw uses lapin directly: transient messages, published concurrently, each one \
                 acknowledged."
            }
            (Transport::Queues, LoadShape::Confirmed) => {
                "persistent messages; each of 64 callers waits until the broker has confirmed its \
                 message."
            }
            (Transport::Queues, _) => {
                "mq-raw keeps up to 256 publishes in flight, without confirmations."
            }
            (Transport::GatewayQueues, _) => {
                "mq-raw has no gateway, and one connection to the broker for all callers; the \
                 gateway shares a core with its client by default."
            }
            (Transport::Gateway, _) => {
                "\"share of direct\" compares with the same client and server without the proxy; \
                 the proxy or nats-server shares a core with the server by default."
            }
            (Transport::WebSocket, LoadShape::Oneway) => {
                "ws-raw flushes whenever its buffer holds 64 KiB."
            }
            (_, LoadShape::Pipelined | LoadShape::Fan) => {
                "the floor works in lockstep: one write sends all calls in flight on a connection, \
                 and all answers are read before the next write; its latency is that of a whole \
                 batch."
            }
            _ => "the floor writes one message and reads it back.",
        }
    }
}
