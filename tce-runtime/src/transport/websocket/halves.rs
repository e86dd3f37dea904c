//! A WebSocket as the two halves of a byte stream.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use parking_lot::Mutex;
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
            CloseFrame, Role,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use super::{shrink::BufferShrinker, watched::Watched};
use crate::{
    close_code,
    transport::{ByteStream, Source, StreamControl},
};

/// The most bytes of a close message's reason.
const MAX_REASON: usize = 123;
/// A larger frame leaves in pieces of this size, as one message: the WebSocket copies
/// each, and a peer that reads slowly is seen to read.
const PIECE: usize = 64 << 10;
/// The bytes that are read at a time where they are discarded.
const SCRAP: usize = 4 << 10;

/// The WebSocket of both halves. It is locked rather than split into a `Stream`
/// and a `Sink`: those would wake each other, and a writer may have no waker.
type Shared<S> = Arc<Mutex<WebSocketStream<Watched<S>>>>;

/// The byte stream inside a WebSocket's binary messages. A message that takes
/// longer than `message_time` to arrive ends it.
pub(super) fn split<S>(
    socket: WebSocketStream<Watched<S>>,
    role: Role,
    message_time: Duration,
    peer: SocketAddr,
) -> ByteStream
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let socket = Arc::new(Mutex::new(socket));
    ByteStream {
        source: Box::new(WebSocketReader {
            socket: Arc::clone(&socket),
            message: Bytes::new(),
            unfinished: 0,
            kept: 0,
            end: None,
            message_time,
            too_slow: None,
            shrinker: BufferShrinker::new(role),
        }),
        sink: Box::new(WebSocketWriter {
            socket: Arc::clone(&socket),
            rest: 0,
            is_closing: false,
        }),
        peer: peer.to_string(),
        control: Some(Arc::new(ControlFrames { socket })),
    }
}

