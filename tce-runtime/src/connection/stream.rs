//! The task of one stream connection: it reads, writes, and watches deadlines
//! until the connection ends.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    io::AsyncWriteExt,
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Channel, Connection, ConnectionEvent, Inner, Status,
    channel::StreamChannel,
    reader::{CloseReason, ReadProgress, ReceivedCalls, StreamReader, serve_received},
    write_buffer::{Sink, WriteBuffer},
};
use crate::{
    error::ErrorCode,
    in_flight::after,
    log_limit::LogLimit,
    shutdown::{DRAIN_EVERY, ShutdownPhase, reached},
    transport::{ByteStream, Heartbeat},
};

/// How long waiting messages may take to leave when a connection is closed.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// How long the closing handshake with a peer may take.
const GOODBYE_TIME: Duration = Duration::from_secs(1);
/// The intervals of [`DRAIN_EVERY`] without new bytes after which a stream has
/// delivered what the peer had sent.
const QUIET_CHECKS: u32 = 2;
/// How long a shutdown serves a peer that goes on calling.
const CATCH_UP_TIME: Duration = Duration::from_secs(1);
/// Fewer bytes at a time than this are calls that have just been made.
const BULK_SIZE: u64 = 32 << 10;
/// The bytes that a shutdown serves at most: more than the system's buffers of a
/// socket have.
const MAX_CATCH_UP: u64 = 16 << 20;
/// How long a program that has connected may take to add its servants and make its
/// first call, before the connection logs in by itself. Far below the time after which
/// gateways close a connection that says nothing, 30 s by default.
const LOGIN_DELAY: Duration = Duration::from_secs(1);
/// The shortest time between two checks for silence.
const PING_CHECK_MIN: Duration = Duration::from_millis(10);
/// The generation of the first stream of a connection.
const FIRST_STREAM: u64 = 1;

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
        *self.inner.heartbeat.lock() = None;
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
/// connection over a queue. Returns whether the peer has refused this side, so that
/// it has no reason to connect again by itself.
pub(crate) async fn run_stream(
    connection: &Connection,
    stream: ByteStream,
    status_after: Status,
    phase: watch::Receiver<ShutdownPhase>,
) -> bool {
    let Channel::Stream(channel) = &connection.inner.channel else {
        return false;
    };
    let is_accepted = matches!(status_after, Status::Closed);
    connection.notify(&ConnectionEvent::Connected);
    let (reason, received) = run(connection, channel, stream, status_after, phase.clone()).await;
    tracing::debug!(peer = connection.peer(), "connection ended: {reason}");
    let malformed = connection.inner.malformed.swap(0, Ordering::Relaxed);
    if malformed > 1 {
        static LIMIT: LogLimit = LogLimit::new();
        if LIMIT.allows("malformed messages") {
            let peer = connection.peer();
            tracing::warn!(
                peer,
                malformed,
                "dropped malformed messages of a connection"
            );
        }
    }
    connection.notify(&ConnectionEvent::Disconnected {
        reason: reason.to_string(),
    });
    if is_accepted {
        serve_received(connection, received, phase).await;
    }
    matches!(reason, CloseReason::Goodbye(ErrorCode::ConnectReject, _))
}

async fn run(
    connection: &Connection,
    channel: &StreamChannel,
    stream: ByteStream,
    status_after: Status,
    mut phase: watch::Receiver<ShutdownPhase>,
) -> (CloseReason, ReceivedCalls) {
    let (inner, buffer) = (&*connection.inner, &channel.buffer);
    let ByteStream {
        mut source,
        sink,
        heartbeat,
        ..
    } = stream;
    inner.heartbeat.lock().clone_from(&heartbeat);
    let mut status = inner.status.subscribe();
    let mut teardown = Teardown {
        inner,
        buffer,
        status: Some(status_after),
    };
    buffer.attach(sink);
    inner.set_status(Status::Up);
    let progress = ReadProgress::default();
    let mut reader = StreamReader::new(connection, buffer, &progress);
    // Most wakes are for bytes, and there are many of them. `FuturesUnordered`
    // polls each of these three only after a wake of its own.
    let rare: [Pin<Box<dyn Future<Output = CloseReason> + Send + '_>>; 3] = [
        Box::pin(watch_deadlines(inner, buffer)),
        Box::pin(closed(buffer, &mut status)),
        Box::pin(drained(inner, buffer, &progress, &mut phase)),
    ];
    let mut rare = FuturesUnordered::from_iter(rare);
    let ping_interval = connection.options().connection.ping_interval;
    if let (Some(heartbeat), Some(interval)) = (&heartbeat, ping_interval) {
        rare.push(Box::pin(keep_alive(buffer, &**heartbeat, interval)));
    }
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
        (CloseReason::ByPeer | CloseReason::Io(_), Some((code, text))) => {
            CloseReason::Goodbye(code, text)
        }
        (reason, _) => reason,
    };
    let received = reader.into_received();
    match (&reason, &inner.handler) {
        (CloseReason::Stalled(_), Some(handler)) => handler.stalled(),
        (CloseReason::NoMemory, _) => count_failed("memory"),
        (CloseReason::Malformed, _) => count_failed("malformed"),
        _ => {}
    }
    if let Some(sink) = teardown.run(&reason.to_string()) {
        say_goodbye(sink, phase).await;
    }
    (reason, received)
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

fn count_failed(reason: &'static str) {
    metrics::counter!("tce_connections_failed_total", "reason" => reason).increment(1);
}

/// Sends a keep-alive message where nothing was sent for `interval`, so that no
/// intermediary ends the connection for silence.
async fn keep_alive(
    buffer: &WriteBuffer,
    heartbeat: &dyn Heartbeat,
    interval: Duration,
) -> CloseReason {
    // Bytes just after one check are seen by the next one, and their absence by the one
    // after it.
    let half = (interval / 2).max(PING_CHECK_MIN);
    let mut was_sent = false;
    loop {
        sleep(half).await;
        was_sent = !buffer.take_has_written() && !was_sent;
        if was_sent {
            poll_fn(|cx| heartbeat.poll_send(cx)).await;
        }
    }
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
    progress: &ReadProgress,
    phase: &mut watch::Receiver<ShutdownPhase>,
) -> CloseReason {
    reached(phase, ShutdownPhase::Draining).await;
    caught_up(progress, phase).await;
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

/// Waits until the CALLs are served that the system had received when the shutdown
/// began: until nothing more arrives for a moment and nothing waits, or until more
/// than a socket's buffers has arrived.
async fn caught_up(progress: &ReadProgress, phase: &watch::Receiver<ShutdownPhase>) {
    let (began, first) = (Instant::now(), progress.bytes());
    let (mut before, mut quiet) = (first, 0);
    while *phase.borrow() == ShutdownPhase::Draining && quiet < QUIET_CHECKS {
        sleep(DRAIN_EVERY).await;
        let bytes = progress.bytes();
        let arrived = bytes - before;
        before = bytes;
        let is_late = began.elapsed() > CATCH_UP_TIME;
        quiet = match arrived {
            _ if bytes - first > MAX_CATCH_UP => return,
            _ if progress.has_backlog() => 0,
            0 => quiet + 1,
            // New calls: what had arrived before is read by large reads.
            1..BULK_SIZE if is_late => return,
            _ => 0,
        };
    }
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
