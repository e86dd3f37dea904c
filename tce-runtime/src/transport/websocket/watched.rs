//! A socket that knows whether something came, and reads much at a time.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much one read takes at most. It lies in one buffer for all connections
/// of a thread: the WebSocket's own is never given back, and is small.
const READ_SIZE: usize = 64 << 10;

thread_local! {
    static READ_BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// A socket under a WebSocket. The WebSocket keeps to itself what it has of a
/// message that is not complete; that bytes came and no message did tells.
#[derive(Debug)]
pub(super) struct Watched<S> {
    socket: S,
    /// Whether bytes came since this was last set to false.
    pub(super) has_read: bool,
    /// What was read and the WebSocket has had no room for yet.
    rest: Bytes,
}

impl<S> Watched<S> {
    pub(super) fn new(socket: S) -> Self {
        Self {
            socket,
            has_read: false,
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
        self.has_read |= !bytes.is_empty();
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
        this.has_read = true;
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
