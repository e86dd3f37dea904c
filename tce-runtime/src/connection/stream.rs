//! The task of one stream connection: it reads, writes, and watches deadlines
//! until the connection ends.

use std::{
    future::{poll_fn, ready},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{Either, OptionFuture},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    Channel, ClientLogin, Connection, ConnectionEvent, Goodbye, Inner, LostReason, Reconnect,
    Status,
    channel::StreamChannel,
    own_wake::OwnWake,
    reader::{CloseReason, ReadProgress, ReceivedCalls, StreamReader, serve_received},
    write_buffer::{Sink, WriteBuffer},
};
use crate::{
    close_code::CloseCode,
    in_flight::{after, now},
    log_limit::LogLimit,
    shutdown::{DRAIN_EVERY, ShutdownPhase, reached},
    transport::{ByteStream, Source, StreamControl},
    wire::FrameError,
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
/// How long a stream that another one has replaced is read at least: pushes arrive by it
/// until the client has logged in on the other one.
const LINGER_TIME: Duration = Duration::from_millis(500);
/// The shortest time between two checks for silence.
const PING_CHECK_MIN: Duration = Duration::from_millis(10);
/// The generation of the first stream of a connection.
const FIRST_STREAM: u64 = 1;

/// Begins a connection over `stream`, and reports [`ConnectionEvent::Connected`]. The
/// future runs it until it ends, and reports [`ConnectionEvent::Disconnected`]; the status
/// of the connection is `status_after` then. Does nothing for a connection over a queue.
/// The future returns whether this side connects again, if it has opened the connection.
///
/// An idle connection holds little more than this future. So what runs rarely is boxed,
/// and the arguments of async functions are small: a future keeps them until its end.
pub(crate) fn run_stream(
    connection: Connection,
    stream: ByteStream,
    status_after: Status,
    phase: watch::Receiver<ShutdownPhase>,
) -> impl Future<Output = Reconnect> + Send {
    let stream = OpenStream::new(connection, stream, status_after, phase);
    stream.run()
}

/// How long the stream before may take to accept what waits for it when another one
/// replaces it.
const REPLACE_TIME: Duration = Duration::from_secs(5);

/// A stream of a client's connection, until it ends.
pub(crate) type RunningStream = Pin<Box<dyn Future<Output = Reconnect> + Send>>;

/// As [`run_stream`], in place of a stream that still works: later messages leave by
/// `stream`, and the one before ends once the calls that it carries have. Returns `None`
/// if that one does not accept what waits for it, or has ended.
pub(crate) async fn run_next_stream(
    connection: Connection,
    stream: ByteStream,
    status_after: Status,
    phase: watch::Receiver<ShutdownPhase>,
) -> Option<RunningStream> {
    let inner = &connection.inner;
    let Channel::Stream(channel) = &inner.channel else {
        return None;
    };
    let login = inner.login.as_ref();
    let (credentials, login) = login.map(|login| login.begin()).unwrap_or_default();
    let buffer = &channel.buffer;
    let replacing = buffer.replace(stream.sink, &credentials, login.as_deref());
    if !timeout(REPLACE_TIME, replacing).await.unwrap_or(false) {
        return None;
    }
    *inner.control.lock() = stream.control;
    let reason = "continued on another connection, as the peer has asked".to_owned();
    connection.notify(&ConnectionEvent::Disconnected { reason });
    connection.notify(&ConnectionEvent::Connected);
    let stream = OpenStream {
        connection,
        source: stream.source,
        phase,
        is_accepted: false,
        status_after: Some(status_after),
    };
    Some(Box::pin(stream.run()))
}

/// A stream that a connection uses. Ends what the connection has in flight when it is
/// dropped, also if its task or the runtime is.
struct OpenStream {
    connection: Connection,
    source: Box<dyn Source>,
    phase: watch::Receiver<ShutdownPhase>,
    is_accepted: bool,
    /// The status afterwards; `None` once it is set.
    status_after: Option<Status>,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.tear_down(|| LostReason::Ended("its task was dropped".to_owned()));
    }
}

