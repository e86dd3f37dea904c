//! Transports: how bytes reach a peer.

#[cfg_attr(
    not(feature = "amqp"),
    allow(
        dead_code,
        reason = "what only a broker elsewhere can say of a message"
    )
)]
pub(crate) mod mq;
pub(crate) mod socket;
#[cfg_attr(not(feature = "websocket"), path = "websocket_absent.rs")]
mod websocket;

use tokio::io::{AsyncRead, AsyncWrite};

/// A stream to a peer, whatever carries it.
pub(crate) struct ByteStream {
    /// The half that is read.
    pub(crate) source: Box<dyn AsyncRead + Send + Unpin>,
    /// The half that is written.
    pub(crate) sink: Box<dyn AsyncWrite + Send + Unpin>,
    /// The peer's address, for people.
    pub(crate) peer: String,
}
