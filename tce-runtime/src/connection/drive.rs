//! The life of one stream connection: one task that reads, writes and watches
//! deadlines until something ends it.

use std::{
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
    Connection, ConnectionEvent, Status, after, ended::CloseReason, reading::StreamReader,
    write_buffer::Sink,
};
use crate::{
    shutdown::{DRAIN_EVERY, ShutdownPhase, reached},
    transport::ByteStream,
};

/// How long what waits to be sent may take when a connection is closed.
const CLOSE_TIME: Duration = Duration::from_secs(5);
/// How long a peer may take to take its leave. Nobody waits for it but the
/// next attempt to connect, and a shutdown.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// Ends what a connection has under way, however its task ends: also when the
/// runtime is dropped under it.
struct Teardown<'a> {
    connection: &'a Connection,
    /// What the status becomes; nothing once it is done.
    after: Option<Status>,
}

impl Teardown<'_> {
    /// Gives back the sink, over which leave can still be taken.
    fn tear_down(&mut self, reason: &str) -> Option<Sink> {
        let inner = &self.connection.inner;
        let after = self.after.take()?;
        // First the status, then the bytes, then the calls: whoever finds no
        // connection must also find why, and a call that was entered before
        // the last step is failed by it.
        inner.set_status(after);
        let sink = inner.write_buffer.detach();
        inner.calls.lose_all(reason);
        sink
    }
}

impl Drop for Teardown<'_> {
    fn drop(&mut self) {
        self.tear_down("its task was dropped");
    }
}

/// Runs a connection over `stream` until it ends, and tells of both; `after` is
/// its status then.
pub(crate) async fn drive(
    connection: &Connection,
    stream: ByteStream,
    after: Status,
    stop: watch::Receiver<ShutdownPhase>,
) {
    connection.tell(&ConnectionEvent::Connected);
    let ended = run(connection, stream, after, stop).await;
    tracing::debug!(peer = connection.peer(), "connection ended: {ended}");
    connection.tell(&ConnectionEvent::Disconnected {
        reason: ended.to_string(),
    });
}

async fn run(
    connection: &Connection,
    stream: ByteStream,
    after: Status,
    mut stop: watch::Receiver<ShutdownPhase>,
) -> CloseReason {
    let inner = &connection.inner;
    let ByteStream {
        mut source, sink, ..
    } = stream;
    let mut status = inner.status.subscribe();
    let mut teardown = Teardown {
        connection,
        after: Some(after),
    };
    inner.write_buffer.attach(sink);
    inner.set_status(Status::Up);
    let mut reading = StreamReader::new(connection);
    // What is rarely ready is looked at only when it has woken: most wakes are
    // for bytes, and there are many.
    let rare: [Pin<Box<dyn Future<Output = CloseReason> + Send + '_>>; 3] = [
        Box::pin(watch_deadlines(connection)),
        Box::pin(closed(connection, &mut status)),
        Box::pin(stopped(connection, &mut stop)),
    ];
    let mut rare = FuturesUnordered::from_iter(rare);
    let ended = tokio::select! {
        biased;
        ended = reading.read(&mut source) => ended,
        error = inner.write_buffer.write(|| inner.calls.look_again()) => CloseReason::Io(error),
        Some(ended) = rare.next() => ended,
    };
    drop(rare);
    if let Some(sink) = teardown.tear_down(&ended.to_string()) {
        take_leave(sink, stop).await;
    }
    ended
}

/// Ends the stream as its protocol wants it, so that the peer knows that
/// nothing is missing; without that, where there is no more time.
async fn take_leave(mut sink: Sink, mut stop: watch::Receiver<ShutdownPhase>) {
    tokio::select! {
        biased;
        _ = timeout(LEAVE_TIME, sink.shutdown()) => {}
        () = reached(&mut stop, ShutdownPhase::Terminating) => {}
    }
}

/// Waits until the connection is closed on this side and what waits is sent.
async fn closed(connection: &Connection, status: &mut watch::Receiver<Status>) -> CloseReason {
    let inner = &connection.inner;
    // The sender lives in the connection itself.
    let _ = status
        .wait_for(|status| matches!(status, Status::Closed))
        .await;
    let _ = timeout(CLOSE_TIME, inner.write_buffer.drained()).await;
    CloseReason::ByUs
}

/// Waits until the communicator ends, and what is under way has ended.
async fn stopped(
    connection: &Connection,
    stop: &mut watch::Receiver<ShutdownPhase>,
) -> CloseReason {
    let inner = &connection.inner;
    reached(stop, ShutdownPhase::Draining).await;
    inner.is_draining.store(true, Ordering::Relaxed);
    while *stop.borrow() == ShutdownPhase::Draining {
        if inner.served.count() == 0
            && inner.calls.waiting() == 0
            && inner.write_buffer.pending() == 0
            && inner
                .handler
                .as_ref()
                .is_none_or(|handler| handler.is_idle())
        {
            break;
        }
        sleep(DRAIN_EVERY).await;
    }
    CloseReason::ByUs
}

/// Fails calls at their deadlines, and the connection when its peer stalls.
/// One timer serves them all.
async fn watch_deadlines(connection: &Connection) -> CloseReason {
    let inner = &connection.inner;
    let stall_time = inner.settings.options.connection.stall_time;
    loop {
        let stalls_at = |since: Instant| after(since, stall_time);
        let stalls = inner.write_buffer.blocked_since().map(stalls_at);
        let gives_back = inner.write_buffer.give_back(Instant::now());
        inner
            .calls
            .watch_once([stalls, gives_back].into_iter().flatten().min())
            .await;
        if inner
            .write_buffer
            .blocked_since()
            .is_some_and(|since| stalls_at(since) <= Instant::now())
        {
            return CloseReason::Stalled(stall_time);
        }
    }
}
