//! What one word after `--peers` chooses.

use clap::{ValueEnum, builder::PossibleValue};

use super::Peer;
use crate::shape::Transport;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Chosen {
    All(Transport),
    One(Peer),
}

impl Chosen {
    pub(crate) const ALL_TRANSPORTS: [Self; 3] = [
        Self::All(Transport::Sockets),
        Self::All(Transport::WebSocket),
        Self::All(Transport::Queues),
    ];

    pub(crate) fn holds(self, peer: Peer) -> bool {
        match self {
            Self::All(transport) => peer.transport() == transport,
            Self::One(one) => peer == one,
        }
    }
}

impl ValueEnum for Chosen {
    fn value_variants<'a>() -> &'a [Self] {
        const ONES: usize = Peer::ALL.len();
        const ALL: [Chosen; 3 + ONES] = {
            let mut all = [Chosen::All(Transport::Sockets); 3 + ONES];
            let mut nth = 0;
            while nth < all.len() {
                all[nth] = if nth < 3 {
                    Chosen::ALL_TRANSPORTS[nth]
                } else {
                    Chosen::One(Peer::ALL[nth - 3])
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
                };
                Some(PossibleValue::new(name).help(help))
            }
            Self::One(peer) => peer.to_possible_value(),
        }
    }
}
