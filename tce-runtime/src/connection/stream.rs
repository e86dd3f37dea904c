//! The task of one stream connection: it reads, writes, and watches deadlines
//! until the connection ends.

use std::{
    cell::Cell,
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    sync::watch,
    time::{sleep, timeout, timeout_at},
};

use super::{
    Channel, Connection, ConnectionEvent, Inner, Status,
    forwarding::{InboundSource, WriteBatch},
    inbound::Inbound,
    write_buffer::{Sink, WriteBuffer, is_batch_full},
};
use crate::{
    busy_poll::bytes_received,
    in_flight::after,
    shutdown::{DRAIN_EVERY, ShutdownPhase, reached},
    transport::ByteStream,
    wire::{Deframer, FrameError},
};

/// How long waiting messages may take to leave when a connection is closed.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// How long the closing handshake with a peer may take.
const GOODBYE_TIME: Duration = Duration::from_secs(1);
/// The size of one read, in bytes. The buffer belongs to the thread, so that an
/// idle connection holds none.
const READ_SIZE: usize = 256 << 10;
/// RETURNs of this size in bytes leave before the rest of a read is handled.
const REPLY_SIZE: usize = 256 << 10;

thread_local! {
    static READ_BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    /// The RETURNs to the messages of one read.
    static REPLIES: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Why a connection has ended.
#[derive(Debug)]
enum CloseReason {
    ByPeer,
    ByUs,
    Io(io::Error),
    /// The peer's bytes are not frames.
    Frame(FrameError),
    /// A frame began and was not complete after this time.
    SlowFrame(Duration),
    /// The peer has read nothing for this time.
    Stalled(Duration),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer => f.write_str("closed by the peer"),
            Self::ByUs => f.write_str("closed on this side"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Frame(error) => write!(f, "{error}"),
            Self::SlowFrame(limit) => write!(f, "a frame was not complete after {limit:?}"),
            Self::Stalled(limit) => write!(f, "the peer read nothing for {limit:?}"),
        }
    }
}

/// Ends what a connection has in flight, also if its task or the runtime is
/// dropped.
struct Teardown<'a> {
    inner: &'a Inner,
    buffer: &'a WriteBuffer,
    /// The status afterwards; `None` once it is set.
    status: Option<Status>,
}

impl Teardown<'_> {
    /// Returns the sink, for the closing handshake.
    fn run(&mut self, reason: &str) -> Option<Sink> {
        let status = self.status.take()?;
        // The status first: a caller that finds no stream must find out why. The
        // calls last: a call that was entered before fails here.
        self.inner.set_status(status);
        let sink = self.buffer.detach();
        self.inner.calls.lose_all(reason);
        sink
    }
}

impl Drop for Teardown<'_> {
    fn drop(&mut self) {
        self.run("its task was dropped");
    }
}

/// Runs a connection over `stream` until it ends, and reports
/// [`ConnectionEvent::Connected`] and [`ConnectionEvent::Disconnected`]. The
/// status of the connection is `status_after` then. Does nothing for a
/// connection over a queue.
pub(crate) async fn run_stream(
    connection: &Connection,
    stream: ByteStream,
    status_after: Status,
    phase: watch::Receiver<ShutdownPhase>,
) {
    let Channel::Stream(channel) = &connection.inner.channel else {
        return;
    };
    connection.notify(&ConnectionEvent::Connected);
    let reason = run(connection, &channel.buffer, stream, status_after, phase).await;
    tracing::debug!(peer = connection.peer(), "connection ended: {reason}");
    connection.notify(&ConnectionEvent::Disconnected {
        reason: reason.to_string(),
    });
}

async fn run(
    connection: &Connection,
    buffer: &WriteBuffer,
    stream: ByteStream,
    status_after: Status,
    mut phase: watch::Receiver<ShutdownPhase>,
) -> CloseReason {
    let inner = &*connection.inner;
    let ByteStream {
        mut source, sink, ..
    } = stream;
    let mut status = inner.status.subscribe();
    let mut teardown = Teardown {
        inner,
        buffer,
        status: Some(status_after),
    };
    buffer.attach(sink);
    inner.set_status(Status::Up);
    let mut reader = StreamReader::new(connection, buffer);
    // Most wakes are for bytes, and there are many of them. `FuturesUnordered`
    // polls each of these three only after a wake of its own.
    let rare: [Pin<Box<dyn Future<Output = CloseReason> + Send + '_>>; 3] = [
        Box::pin(watch_deadlines(inner, buffer)),
        Box::pin(closed(buffer, &mut status)),
        Box::pin(drained(inner, buffer, &mut phase)),
    ];
    let mut rare = FuturesUnordered::from_iter(rare);
    let reason = tokio::select! {
        biased;
        reason = reader.read(&mut source) => reason,
        error = buffer.write(|| inner.calls.recheck_deadlines()) => CloseReason::Io(error),
        Some(reason) = rare.next() => reason,
    };
    drop(rare);
    if let Some(sink) = teardown.run(&reason.to_string()) {
        say_goodbye(sink, phase).await;
    }
    reason
}

