//! The half of a WebSocket that is written.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use super::{
    halves::{Shared, io_error, say_farewell},
    watched::Watched,
};

/// A frame of more than this leaves in pieces, one message all the same: the
/// WebSocket never gives back memory that a piece has taken, and a peer that
/// reads slowly is seen to read.
const PIECE: usize = 64 << 10;
/// How much of what nobody wants any more is read at a time.
const SCRAP: usize = 4 << 10;

/// Sends each frame as one binary message, which existing peers rely on.
pub(super) struct WebSocketWriter<S> {
    shared: Shared<S>,
    /// How many bytes of the frame that has begun are still to come.
    rest: usize,
    has_parted: bool,
}

impl<S> WebSocketWriter<S> {
    pub(super) fn new(shared: Shared<S>) -> Self {
        Self {
            shared,
            rest: 0,
            has_parted: false,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocketWriter<S> {
    /// Takes the next piece of a frame, and the whole frames behind it, from
    /// the front of `bytes`. They lie in the WebSocket's buffer until that is
    /// full or flushed.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut socket = this.shared.lock();
        ready!(Pin::new(&mut *socket).poll_ready(cx)).map_err(io_error)?;
        // One allocation for all that leaves in this call.
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

/// Whether the WebSocket takes another piece now.
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
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no whole frame to send"))
}