impl OpenStream {
    fn new(
        connection: Connection,
        stream: ByteStream,
        status_after: Status,
        phase: watch::Receiver<ShutdownPhase>,
    ) -> Self {
        let inner = &connection.inner;
        let is_accepted = matches!(status_after, Status::Closed);
        let status_after = match &inner.channel {
            Channel::Stream(channel) => {
                connection.notify(&ConnectionEvent::Connected);
                *inner.control.lock() = stream.control;
                let login = inner.login.as_ref();
                let (credentials, login) = login.map(|login| login.begin()).unwrap_or_default();
                channel.buffer.attach(stream.sink, credentials, login);
                inner.status.set_unless_closed(Status::Up);
                Some(status_after)
            }
            Channel::Queue(_) => None,
        };
        Self {
            connection,
            source: stream.source,
            phase,
            is_accepted,
            status_after,
        }
    }

    /// Returns the sink and the control messages, for the closing handshake.
    fn tear_down(&mut self, reason: impl FnOnce() -> LostReason) -> Option<ClosingStream> {
        let status = self.status_after.take()?;
        let inner = &self.connection.inner;
        let Channel::Stream(channel) = &inner.channel else {
            return None;
        };
        // The status first: a caller that finds no stream must find out why. The
        // calls last: a call that was entered before fails here.
        inner.status.set_unless_closed(status);
        let control = inner.control.lock().take();
        let sink = channel.buffer.detach();
        inner.calls.lose_all(reason());
        Some((sink?, control))
    }

    async fn run(mut self) -> Reconnect {
        let end = self.read_and_write().await;
        Box::pin(self.finish(end)).await
    }

    /// Reports the end, and ends what the connection has in flight.
    async fn finish(&mut self, end: Option<StreamEnd>) -> Reconnect {
        let Some(StreamEnd {
            reason,
            own_goodbye,
            received,
        }) = end
        else {
            return Reconnect::ByItself;
        };
        let reconnect = self.reconnect(&reason);
        let closing = self.tear_down(|| match &reason {
            CloseReason::Goodbye(goodbye) => LostReason::Goodbye(Goodbye::clone(goodbye)),
            reason => LostReason::Ended(reason.to_string()),
        });
        if let Some((sink, control)) = closing {
            if let Some(control) = control {
                let (code, text) = self.close_frame(&reason, own_goodbye);
                control.close(code, &text);
            }
            shut_down(sink, self.phase.clone()).await;
            if self.is_accepted && reason.is_told() {
                let _ = timeout(GOODBYE_TIME, discard(&mut self.source)).await;
            }
        }
        let connection = &self.connection;
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
        if self.is_accepted {
            serve_received(connection, received, self.phase.clone()).await;
        }
        reconnect
    }

    /// Whether this side connects again; it does not by `status_after` either if the peer
    /// has closed the connection permanently.
    fn reconnect(&mut self, reason: &CloseReason) -> Reconnect {
        let CloseReason::Goodbye(goodbye) = reason else {
            return Reconnect::ByItself;
        };
        let login = self.connection.inner.login.as_ref();
        let renews_login = login.is_some_and(|login| login.has_provider());
        let reconnect = goodbye.reconnect(renews_login);
        if reconnect == Reconnect::Never && !self.is_accepted && self.status_after.is_some() {
            self.status_after = Some(Status::ClosedByPeer(Arc::new(Goodbye::clone(goodbye))));
        }
        reconnect
    }

