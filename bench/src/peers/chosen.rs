//! What one word after `--peers` chooses.

use clap::{ValueEnum, builder::PossibleValue};

use super::Peer;
use crate::case::Transport;

const TRANSPORTS: usize = Transport::ALL.len();

#[derive(Debug, Clone, Copy)]
pub(crate) enum Chosen {
    All(Transport),
    One(Peer),
}

impl Chosen {
    pub(crate) const ALL_TRANSPORTS: [Self; TRANSPORTS] = [
        Self::All(Transport::Sockets),
        Self::All(Transport::WebSocket),
        Self::All(Transport::Queues),
        Self::All(Transport::Gateway),
        Self::All(Transport::GatewayQueues),
    ];

    /// Whether `peer` is meant, in the cases over `transport`.
    pub(crate) fn holds(self, peer: Peer, transport: Transport) -> bool {
        match self {
            Self::All(chosen) => transport == chosen,
            Self::One(one) => peer == one && transport == one.transport(),
        }
    }
}

impl ValueEnum for Chosen {
    fn value_variants<'a>() -> &'a [Self] {
        const ONES: usize = Peer::ALL.len();
        const ALL: [Chosen; TRANSPORTS + ONES] = {
            let mut all = [Chosen::All(Transport::Sockets); TRANSPORTS + ONES];
            let mut nth = 0;
            while nth < all.len() {
                all[nth] = if nth < TRANSPORTS {
                    Chosen::ALL_TRANSPORTS[nth]
                } else {
                    Chosen::One(Peer::ALL[nth - TRANSPORTS])
                };
                nth += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::All(transport) => {
                let (name, help) = match transport {
                    Transport::Sockets => ("sockets", "All peers over sockets"),
                    Transport::WebSocket => ("websocket", "All peers over WebSocket"),
                    Transport::Queues => ("mq", "All peers over RabbitMQ"),
                    Transport::Gateway => {
                        ("gateway", "All gateways and proxies, and who goes without")
                    }
                    Transport::GatewayQueues => (
                        "gateway-mq",
                        "Through the gateway and RabbitMQ, and who goes without",
                    ),
                };
                Some(PossibleValue::new(name).help(help))
            }
            Self::One(peer) => peer.to_possible_value(),
        }
    }
}
