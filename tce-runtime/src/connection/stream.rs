//! The task of one stream connection: it reads, writes, and watches deadlines
//! until the connection ends.

use std::{
    cell::Cell,
    collections::VecDeque,
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
    channel::StreamChannel,
    forwarding::{InboundSource, WriteBatch},
    inbound::Inbound,
    write_buffer::{Sink, WriteBuffer, is_batch_full},
};
use crate::{
    busy_poll::bytes_received,
    in_flight::after,
    shutdown::{DRAIN_EVERY, ShutdownPhase, reached},
    transport::ByteStream,
    wire::{Deframer, FrameError, Header, Reader},
};

/// How long waiting messages may take to leave when a connection is closed.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// How long the closing handshake with a peer may take.
const GOODBYE_TIME: Duration = Duration::from_secs(1);
/// How often a reader that pauses checks whether it has to read RETURNs.
const PAUSE_CHECK: Duration = Duration::from_millis(5);
/// How long a program that has connected may take to add its servants and make its
/// first call, before the connection logs in by itself. Far below the time after which
/// gateways close a connection that says nothing, 30 s by default.
const LOGIN_DELAY: Duration = Duration::from_secs(1);
/// The generation of the first stream of a connection.
const FIRST_STREAM: u64 = 1;
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
    /// The peer has said why.
    Goodbye(String),
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
            Self::Goodbye(text) => write!(f, "closed by the peer: {text}"),
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
    let reason = run(connection, channel, stream, status_after, phase).await;
    tracing::debug!(peer = connection.peer(), "connection ended: {reason}");
    connection.notify(&ConnectionEvent::Disconnected {
        reason: reason.to_string(),
    });
}

async fn run(
    connection: &Connection,
    channel: &StreamChannel,
    stream: ByteStream,
    status_after: Status,
    mut phase: watch::Receiver<ShutdownPhase>,
) -> CloseReason {
    let (inner, buffer) = (&*connection.inner, &channel.buffer);
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
    if channel.has_token() {
        rare.push(Box::pin(log_in(inner, channel)));
    }
    let reason = tokio::select! {
        biased;
        reason = reader.read(&mut source) => reason,
        error = buffer.write(|| inner.calls.recheck_deadlines()) => CloseReason::Io(error),
        Some(reason) = rare.next() => reason,
    };
    drop(rare);
    let reason = match (reason, inner.goodbye.lock().take()) {
        (CloseReason::ByPeer | CloseReason::Io(_), Some(text)) => CloseReason::Goodbye(text),
        (reason, _) => reason,
    };
    if let Some(sink) = teardown.run(&reason.to_string()) {
        say_goodbye(sink, phase).await;
    }
    reason
}

/// Logs in on a stream on which the program makes no call: a client that only listens
/// would otherwise get nothing from a gateway, also after a reconnect.
async fn log_in(inner: &Inner, channel: &StreamChannel) -> CloseReason {
    if channel.buffer.generation() == FIRST_STREAM {
        sleep(LOGIN_DELAY).await;
    } else {
        // The error of a login that is refused goes to a call, if there is one.
        inner.call_queue.emptied().await;
    }
    channel.log_in();
    std::future::pending().await
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
            && inner.call_queue.is_empty()
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
///
/// RETURNs are read whatever else is full. Two peers that both wait for capacity,
/// or for servants that wait for RETURNs, would otherwise block each other. So a
/// CALL that can't be served now is deferred, and reading goes on.
struct StreamReader<'a> {
    connection: &'a Connection,
    buffer: &'a WriteBuffer,
    deframer: Deframer,
    /// Whether RETURNs to this peer have filled the write buffer.
    is_blocked: bool,
    deferred: DeferredCalls,
    /// What was read and not handled, while reading pauses.
    unhandled: Vec<u8>,
}

impl<'a> StreamReader<'a> {
    fn new(connection: &'a Connection, buffer: &'a WriteBuffer) -> Self {
        Self {
            connection,
            buffer,
            deframer: Deframer::new(connection.options().limits),
            is_blocked: false,
            deferred: DeferredCalls::default(),
            unhandled: Vec::new(),
        }
    }

