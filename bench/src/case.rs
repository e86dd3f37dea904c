//! The cases that are measured: over which transport, in which shape of load, with how much text.

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
    /// Sockets, and a gateway or proxy between the two ends.
    Gateway,
    /// A socket to a gateway, and message queues behind it.
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

    /// Whether messages pass the broker.
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

/// How many connections, and how much is under way on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// One connection, one call in flight: latency
    Single,
    /// One connection, 64 calls in flight: what gathering gains
    Pipelined,
    /// 64 connections, 16 calls in flight on each: a server's day
    Fan,
    /// One connection, oneway messages as fast as they leave, counted where they arrive
    Oneway,
    /// Oneway messages that survive the broker, 64 callers waiting for its confirmations
    Confirmed,
}

impl Shape {
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

    /// Calls under way at once on each connection.
    pub(crate) const fn in_flight(self) -> usize {
        match self {
            Self::Pipelined | Self::Confirmed => 64,
            Self::Fan => 16,
            Self::Single | Self::Oneway => 1,
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

/// Who of ours looks for what comes before its thread sleeps. All others sleep at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BusyPoll {
    /// Nobody
    Never,
    /// Clients and the gateway, as they do unless told otherwise
    Usual,
    /// Servers, too
    Always,
}

impl BusyPoll {
    /// The options of our clients.
    pub(crate) fn options(self) -> Options {
        let usual = Options::default();
        Options {
            busy_poll_time: usual.busy_poll_time.filter(|_| self != Self::Never),
            ..usual
        }
    }

    /// What our servers do.
    pub(crate) fn begin(self) -> Option<tce_runtime::BusyPoll> {
        let usual = Options::default().busy_poll_time;
        usual
            .filter(|_| self == Self::Always)
            .and_then(tce_runtime::BusyPoll::begin)
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Never => ", ours sleeps at once",
            Self::Usual => "",
            Self::Always => ", our server polls too",
        }
    }
}

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) transport: Transport,
    pub(crate) shape: Shape,
    /// Bytes of text in a call.
    pub(crate) payload: usize,
    pub(crate) busy_poll: BusyPoll,
}

impl Case {
    pub(crate) fn title(self) -> String {
        let Self {
            transport,
            shape,
            payload,
            busy_poll,
        } = self;
        let who = match transport {
            Transport::Queues => "",
            _ => busy_poll.title(),
        };
        let (transport, shape) = (transport.title(), shape.title());
        format!("{transport}: {payload} bytes, {shape}{who}")
    }

    /// What a reader of the numbers has to know about the floor.
    pub(crate) const fn footnote(self) -> &'static str {
        match (self.transport, self.shape) {
            (Transport::Sockets, Shape::Oneway) => {
                "raw writes frames through a buffer of 64 KiB; tonic and tarpc have no oneway."
            }
            (Transport::Queues, Shape::Single | Shape::Pipelined) => {
                "mq-raw is lapin by hand: transient messages, published concurrently, each one \
                 acknowledged."
            }
            (Transport::Queues, Shape::Confirmed) => {
                "persistent messages; each of 64 callers waits until the broker has confirmed its \
                 own."
            }
            (Transport::Queues, _) => {
                "mq-raw keeps 256 publishes under way, without confirmations."
            }
            (Transport::GatewayQueues, _) => {
                "mq-raw goes to the broker without a gateway, all its callers over one connection; the \
                 gateway has one core together with its client."
            }
            (Transport::Gateway, _) => {
                "a proxy's share is of what its own client and server do without it; both it and \
                 the server have one core together."
            }
            (Transport::WebSocket, Shape::Oneway) => {
                "ws-raw flushes whenever 64 KiB have gathered."
            }
            (_, Shape::Pipelined | Shape::Fan) => {
                "the floor goes in lockstep: it writes what is in flight on a connection in one \
                 write and reads all of it back before the next; its latency is that of a whole \
                 batch."
            }
            _ => "the floor writes one message and reads it back.",
        }
    }
}
