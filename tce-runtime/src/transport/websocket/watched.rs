//! A socket that records whether bytes arrived, and reads many at a time.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::FrameTracker;

/// The bytes of one read. All connections of a thread share one buffer of this
/// size: a WebSocket never releases its own buffer, which is small therefore.
const READ_SIZE: usize = 64 << 10;

thread_local! {
    static READ_BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// A frame or a write that is larger makes the library's buffers larger than an idle
/// connection may keep, in bytes.
const LARGE: usize = 4 << 10;

/// A socket under a WebSocket, which does not report what it holds.
#[derive(Debug)]
pub(super) struct Watched<S> {
    /// `None` once it was [taken](Watched::take).
    socket: Option<S>,
    frames: FrameTracker,
    /// When the last ping or pong has arrived.
    pub(super) heartbeat_at: Option<Instant>,
    /// Bytes that were read and exceeded the WebSocket's buffer.
    rest: Bytes,
    /// The payload of the largest frame that the library's read buffer had to hold, in
    /// bytes.
    largest_frame: usize,
    has_large_buffers: bool,
    /// Whether a buffer was large since the last [`Watched::take_was_large`].
    was_large: bool,
}

impl<S> Watched<S> {
    /// A socket that a client has connected, before the handshake.
    pub(super) fn connected(socket: S) -> Self {
        Self::new(Some(socket), FrameTracker::client())
    }

    /// A socket that a server has accepted, after the handshake; with it were read the
    /// bytes `rest`.
    pub(super) fn accepted(socket: S, rest: &[u8]) -> Self {
        let mut this = Self::new(Some(socket), FrameTracker::server());
        this.follow(rest);
        this
    }

    fn new(socket: Option<S>, frames: FrameTracker) -> Self {
        Self {
            socket,
            frames,
            heartbeat_at: None,
            rest: Bytes::new(),
            largest_frame: 0,
            has_large_buffers: false,
            was_large: false,
        }
    }

    /// Takes the socket, for a new WebSocket with small buffers; this one fails from now
    /// on.
    pub(super) fn take(&mut self) -> Self {
        let taken = Self::new(None, FrameTracker::server());
        Self {
            largest_frame: 0,
            has_large_buffers: false,
            was_large: false,
            ..std::mem::replace(self, taken)
        }
    }

    /// The bytes of a message that is not complete.
    pub(super) fn unfinished(&self) -> usize {
        self.frames.unfinished()
    }

    /// The bytes that the library's read buffer has at least, if it is large.
    pub(super) fn kept(&self) -> usize {
        self.largest_frame
    }

    /// Whether all bytes that were read belong to complete messages.
    pub(super) fn is_between_messages(&self) -> bool {
        self.rest.is_empty() && self.frames.is_between_messages()
    }

    /// Whether the library's buffers are larger than an idle connection may keep.
    pub(super) fn has_large_buffers(&self) -> bool {
        self.has_large_buffers
    }

    /// Whether they had to be as large since the last call.
    pub(super) fn take_was_large(&mut self) -> bool {
        std::mem::take(&mut self.was_large)
    }

    fn follow(&mut self, bytes: &[u8]) {
        self.frames.follow(bytes);
        let largest = self.frames.take_largest();
        if largest > LARGE {
            self.largest_frame = self.largest_frame.max(largest);
            self.set_large();
        }
    }

    fn set_large(&mut self) {
        self.has_large_buffers = true;
        self.was_large = true;
    }

    fn socket(&mut self) -> io::Result<Pin<&mut S>>
    where
        S: Unpin,
    {
        let socket = self.socket.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(socket))
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    fn poll_socket(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let socket = self.socket.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let mut buffer = READ_BUFFER
            .take()
            .unwrap_or_else(|| vec![0; READ_SIZE].into_boxed_slice());
        let mut chunk = ReadBuf::new(&mut buffer);
        let read = Pin::new(socket).poll_read(cx, &mut chunk);
        let bytes = chunk.filled();
        let (now, later) = bytes.split_at(bytes.len().min(out.remaining()));
        out.put_slice(now);
        self.rest = Bytes::copy_from_slice(later);
        self.follow(now);
        READ_BUFFER.set(Some(buffer));
        read
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            return this.poll_socket(cx, out);
        }
        let count = this.rest.len().min(out.remaining());
        let bytes = this.rest.split_to(count);
        out.put_slice(&bytes);
        this.follow(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.len() > LARGE {
            self.set_large();
        }
        self.socket()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(cx)
    }
}
