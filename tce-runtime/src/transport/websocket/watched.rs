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

/// The bytes of one read. All connections of a thread share one buffer of this
/// size: a WebSocket never releases its own buffer, which is small therefore.
const READ_SIZE: usize = 64 << 10;

thread_local! {
    static READ_BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// A socket under a WebSocket. The WebSocket does not report an incomplete
/// message: there is one if bytes arrived and no message did.
#[derive(Debug)]
pub(super) struct Watched<S> {
    socket: S,
    /// The bytes that arrived since this was last set to 0: of an incomplete
    /// message, if no message did.
    pub(super) unfinished: usize,
    /// When the last ping or pong has arrived.
    pub(super) heartbeat_at: Option<Instant>,
    /// Bytes that were read and exceeded the WebSocket's buffer.
    rest: Bytes,
}

impl<S> Watched<S> {
    pub(super) fn new(socket: S) -> Self {
        Self {
            socket,
            unfinished: 0,
            heartbeat_at: None,
            rest: Bytes::new(),
        }
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    fn poll_socket(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut buffer = READ_BUFFER
            .take()
            .unwrap_or_else(|| vec![0; READ_SIZE].into_boxed_slice());
        let mut chunk = ReadBuf::new(&mut buffer);
        let read = Pin::new(&mut self.socket).poll_read(cx, &mut chunk);
        let bytes = chunk.filled();
        let (now, later) = bytes.split_at(bytes.len().min(out.remaining()));
        out.put_slice(now);
        self.rest = Bytes::copy_from_slice(later);
        self.unfinished += now.len();
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
        out.put_slice(&this.rest.split_to(count));
        this.unfinished += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