    /// The code and the text of a WebSocket's close frame.
    fn close_frame(
        &self,
        reason: &CloseReason,
        own_goodbye: Option<Box<Goodbye>>,
    ) -> (CloseCode, String) {
        if let Some(Goodbye { close, text, .. }) = own_goodbye.map(|goodbye| *goodbye) {
            return (close.unwrap_or(CloseCode::Normal), text);
        }
        let is_ending = *self.phase.borrow() != ShutdownPhase::Running;
        match reason.close_code() {
            CloseCode::Normal if is_ending && self.is_accepted => {
                (CloseCode::GoingAway, String::new())
            }
            CloseCode::Normal => (CloseCode::Normal, String::new()),
            code => (code, reason.to_string()),
        }
    }

    /// Reads and writes until something ends the stream.
    async fn read_and_write(&mut self) -> Option<StreamEnd> {
        let inner = &*self.connection.inner;
        let Channel::Stream(channel) = &inner.channel else {
            return None;
        };
        let generation = channel.buffer.generation();
        let progress = ReadProgress::default();
        let mut reader = StreamReader::new(&self.connection, &channel.buffer, &progress);
        let events = StreamEvents {
            connection: &self.connection,
            inner,
            channel,
            progress: &progress,
            phase: &self.phase,
        };
        // Most wakes are for bytes, and there are many of them.
        let mut ended = OwnWake::new(Box::pin(events.ended()));
        let reason = tokio::select! {
            biased;
            reason = reader.read(&mut self.source).then(|reason| {
                if self.is_accepted && reason.is_told() {
                    // Boxed: few connections need its memory.
                    Either::Left(Box::pin(tell(&self.connection, channel, reason)))
                } else {
                    Either::Right(ready(reason))
                }
            }) => reason,
            error = channel.buffer.write(generation, || inner.calls.recheck_deadlines()) => {
                CloseReason::Io(error)
            }
            reason = &mut ended => reason,
        };
        drop(ended);
        if channel.buffer.is_replaced(generation) {
            // The status is that of the stream that has replaced this one.
            self.status_after = None;
            let replaced = ReplacedStream {
                sink: channel.buffer.take_replaced(generation),
                // All was written, so that the error is that of the next stream.
                end: Some(reason).filter(|reason| !matches!(reason, CloseReason::Io(_))),
            };
            Box::pin(replaced.finish(&mut reader, &mut self.source, &self.phase)).await;
            return None;
        }
        let goodbye = inner.goodbye.lock().take();
        let (reason, own_goodbye) = match (reason, goodbye) {
            (reason, Some(goodbye)) if goodbye.is_own => (reason, Some(goodbye)),
            (CloseReason::ByPeer | CloseReason::Io(_), Some(goodbye)) => {
                (CloseReason::Goodbye(goodbye), None)
            }
            (reason, _) => (reason, None),
        };
        match (&reason, &inner.handler) {
            (CloseReason::Stalled(_), Some(handler)) => handler.stalled(),
            (CloseReason::NoMemory, _) => count_failed("memory"),
            (CloseReason::Malformed, _) => count_failed("malformed"),
            (CloseReason::Frame(error), _) => report_frame(inner, error),
            _ => {}
        }
        Some(StreamEnd {
            reason,
            own_goodbye,
            received: reader.into_received(),
        })
    }
}

/// How a stream has ended.
struct StreamEnd {
    reason: CloseReason,
    /// What this side has said before it closed the stream.
    own_goodbye: Option<Box<Goodbye>>,
    received: ReceivedCalls,
}

/// What the closing handshake of a stream needs.
type ClosingStream = (Sink, Option<Arc<dyn StreamControl>>);

/// What happens to a stream beside its bytes.
struct StreamEvents<'a> {
    connection: &'a Connection,
    inner: &'a Inner,
    channel: &'a StreamChannel,
    progress: &'a ReadProgress,
    phase: &'a watch::Receiver<ShutdownPhase>,
}