/// Ends the stream as its protocol demands, so that the peer knows that nothing
/// is missing. A shutdown that terminates skips it.
async fn say_goodbye(mut sink: Sink, mut phase: watch::Receiver<ShutdownPhase>) {
    tokio::select! {
        biased;
        _ = timeout(GOODBYE_TIME, sink.shutdown()) => {}
        () = reached(&mut phase, ShutdownPhase::Terminating) => {}
    }
}

/// Waits until the connection is closed on this side and what waits is sent.
async fn closed(buffer: &WriteBuffer, status: &mut watch::Receiver<Status>) -> CloseReason {
    // It can't fail: the connection itself holds the sender.
    let _ = status
        .wait_for(|status| matches!(status, Status::Closed))
        .await;
    let _ = timeout(CLOSE_TIME, buffer.drained()).await;
    CloseReason::ByUs
}

/// Waits until the communicator shuts down and what is in flight has ended.
async fn drained(
    inner: &Inner,
    buffer: &WriteBuffer,
    phase: &mut watch::Receiver<ShutdownPhase>,
) -> CloseReason {
    reached(phase, ShutdownPhase::Draining).await;
    inner.is_draining.store(true, Ordering::Relaxed);
    while *phase.borrow() == ShutdownPhase::Draining {
        let handler = inner.handler.as_ref();
        if inner.served.count() == 0
            && inner.calls.waiting() == 0
            && buffer.pending() == 0
            && handler.is_none_or(|handler| handler.is_idle())
        {
            break;
        }
        sleep(DRAIN_EVERY).await;
    }
    CloseReason::ByUs
}

/// Fails calls at their deadlines, and the connection when its peer stalls, with
/// one timer for all of them.
async fn watch_deadlines(inner: &Inner, buffer: &WriteBuffer) -> CloseReason {
    let stall_time = inner.settings.options.connection.stall_time;
    let stalls_at = || buffer.blocked_since().map(|since| after(since, stall_time));
    loop {
        let shrinks_at = buffer.shrink(Instant::now());
        let next = [stalls_at(), shrinks_at].into_iter().flatten().min();
        inner.calls.await_deadline(next).await;
        if stalls_at().is_some_and(|at| at <= Instant::now()) {
            return CloseReason::Stalled(stall_time);
        }
    }
}

/// The incoming side of a stream: from bytes to messages.
struct StreamReader<'a> {
    connection: &'a Connection,
    buffer: &'a WriteBuffer,
    deframer: Deframer,
    /// Whether RETURNs were sent since the reader last checked the buffer's
    /// limit.
    has_replied: bool,
    /// What was read and not handled, since the peer has too much in flight.
    unhandled: Vec<u8>,
}

impl<'a> StreamReader<'a> {
    fn new(connection: &'a Connection, buffer: &'a WriteBuffer) -> Self {
        Self {
            connection,
            buffer,
            deframer: Deframer::new(connection.options().limits),
            has_replied: false,
            unhandled: Vec::new(),
        }
    }

    /// Reads until something ends the connection.
    async fn read(&mut self, source: &mut (impl AsyncRead + Unpin)) -> CloseReason {
        let frame_time = self.connection.options().connection.frame_time;
        // The number of the incomplete frame, and when it has to be complete.
        let mut slow_frame: Option<(u64, Instant)> = None;
        loop {
            let chunk = poll_fn(|cx| self.poll_chunk(source, cx));
            let read = match slow_frame {
                None => chunk.await,
                Some((_, at)) => match timeout_at(at.into(), chunk).await {
                    Ok(read) => read,
                    Err(_) => return CloseReason::SlowFrame(frame_time),
                },
            };
            if let Err(reason) = read {
                return reason;
            }
            // The time during which reading pauses does not count.
            let paused_at = slow_frame.map(|_| Instant::now());
            if let Err(error) = self.catch_up().await {
                return CloseReason::Frame(error);
            }
            if let (Some((_, at)), Some(paused_at)) = (&mut slow_frame, paused_at) {
                *at += paused_at.elapsed();
            }
            slow_frame = match (slow_frame, self.deframer.partial()) {
                (_, None) => None,
                (Some((number, at)), Some(current)) if number == current => Some((number, at)),
                (_, Some(current)) => Some((current, after(Instant::now(), frame_time))),
            };
        }
    }

