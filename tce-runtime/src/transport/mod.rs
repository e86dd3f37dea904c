//! Transports: how bytes and messages reach a peer. Streams are sockets and
//! WebSocket; queues are AMQP and a broker within the process.

#[cfg(feature = "websocket")]
mod websocket;

pub(crate) mod socket;

pub(crate) mod delivery;

pub(crate) mod batch;

pub(crate) mod memory;

#[cfg(feature = "amqp")]
mod amqp;

pub(crate) mod broker;

use tokio::io::{AsyncRead, AsyncWrite};

/// The half of a stream that is read.
pub(crate) trait Source: AsyncRead + Send + Unpin {
    /// The bytes of an incomplete message that the source holds, if its protocol
    /// has messages of its own.
    fn held(&self) -> usize {
        0
    }
}

/// A connected byte stream, whichever protocol carries it.
pub(crate) struct ByteStream {
    /// The half that is read.
    pub(crate) source: Box<dyn Source>,
    /// The half that is written.
    pub(crate) sink: Box<dyn AsyncWrite + Send + Unpin>,
    /// The peer's address, for people.
    pub(crate) peer: String,
}
