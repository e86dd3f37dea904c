//! A WebSocket as the two halves of a byte stream.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::Sink as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{sink::WebSocketWriter, source::WebSocketReader, watched::Watched};
use crate::transport::ByteStream;

/// The most bytes that a close message has room for, beside its code.
const MAX_REASON: usize = 123;

/// What both halves share. A lock rather than the two halves of a `ByteStream` and
/// `WebSocketWriter`: those wait for each other by their wakers, and whoever sends may
/// have none.
#[derive(Debug)]
pub(super) struct Shared<S>(Arc<Mutex<WebSocketStream<Watched<S>>>>);

impl<S> Shared<S> {
    pub(super) fn lock(&self) -> MutexGuard<'_, WebSocketStream<Watched<S>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The byte stream inside a WebSocket's messages, of which none may take
/// longer than `message_time` to come.
pub(super) fn split<S>(
    socket: WebSocketStream<Watched<S>>,
    message_time: Duration,
    peer: SocketAddr,
) -> ByteStream
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let socket = Arc::new(Mutex::new(socket));
    let shared = Shared(Arc::clone(&socket));
    ByteStream {
        source: Box::new(WebSocketReader::new(shared, message_time)),
        sink: Box::new(WebSocketWriter::new(Shared(socket))),
        peer: peer.to_string(),
    }
}

/// Queues a close message. Where the socket takes no more, or is closed
/// already, the peer learns nothing, and it changes nothing.
pub(super) fn say_farewell<S>(socket: &mut WebSocketStream<Watched<S>>, code: CloseCode, text: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let reason = if text.len() > MAX_REASON { "" } else { text };
    let reason = reason.into();
    let farewell = CloseFrame { code, reason };
    let _ = Pin::new(socket).start_send(Message::Close(Some(farewell)));
}

pub(super) fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