impl StreamEvents<'_> {
    /// Waits until this side ends the stream: the peer stalls, the connection is closed,
    /// or the communicator shuts down.
    async fn ended(&self) -> CloseReason {
        let (inner, channel) = (self.inner, self.channel);
        let ping_interval = inner.settings.options.connection.ping_interval;
        let control = inner.control.lock().clone();
        let keep_alive = control
            .zip(ping_interval)
            .map(|(control, interval)| Box::pin(keep_alive(&channel.buffer, control, interval)));
        let login = inner.login.as_deref();
        let log_in = login.map(|login| Box::pin(log_in(login, channel)));
        tokio::select! {
            biased;
            reason = self.watch_deadlines() => reason,
            reason = self.closed() => reason,
            reason = self.drained() => reason,
            Some(reason) = OptionFuture::from(keep_alive) => reason,
            Some(reason) = OptionFuture::from(log_in) => reason,
        }
    }

    /// Fails calls at their deadlines, and the connection when its peer stalls, with one
    /// timer for all of them.
    async fn watch_deadlines(&self) -> CloseReason {
        let (calls, buffer) = (&self.inner.calls, &self.channel.buffer);
        let stall_time = || self.inner.settings.options.connection.stall_time;
        let stalls_at = || {
            buffer
                .blocked_since()
                .map(|since| after(since, stall_time()))
        };
        loop {
            let shrinks_at = buffer.shrink(now());
            let next = [stalls_at(), shrinks_at].into_iter().flatten().min();
            calls.await_deadline(next).await;
            if stalls_at().is_some_and(|at| at <= now()) {
                return CloseReason::Stalled(stall_time());
            }
        }
    }

    /// Waits until the connection is closed on this side and what waits is sent.
    async fn closed(&self) -> CloseReason {
        let status = &self.inner.status;
        if !status.ending().await {
            let in_flight = Box::pin(self.in_flight_ended());
            tokio::select! {
                () = in_flight => {}
                () = status.closed() => {}
            }
        }
        self.log_out();
        let _ = Box::pin(timeout(CLOSE_TIME, self.channel.buffer.drained())).await;
        CloseReason::ByUs
    }

    /// Waits until the communicator shuts down and what is in flight has ended.
    async fn drained(&self) -> CloseReason {
        reached(&mut self.phase.clone(), ShutdownPhase::Draining).await;
        Box::pin(self.in_flight_ended()).await;
        self.log_out();
        CloseReason::ByUs
    }

    /// Tells a gateway that keeps pushes for this side that it does not come back.
    fn log_out(&self) {
        if self.connection.recovered().is_some() {
            let text = "the client needs the connection no longer";
            self.connection.say_goodbye(CloseCode::Normal, text);
        }
    }

    async fn in_flight_ended(&self) {
        let (inner, phase) = (self.inner, self.phase);
        caught_up(self.progress, phase).await;
        inner.is_draining.store(true, Ordering::Relaxed);
        while *phase.borrow() < ShutdownPhase::Terminating {
            let handler = inner.handler.as_ref();
            if inner.served.count() == 0
                && inner.calls.waiting() == 0
                && inner.call_queue.is_empty()
                && self.channel.buffer.pending() == 0
                && handler.is_none_or(|handler| handler.is_idle())
            {
                break;
            }
            sleep(DRAIN_EVERY).await;
        }
    }
}

/// A stream that another one has replaced.
struct ReplacedStream {
    sink: Option<Sink>,
    /// Why it has ended, if it has.
    end: Option<CloseReason>,
}

impl ReplacedStream {
    /// Reads until the calls that it carries have ended, or the connection is closed.
    async fn finish(
        self,
        reader: &mut StreamReader<'_>,
        source: &mut Box<dyn Source>,
        phase: &watch::Receiver<ShutdownPhase>,
    ) {
        let (inner, progress) = (&reader.connection().inner, reader.progress());
        let mark = inner.calls.mark();
        let mut terminating = phase.clone();
        let ended = async {
            sleep(LINGER_TIME).await;
            while inner.calls.has_before(mark) || progress.has_backlog() {
                sleep(DRAIN_EVERY).await;
            }
        };
        let reason = match self.end {
            Some(reason) => reason,
            None => tokio::select! {
                biased;
                reason = reader.read(source) => reason,
                () = ended => CloseReason::ByUs,
                () = inner.status.closed() => CloseReason::ByUs,
                () = reached(&mut terminating, ShutdownPhase::Terminating) => CloseReason::ByUs,
            },
        };
        // What the peer of this stream has said does not hold for the other one.
        let goodbye = inner.goodbye.lock().take_if(|goodbye| !goodbye.is_own);
        let reason = match goodbye {
            Some(goodbye) => LostReason::Goodbye(*goodbye),
            None => LostReason::Ended(reason.to_string()),
        };
        inner.calls.lose_before(mark, reason);
        if let Some(sink) = self.sink {
            shut_down(sink, phase.clone()).await;
        }
    }
}

