//! Freeing the buffers of a WebSocket that were large.
//!
//! The library never shrinks its two buffers: after a message of 1 MB each connection
//! would hold 2 MB. While they are empty, and no close message was sent or received, the
//! library's only state is that the connection is open. So a new WebSocket over the same
//! socket continues where the old one was.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{FutureExt, Sink};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role};

use super::watched::Watched;

/// How long large buffers are kept after their last use, at least.
const KEEP_TIME: Duration = Duration::from_secs(1);

/// Frees the large buffers of one WebSocket.
pub(super) struct BufferShrinker {
    role: Role,
    /// Runs while a buffer is large.
    timer: Option<Pin<Box<Sleep>>>,
}

impl BufferShrinker {
    pub(super) fn new(role: Role) -> Self {
        Self { role, timer: None }
    }

    /// Called when all messages that have arrived are read, and not after a close message.
    /// Replaces the WebSocket if its buffers are large and were not used for
    /// [`KEEP_TIME`]; returns whether it has, since the new one wakes no task before it
    /// is polled.
    pub(super) fn poll<S>(
        &mut self,
        socket: &mut WebSocketStream<Watched<S>>,
        cx: &mut Context<'_>,
    ) -> bool
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if !socket.get_ref().has_large_buffers() {
            return false;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(KEEP_TIME)));
        while timer.as_mut().poll(cx).is_ready() {
            if !socket.get_mut().take_was_large()
                && socket.get_ref().is_between_messages()
                && matches!(Pin::new(&mut *socket).poll_flush(cx), Poll::Ready(Ok(())))
            {
                self.timer = None;
                renew(socket, self.role);
                return true;
            }
            timer.as_mut().reset(Instant::now() + KEEP_TIME);
        }
        false
    }
}

/// Replaces a WebSocket whose buffers are empty.
fn renew<S>(socket: &mut WebSocketStream<Watched<S>>, role: Role)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = Some(*socket.get_config());
    let watched = socket.get_mut().take();
    // Ready at once: without a handshake it waits for nothing.
    let renewed = WebSocketStream::from_raw_socket(watched, role, config).now_or_never();
    if let Some(renewed) = renewed {
        *socket = renewed;
    }
}
