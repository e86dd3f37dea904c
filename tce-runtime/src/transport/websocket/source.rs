//! The half of a WebSocket that is read.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream as _;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_tungstenite::tungstenite::{
    Error, Message,
    error::ProtocolError,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::halves::{Shared, io_error, say_farewell};

/// Why no more messages come.
enum End {
    /// The peer wants it so.
    ByPeer(io::Result<()>),
    /// The peer does what it must not; it is to hear so.
    ByUs(CloseCode, io::Error),
}

/// The bytes that come. Where one message ends and the next begins is nobody's
/// business.
pub(super) struct WebSocketReader<S> {
    shared: Shared<S>,
    /// What is left of the last message.
    message: Bytes,
    /// Why nothing more comes, until it is told.
    end: Option<End>,
    message_time: Duration,
    /// Fires when the message that has begun is too slow.
    too_slow: Option<Pin<Box<Sleep>>>,
}

impl<S> WebSocketReader<S> {
    pub(super) fn new(shared: Shared<S>, message_time: Duration) -> Self {
        Self {
            shared,
            message: Bytes::new(),
            end: None,
            message_time,
            too_slow: None,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketReader<S> {
    /// Takes as many messages as are there, so that what answers them gathers
    /// too.
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        while out.remaining() > 0 && self.end.is_none() {
            if self.message.is_empty() {
                match self.poll_message(cx) {
                    Poll::Ready(Ok(message)) => self.message = message,
                    Poll::Ready(Err(end)) => self.end = Some(end),
                    Poll::Pending => break,
                }
            }
            let count = self.message.len().min(out.remaining());
            out.put_slice(&self.message.split_to(count));
        }
        if out.filled().len() > before || out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(match self.end.take() {
            None => return Poll::Pending,
            Some(End::ByPeer(end)) => end,
            Some(End::ByUs(code, error)) => {
                // Not before what came until then is answered: nothing may
                // follow it.
                say_farewell(&mut self.shared.lock(), code, &error.to_string());
                Err(error)
            }
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketReader<S> {
    /// The next binary message, or why there is none any more.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        let mut socket = self.shared.lock();
        loop {
            let Poll::Ready(received) = Pin::new(&mut *socket).poll_next(cx) else {
                let has_begun = socket.get_ref().has_read;
                drop(socket);
                return self.poll_too_slow(has_begun, cx);
            };
            socket.get_mut().has_read = false;
            self.too_slow = None;
            let end = match received {
                Some(Ok(Message::Binary(message))) => return Poll::Ready(Ok(message)),
                // A ping has its answer from the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Text(_))) => {
                    let text = "a text message: frames travel in binary ones";
                    let error = io::Error::new(io::ErrorKind::InvalidData, text);
                    End::ByUs(CloseCode::Unsupported, error)
                }
                Some(Ok(Message::Close(farewell))) => End::ByPeer(closed_by_peer(farewell)),
                None | Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                    End::ByPeer(Ok(()))
                }
                Some(Err(error @ Error::Capacity(_))) => {
                    End::ByUs(CloseCode::Size, io_error(error))
                }
                Some(Err(error)) => End::ByUs(CloseCode::Protocol, io_error(error)),
            };
            return Poll::Ready(Err(end));
        }
    }

    /// Waits on a message that has begun for no longer than it may take.
    fn poll_too_slow(&mut self, has_begun: bool, cx: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        if !has_begun {
            return Poll::Pending;
        }
        let limit = self.message_time;
        let too_slow = self.too_slow.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(too_slow.as_mut().poll(cx));
        let text = format!("a WebSocket message was not complete after {limit:?}");
        let error = io::Error::new(io::ErrorKind::TimedOut, text);
        Poll::Ready(Err(End::ByUs(CloseCode::Policy, error)))
    }
}

/// What a peer's close message means: an end, unless it complains.
fn closed_by_peer(farewell: Option<CloseFrame>) -> io::Result<()> {
    match farewell {
        Some(CloseFrame { code, reason })
            if !matches!(
                code,
                CloseCode::Normal | CloseCode::Away | CloseCode::Status
            ) =>
        {
            Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                format!("closed by the peer with code {code}: {reason}"),
            ))
        }
        _ => Ok(()),
    }
}
