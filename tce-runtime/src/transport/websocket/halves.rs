//! A WebSocket as the two halves of a byte stream.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::ProtocolError,
        protocol::{
            CloseFrame,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use super::watched::Watched;
use crate::transport::Stream;

/// A frame of more than this leaves in pieces, one message all the same: the
/// WebSocket never gives back memory that a piece has taken, and a peer that
/// reads slowly is seen to read.
const PIECE: usize = 64 << 10;
/// How much of what nobody wants any more is read at a time.
const SCRAP: usize = 4 << 10;

/// The most bytes that a close message has room for, beside its code.
const MAX_REASON: usize = 123;

/// What both halves share. A lock rather than the two halves of a `Stream` and
/// `Sink`: those wait for each other by their wakers, and whoever sends may
/// have none.
#[derive(Debug)]
struct Shared<S>(Arc<Mutex<WebSocketStream<Watched<S>>>>);

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, WebSocketStream<Watched<S>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The byte stream inside a WebSocket's messages, of which none may take
/// longer than `message_time` to come.
pub(super) fn split<S>(
    socket: WebSocketStream<Watched<S>>,
    message_time: Duration,
    peer: SocketAddr,
) -> Stream
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let socket = Arc::new(Mutex::new(socket));
    let source = Source {
        shared: Shared(Arc::clone(&socket)),
        message: Bytes::new(),
        end: None,
        message_time,
        too_slow: None,
    };
    let sink = Sink {
        shared: Shared(socket),
        rest: 0,
        has_parted: false,
    };
    Stream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: peer.to_string(),
    }
}

/// Why no more messages come.
enum End {
    /// The peer wants it so.
    ByPeer(io::Result<()>),
    /// The peer does what it must not; it is to hear so.
    ByUs(CloseCode, io::Error),
}

/// The bytes that come. Where one message ends and the next begins is nobody's
/// business.
struct Source<S> {
    shared: Shared<S>,
    /// What is left of the last message.
    message: Bytes,
    /// Why nothing more comes, until it is told.
    end: Option<End>,
    message_time: Duration,
    /// Fires when the message that has begun is too slow.
    too_slow: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Source<S> {
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

impl<S: AsyncRead + AsyncWrite + Unpin> Source<S> {
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

/// Queues a close message. Where the socket takes no more, or is closed
/// already, the peer learns nothing, and it changes nothing.
fn say_farewell<S>(socket: &mut WebSocketStream<Watched<S>>, code: CloseCode, text: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let reason = if text.len() > MAX_REASON { "" } else { text };
    let reason = reason.into();
    let farewell = CloseFrame { code, reason };
    let _ = Pin::new(socket).start_send(Message::Close(Some(farewell)));
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

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

/// Sends each frame as one binary message, which existing peers rely on.
struct Sink<S> {
    shared: Shared<S>,
    /// How many bytes of the frame that has begun are still to come.
    rest: usize,
    has_parted: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Sink<S> {
    /// Takes the next frame, or the next piece of one, from the front of
    /// `bytes`. It lies in the WebSocket's buffer until that is full or
    /// flushed.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (left, data) = match self.rest {
            0 => (frame_size(bytes)?, Data::Binary),
            rest => (rest, Data::Continue),
        };
        let count = left.min(bytes.len()).min(PIECE);
        let mut socket = self.shared.lock();
        ready!(Pin::new(&mut *socket).poll_ready(cx)).map_err(io_error)?;
        let piece = Bytes::copy_from_slice(&bytes[..count]);
        let piece = Frame::message(piece, OpCode::Data(data), count == left);
        Pin::new(&mut *socket)
            .start_send(Message::Frame(piece))
            .map_err(io_error)?;
        drop(socket);
        self.rest = left - count;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = self.shared.lock();
        Pin::new(&mut *socket).poll_flush(cx).map_err(io_error)
    }

    /// Takes leave by the closing handshake: says it unless it has been said,
    /// waits for the peer's answer, then for its end. Whoever calls this no
    /// longer reads, and bounds the time.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let has_parted = std::mem::replace(&mut self.has_parted, true);
        let mut socket = self.shared.lock();
        if !has_parted {
            say_farewell(&mut socket, CloseCode::Normal, "");
        }
        ready!(Pin::new(&mut *socket).poll_flush(cx)).map_err(io_error)?;
        while let Some(Ok(_)) = ready!(Pin::new(&mut *socket).poll_next(cx)) {}
        let mut socket = Pin::new(socket.get_mut());
        ready!(socket.as_mut().poll_shutdown(cx))?;
        // Bytes that were not read turn the end into a reset, which may
        // overtake what we said.
        loop {
            let mut scrap = [0; SCRAP];
            let mut scrap = ReadBuf::new(&mut scrap);
            ready!(socket.as_mut().poll_read(cx, &mut scrap))?;
            if scrap.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// The size of the frame at the front of `bytes`, magic included
/// (`spec/wire.md`, section 1).
fn frame_size(bytes: &[u8]) -> io::Result<usize> {
    let size = bytes.get(4..8).and_then(|size| size.try_into().ok());
    size.and_then(|size| usize::try_from(u32::from_be_bytes(size)).ok())
        .and_then(|size| size.checked_add(4))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no whole frame to send"))
}