    /// Reads once, and handles what was read.
    fn poll_chunk(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), CloseReason>> {
        let mut buffer = READ_BUFFER
            .take()
            .unwrap_or_else(|| vec![0; READ_SIZE].into_boxed_slice());
        let mut chunk = ReadBuf::new(&mut buffer);
        let read = Pin::new(source).poll_read(cx, &mut chunk);
        let handled = match &read {
            Poll::Ready(Ok(())) if chunk.filled().is_empty() => Err(CloseReason::ByPeer),
            Poll::Ready(Ok(())) => self.receive(chunk.filled()).map_err(CloseReason::Frame),
            _ => Ok(()),
        };
        READ_BUFFER.set(Some(buffer));
        if read.is_ready() {
            bytes_received();
        }
        ready!(read).map_err(CloseReason::Io)?;
        Poll::Ready(handled)
    }

    /// Waits while the peer has too much in flight, then handles what was left
    /// unhandled.
    async fn catch_up(&mut self) -> Result<(), FrameError> {
        let inner = &self.connection.inner;
        let limit = self.connection.options().connection.served_calls;
        loop {
            inner.served.fewer_than(limit).await;
            // Only for RETURNs that this peer caused: two sides that both stop
            // reading because of their own calls would block each other.
            if std::mem::take(&mut self.has_replied) && self.buffer.is_full() {
                self.buffer.capacity().await;
            }
            while let Some(handler) = &inner.handler {
                if handler.waits_for_capacity() && self.buffer.is_full() {
                    self.buffer.capacity().await;
                } else if handler.should_pause() {
                    handler.until_resumed().await;
                } else {
                    break;
                }
            }
            if self.unhandled.is_empty() {
                return Ok(());
            }
            let unhandled = std::mem::take(&mut self.unhandled);
            self.receive(&unhandled)?;
        }
    }

    /// Handles the frames of a chunk. RETURNs that are ready leave in one write.
    fn receive(&mut self, chunk: &[u8]) -> Result<(), FrameError> {
        let mut replies = REPLIES.take();
        let mut batch = self.connection.write_batch();
        let handled = self.handle_frames(chunk, &mut replies, &mut batch);
        drop(batch);
        self.send_returns(&mut replies);
        REPLIES.set(replies);
        self.unhandled.extend_from_slice(handled?);
        Ok(())
    }

    /// Handles frames until the peer has too much in flight; returns the rest.
    fn handle_frames<'c>(
        &mut self,
        chunk: &'c [u8],
        replies: &mut Vec<u8>,
        batch: &mut Option<WriteBatch>,
    ) -> Result<&'c [u8], FrameError> {
        let inner = &self.connection.inner;
        let inbound = self.connection.inbound();
        let limit = self.connection.options().connection.served_calls;
        let mut rest = chunk;
        let mut gathered = 0;
        while let Some(frame) = self.deframer.next(&mut rest)? {
            let was_routed = inbound.handle(frame.payload, None, replies, batch.as_mut());
            gathered += 1;
            if replies.len() >= REPLY_SIZE || is_batch_full(gathered, replies.len(), was_routed) {
                gathered = 0;
                self.send_returns(replies);
                if self.has_replied && self.buffer.is_full() {
                    break;
                }
            }
            let handler = inner.handler.as_ref();
            if inner.served.count() >= limit || handler.is_some_and(|it| it.should_pause()) {
                break;
            }
        }
        Ok(rest)
    }

    fn send_returns(&mut self, replies: &mut Vec<u8>) {
        if !replies.is_empty() {
            self.buffer.append_all(replies);
            self.has_replied = true;
        }
    }
}

impl Connection {
    fn inbound(&self) -> Inbound<'_> {
        let inner = &*self.inner;
        Inbound {
            source: InboundSource::Stream(self),
            calls: &inner.calls,
            servants: &inner.servants,
            handler: inner.handler.as_ref(),
            limits: &inner.settings.options.limits,
            is_draining: inner.is_draining.load(Ordering::Relaxed),
        }
    }

    fn write_batch(&self) -> Option<WriteBatch> {
        self.inner.handler.as_ref().map(|_| WriteBatch::new())
    }

    /// Handles a message that the handler of this stream has deferred as if it
    /// arrived now; `payload` is [`InboundMessage::payload`](super::InboundMessage::payload).
    #[doc(hidden)]
    pub fn resume(&self, payload: &[u8]) {
        let mut replies = Vec::new();
        let mut batch = self.write_batch();
        self.inbound()
            .handle(payload, None, &mut replies, batch.as_mut());
        drop(batch);
        self.inner.channel.send_returns(&mut replies, None);
    }
}
