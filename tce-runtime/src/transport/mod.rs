//! Transports: how bytes and messages reach a peer. Streams are sockets and
//! WebSocket, and pipes within the process; queues are AMQP and a broker within the
//! process.

#[cfg(feature = "websocket")]
mod websocket;

mod proxy_header;

pub(crate) mod socket;

pub(crate) mod pipe;

pub(crate) mod delivery;

pub(crate) mod batch;

pub(crate) mod memory;

#[cfg(feature = "amqp")]
mod amqp;

pub(crate) mod broker;

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::close_code::CloseCode;

/// The half of a stream that is read.
pub(crate) trait Source: AsyncRead + Send + Unpin {
    /// The bytes of an incomplete message that the source holds, if its protocol
    /// has messages of its own.
    fn held(&self) -> usize {
        0
    }

    /// The bytes of a large buffer that the source keeps for the next message.
    fn kept(&self) -> usize {
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
    /// The control messages of the protocol, if it has some.
    pub(crate) control: Option<Arc<dyn StreamControl>>,
}

/// What decides about an accepted socket, once its client's address is known: why it is
/// refused, or what it gets.
pub(crate) type Admit<T> = Box<dyn FnOnce(SocketAddr) -> Result<T, &'static str> + Send>;

/// The control messages of a protocol, which carry no bytes of the stream: keep-alive
/// messages, and the one that closes it.
pub(crate) trait StreamControl: Send + Sync {
    /// Sends a keep-alive message as soon as the protocol takes it. An error is left to
    /// the reader and the writer.
    fn poll_keep_alive(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// When the last keep-alive message, or the answer to one, has arrived.
    fn received_at(&self) -> Option<Instant>;

    /// Queues the message that closes the stream, with a reason. The shutdown of the
    /// sink sends it, and no bytes may be written any more.
    fn close(&self, code: CloseCode, reason: &str);
}