/// Logs in on a stream on which the program makes no call: a client that only listens
/// would otherwise get nothing from a gateway, also after a reconnect. Then renews the
/// login before it expires.
async fn log_in(login: &ClientLogin, channel: &StreamChannel) -> CloseReason {
    if channel.buffer.generation() == FIRST_STREAM {
        sleep(LOGIN_DELAY).await;
    }
    channel.log_in();
    login.keep_valid(|token| channel.refresh(token)).await;
    std::future::pending().await
}

/// A peer has sent bytes that are no frames of TCE.
fn report_frame(inner: &Inner, error: &FrameError) {
    static LIMIT: LogLimit = LogLimit::new();
    count_failed("frame");
    if LIMIT.allows("peers that send no TCE") {
        let peer = inner.peer.as_str();
        match error.sender() {
            Some(sender) => {
                tracing::warn!(
                    peer,
                    "closed a connection: the peer is {sender}, not a TCE program"
                );
            }
            None => tracing::warn!(
                peer,
                "closed a connection, is the peer a TCE program? {error}"
            ),
        }
    }
}

fn count_failed(reason: &'static str) {
    metrics::counter!("tce_connections_failed_total", "reason" => reason).increment(1);
}

/// Sends a keep-alive message where nothing was sent for `interval`, so that no
/// intermediary ends the connection for silence.
async fn keep_alive(
    buffer: &WriteBuffer,
    control: Arc<dyn StreamControl>,
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
            poll_fn(|cx| control.poll_keep_alive(cx)).await;
        }
    }
}

/// Ends the stream as its protocol demands, so that the peer knows that nothing
/// is missing. A shutdown that terminates skips it.
async fn shut_down(mut sink: Sink, mut phase: watch::Receiver<ShutdownPhase>) {
    tokio::select! {
        biased;
        _ = timeout(GOODBYE_TIME, sink.shutdown()) => {}
        () = reached(&mut phase, ShutdownPhase::Terminating) => {}
    }
}

/// Says by a goodbye why the connection ends.
async fn tell(
    connection: &Connection,
    channel: &StreamChannel,
    reason: CloseReason,
) -> CloseReason {
    connection.say_goodbye(reason.close_code(), &reason.to_string());
    let _ = timeout(GOODBYE_TIME, channel.buffer.drained()).await;
    reason
}

/// Reads until the peer has closed the stream: the system discards what was written last
/// if a stream is closed whose bytes were not read.
async fn discard(source: &mut Box<dyn Source>) {
    let mut bytes = [0; 4096];
    while source.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

/// Waits until the CALLs are served that the system had received when the shutdown
/// began: until nothing more arrives for a moment and nothing waits, or until more
/// than a socket's buffers has arrived.
async fn caught_up(progress: &ReadProgress, phase: &watch::Receiver<ShutdownPhase>) {
    let (began, first) = (now(), progress.bytes());
    let (mut before, mut quiet) = (first, 0);
    while *phase.borrow() < ShutdownPhase::Terminating && quiet < QUIET_CHECKS {
        sleep(DRAIN_EVERY).await;
        let bytes = progress.bytes();
        let arrived = bytes - before;
        before = bytes;
        let is_late = now() - began > CATCH_UP_TIME;
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