/// Pings, the pongs that answer them, and the close frame.
struct ControlFrames<S> {
    socket: Shared<S>,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> StreamControl for ControlFrames<S> {
    fn poll_keep_alive(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut socket = self.socket.lock();
        let mut socket = Pin::new(&mut *socket);
        if ready!(socket.as_mut().poll_ready(cx)).is_ok()
            && socket
                .as_mut()
                .start_send(Message::Ping(Bytes::new()))
                .is_ok()
        {
            // What the socket does not take now leaves with the next bytes.
            let _ = socket.poll_flush(cx);
        }
        Poll::Ready(())
    }

    fn received_at(&self) -> Option<Instant> {
        self.socket.lock().get_ref().heartbeat_at
    }

    fn close(&self, code: close_code::CloseCode, reason: &str) {
        let code = CloseCode::from(code.to_wire());
        send_close(&mut self.socket.lock(), code, reason);
    }
}

/// Queues a close message. It changes nothing if the socket accepts none any
/// more.
fn send_close<S>(socket: &mut WebSocketStream<Watched<S>>, code: CloseCode, reason: &str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let frame = CloseFrame {
        code,
        reason: reason[..end].into(),
    };
    let _ = Pin::new(socket).start_send(Message::Close(Some(frame)));
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

/// Why no message follows.
enum End {
    /// The peer closes the connection.
    ByPeer(io::Result<()>),
    /// The peer breaks the protocol or a limit; a close message tells it.
    ByUs(CloseCode, io::Error),
}

/// Reads the bytes of all messages, without the boundaries between them.
struct WebSocketReader<S> {
    socket: Shared<S>,
    /// The rest of the last message.
    message: Bytes,
    /// The bytes of an incomplete message after the last read.
    unfinished: usize,
    /// What the library's read buffer keeps after it.
    kept: usize,
    /// The end, until the bytes before it are read.
    end: Option<End>,
    message_time: Duration,
    /// Fires when a message is incomplete after `message_time`.
    too_slow: Option<Pin<Box<Sleep>>>,
    shrinker: BufferShrinker,
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocketReader<S> {
    /// Reads all messages that have arrived, so that their answers leave together.
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
                // Only now: no answer to an earlier message may follow it.
                send_close(&mut self.socket.lock(), code, &error.to_string());
                Err(error)
            }
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Source for WebSocketReader<S> {
    fn held(&self) -> usize {
        self.message.len() + self.unfinished
    }

    fn kept(&self) -> usize {
        self.kept
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketReader<S> {
    /// The next binary message, or why none follows.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        let mut socket = self.socket.lock();
        loop {
            let received = Pin::new(&mut *socket).poll_next(cx);
            self.unfinished = socket.get_ref().unfinished();
            self.kept = socket.get_ref().kept();
            let Poll::Ready(received) = received else {
                if self.shrinker.poll(&mut socket, cx) {
                    continue;
                }
                drop(socket);
                return self.poll_too_slow(cx);
            };
            let end = match received {
                Some(Ok(Message::Binary(message))) => {
                    self.too_slow = None;
                    return Poll::Ready(Ok(message));
                }
                // The library answers a ping.
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                    socket.get_mut().heartbeat_at = Some(Instant::now());
                    continue;
                }
                Some(Ok(Message::Frame(_))) => continue,
                Some(Ok(Message::Text(_))) => {
                    let text = "a text message: frames travel in binary ones";
                    let error = io::Error::new(io::ErrorKind::InvalidData, text);
                    End::ByUs(CloseCode::Unsupported, error)
                }
                Some(Ok(Message::Close(frame))) => End::ByPeer(closed_by_peer(frame)),
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

    /// Waits for the rest of a message, for at most `message_time`.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, End>> {
        if self.unfinished == 0 {
            self.too_slow = None;
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

/// The result of a peer's close message: an error if its code says so.
fn closed_by_peer(frame: Option<CloseFrame>) -> io::Result<()> {
    match frame {
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

/// Sends each frame as one binary message, which existing peers rely on.
struct WebSocketWriter<S> {
    socket: Shared<S>,
    /// The bytes of the current frame that are not written yet.
    rest: usize,
    /// Whether the close message was sent.
    is_closing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketWriter<S> {
    /// Takes the next piece of a frame, and the whole frames after it, from the
    /// front of `bytes`. They stay in the WebSocket's buffer until it is full or
    /// flushed.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut socket = this.socket.lock();
        ready!(Pin::new(&mut *socket).poll_ready(cx)).map_err(io_error)?;
        // One allocation for all frames of this call.
        let bytes = Bytes::copy_from_slice(&bytes[..bytes.len().min(PIECE)]);
        let mut taken = 0;
        loop {
            let (left, data) = match this.rest {
                0 => (frame_size(&bytes[taken..])?, Data::Binary),
                rest => (rest, Data::Continue),
            };
            let end = bytes.len().min(taken.saturating_add(left));
            this.rest = left - (end - taken);
            let piece = Frame::message(bytes.slice(taken..end), OpCode::Data(data), this.rest == 0);
            Pin::new(&mut *socket)
                .start_send(Message::Frame(piece))
                .map_err(io_error)?;
            taken = end;
            let is_whole =
                frame_size(&bytes[taken..]).is_ok_and(|size| size <= bytes.len() - taken);
            if !is_whole || !is_ready(&mut socket, cx)? {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut socket = self.socket.lock();
        Pin::new(&mut *socket).poll_flush(cx).map_err(io_error)
    }

    /// Performs the closing handshake: sends the close message once, waits for
    /// the peer's, then for the end of the connection. The caller no longer
    /// reads, and limits the time.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let was_closing = std::mem::replace(&mut self.is_closing, true);
        let mut socket = self.socket.lock();
        if !was_closing {
            send_close(&mut socket, CloseCode::Normal, "");
        }
        ready!(Pin::new(&mut *socket).poll_flush(cx)).map_err(io_error)?;
        while let Some(Ok(_)) = ready!(Pin::new(&mut *socket).poll_next(cx)) {}
        let mut socket = Pin::new(socket.get_mut());
        ready!(socket.as_mut().poll_shutdown(cx))?;
        // Unread bytes would turn the end into a reset, which may overtake the
        // close message.
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

/// Whether the WebSocket accepts another piece now.
fn is_ready<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<Watched<S>>,
    cx: &mut Context<'_>,
) -> io::Result<bool> {
    match Pin::new(socket).poll_ready(cx) {
        Poll::Ready(ready) => ready.map(|()| true).map_err(io_error),
        Poll::Pending => Ok(false),
    }
}

/// The size of the frame at the front of `bytes`, magic included
/// (`spec/wire.md`, section 1).
fn frame_size(bytes: &[u8]) -> io::Result<usize> {
    let size = bytes.get(4..8).and_then(|size| size.try_into().ok());
    size.and_then(|size| usize::try_from(u32::from_be_bytes(size)).ok())
        .and_then(|size| size.checked_add(4))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a frame to send is incomplete"))
}