    /// Reads until something ends the connection.
    async fn read(&mut self, source: &mut (impl AsyncRead + Unpin)) -> CloseReason {
        let frame_time = self.connection.options().connection.frame_time;
        let (connection, buffer) = (self.connection, self.buffer);
        // The number of the incomplete frame, and when it has to be complete.
        let mut slow_frame: Option<(u64, Instant)> = None;
        loop {
            let (has_deferred, is_blocked) = (!self.deferred.calls.is_empty(), self.is_blocked);
            let chunk = poll_fn(|cx| self.poll_chunk(source, cx));
            let chunk = async {
                tokio::select! {
                    biased;
                    read = chunk => read,
                    () = servable(connection, buffer, is_blocked), if has_deferred => Ok(()),
                }
            };
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

    /// Serves deferred CALLs as far as possible, and waits while reading has to
    /// pause.
    async fn catch_up(&mut self) -> Result<(), FrameError> {
        let inner = &self.connection.inner;
        loop {
            if let Some(handler) = &inner.handler {
                servable(self.connection, self.buffer, self.is_blocked).await;
                self.is_blocked = false;
                if handler.waits_for_capacity() && self.buffer.is_full() {
                    self.buffer.capacity().await;
                    continue;
                } else if handler.should_pause() {
                    handler.until_resumed().await;
                    continue;
                }
            } else {
                self.serve_deferred();
                if self.must_pause() {
                    // A servant may call the peer meanwhile, and then its RETURN has
                    // to be read: check for that in short intervals.
                    let servable = servable(self.connection, self.buffer, self.is_blocked);
                    let _ = timeout(PAUSE_CHECK, servable).await;
                    continue;
                }
            }
            if self.unhandled.is_empty() {
                return Ok(());
            }
            let unhandled = std::mem::take(&mut self.unhandled);
            self.receive(&unhandled)?;
        }
    }

    /// Whether a CALL can be served now.
    fn can_serve(&self) -> bool {
        let limit = self.connection.options().connection.served_calls;
        !self.is_blocked && self.connection.inner.served.count() < limit
    }

    /// Whether nothing more may be read: the deferred CALLs have reached their
    /// limit. While this side waits for RETURNs, reading goes on and further CALLs
    /// are refused instead, unless the peer does not even read the refusals.
    fn must_pause(&self) -> bool {
        let limit = self.connection.options().connection.send_buffer;
        self.deferred.bytes >= limit
            && (self.connection.inner.calls.waiting() == 0
                || self.buffer.pending() >= limit.saturating_mul(2))
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

    /// Handles frames until reading has to pause; returns the rest.
    fn handle_frames<'c>(
        &mut self,
        chunk: &'c [u8],
        replies: &mut Vec<u8>,
        batch: &mut Option<WriteBatch>,
    ) -> Result<&'c [u8], FrameError> {
        let connection = self.connection;
        let inbound = connection.inbound();
        let handler = connection.inner.handler.as_ref();
        let max_deferred = connection.options().connection.send_buffer;
        let mut rest = chunk;
        let mut gathered = 0;
        loop {
            let can_serve = self.can_serve();
            let is_paused = match handler {
                Some(handler) => !can_serve || handler.should_pause(),
                None => self.must_pause(),
            };
            if is_paused {
                break;
            }
            let Some(frame) = self.deframer.next(&mut rest)? else {
                break;
            };
            let is_late = !can_serve || !self.deferred.calls.is_empty();
            if handler.is_none() && is_late && is_call(frame.payload) {
                if self.deferred.bytes < max_deferred {
                    self.deferred.push(frame.payload);
                } else {
                    let text = "too many calls wait on this connection";
                    inbound.refuse(frame.payload, text, replies);
                }
                continue;
            }
            let was_routed = inbound.handle(frame.payload, None, replies, batch.as_mut());
            gathered += 1;
            if replies.len() >= REPLY_SIZE || is_batch_full(gathered, replies.len(), was_routed) {
                gathered = 0;
                self.send_returns(replies);
            }
        }
        Ok(rest)
    }

    /// Serves deferred CALLs as long as there is capacity for their RETURNs.
    fn serve_deferred(&mut self) {
        if self.is_blocked {
            self.is_blocked = self.buffer.is_full();
        }
        if self.deferred.calls.is_empty() {
            return;
        }
        let connection = self.connection;
        let inbound = connection.inbound();
        let mut replies = REPLIES.take();
        while self.can_serve()
            && let Some(payload) = self.deferred.pop()
        {
            inbound.handle(&payload, None, &mut replies, None);
            if replies.len() >= REPLY_SIZE {
                self.send_returns(&mut replies);
            }
        }
        self.send_returns(&mut replies);
        REPLIES.set(replies);
    }

    fn send_returns(&mut self, replies: &mut Vec<u8>) {
        if !replies.is_empty() {
            self.buffer.append_all(replies);
            self.is_blocked = self.buffer.is_full();
        }
    }
}

/// CALLs that were read and can't be served yet, in order.
#[derive(Default)]
struct DeferredCalls {
    calls: VecDeque<Box<[u8]>>,
    bytes: usize,
}

impl DeferredCalls {
    fn push(&mut self, payload: &[u8]) {
        self.bytes += payload.len();
        self.calls.push_back(payload.into());
    }

    fn pop(&mut self) -> Option<Box<[u8]>> {
        let payload = self.calls.pop_front()?;
        self.bytes -= payload.len();
        Some(payload)
    }
}

fn is_call(payload: &[u8]) -> bool {
    let header = Header::unmarshal(&mut Reader::new(payload));
    header.is_ok_and(|header| header.calltype.is_call())
}

/// Waits until a CALL of the peer can be served.
async fn servable(connection: &Connection, buffer: &WriteBuffer, is_blocked: bool) {
    let limit = connection.options().connection.served_calls;
    connection.inner.served.fewer_than(limit).await;
    if is_blocked {
        buffer.capacity().await;
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
