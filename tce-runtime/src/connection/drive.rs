//! The life of one stream connection: one task that reads, writes and watches
//! deadlines until something ends it.

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

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    sync::watch,
    time::{sleep, timeout, timeout_at},
};

use super::{Connection, IncomingCall, Reply, Status, after, outbox::Sink};
use crate::{
    error::ErrorCode,
    stop::{Stop, reached},
    transport::Stream,
    wire::{Deframer, Extra, FrameError, Header, MSGTYPE_RPC, Message, Reader, reserved},
};

/// How much one read takes at most. It lies in one buffer for all connections
/// of a thread, so that an idle connection has none.
const READ_SIZE: usize = 64 << 10;
/// Replies of this size leave before the rest of what was read is looked at.
const REPLY_SIZE: usize = 64 << 10;
/// How often a draining connection looks whether it is done.
const DRAIN_EVERY: Duration = Duration::from_millis(5);
/// How long what waits to be sent may take when a connection is closed.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// How long a peer may take to take its leave. Nobody waits for it but the
/// next attempt to connect, and a shutdown.
const LEAVE_TIME: Duration = Duration::from_secs(1);

thread_local! {
    static READ_BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Why a connection has ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The peer closed it.
    ByPeer,
    /// It was closed here.
    ByUs,
    /// The socket failed.
    Io(io::Error),
    /// The peer's bytes make no sense.
    Frame(FrameError),
    /// A frame began and did not end in time.
    SlowFrame(Duration),
    /// The peer has not read in time what waits for it.
    Stalled(Duration),
}

impl fmt::Display for Ended {
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
        inner.status.send_if_modified(|status| {
            let is_open = !matches!(status, Status::Closed);
            if is_open {
                *status = after;
            }
            is_open
        });
        let sink = inner.outbox.detach();
        inner.calls.lose_all(reason);
        sink
    }
}

impl Drop for Teardown<'_> {
    fn drop(&mut self) {
        self.tear_down("its task was dropped");
    }
}

/// Runs a connection over `stream` until it ends; `after` is its status then.
pub(crate) async fn drive(
    connection: &Connection,
    stream: Stream,
    after: Status,
    mut stop: watch::Receiver<Stop>,
) -> Ended {
    let inner = &connection.inner;
    let Stream {
        mut source, sink, ..
    } = stream;
    let mut status = inner.status.subscribe();
    let mut teardown = Teardown {
        connection,
        after: Some(after),
    };
    inner.outbox.attach(sink);
    inner.status.send_if_modified(|status| {
        let is_open = !matches!(status, Status::Closed);
        if is_open {
            *status = Status::Up;
        }
        is_open
    });
    let mut reading = Reading::new(connection);
    let ended = tokio::select! {
        biased;
        ended = reading.read(&mut source) => ended,
        error = inner.outbox.write(|| inner.calls.look_again()) => Ended::Io(error),
        ended = watch_deadlines(connection) => ended,
        () = closed(connection, &mut status) => Ended::ByUs,
        () = stopped(connection, &mut stop) => Ended::ByUs,
    };
    if let Some(sink) = teardown.tear_down(&ended.to_string()) {
        take_leave(sink, stop).await;
    }
    ended
}

/// Ends the stream as its protocol wants it, so that the peer knows that
/// nothing is missing; without that, where there is no more time.
async fn take_leave(mut sink: Sink, mut stop: watch::Receiver<Stop>) {
    tokio::select! {
        biased;
        _ = timeout(LEAVE_TIME, sink.shutdown()) => {}
        () = reached(&mut stop, Stop::Now) => {}
    }
}

/// Waits until the connection is closed on this side and what waits is sent.
async fn closed(connection: &Connection, status: &mut watch::Receiver<Status>) {
    let inner = &connection.inner;
    // The sender lives in the connection itself.
    let _ = status
        .wait_for(|status| matches!(status, Status::Closed))
        .await;
    let _ = timeout(CLOSE_TIME, inner.outbox.drained()).await;
}

/// Waits until the communicator ends, and what is under way has ended.
async fn stopped(connection: &Connection, stop: &mut watch::Receiver<Stop>) {
    let inner = &connection.inner;
    reached(stop, Stop::Drain).await;
    inner.is_draining.store(true, Ordering::Relaxed);
    while *stop.borrow() == Stop::Drain {
        if inner.served.count() == 0 && inner.calls.waiting() == 0 && inner.outbox.pending() == 0 {
            return;
        }
        sleep(DRAIN_EVERY).await;
    }
}

/// Fails calls at their deadlines, and the connection when its peer stalls.
/// One timer serves them all.
async fn watch_deadlines(connection: &Connection) -> Ended {
    let inner = &connection.inner;
    let stall_time = inner.settings.options.connection.stall_time;
    loop {
        let stalls_at = |since: Instant| after(since, stall_time);
        let stalls = inner.outbox.blocked_since().map(stalls_at);
        let gives_back = inner.outbox.give_back(Instant::now());
        inner
            .calls
            .watch_once([stalls, gives_back].into_iter().flatten().min())
            .await;
        if inner
            .outbox
            .blocked_since()
            .is_some_and(|since| stalls_at(since) <= Instant::now())
        {
            return Ended::Stalled(stall_time);
        }
    }
}

/// The incoming side of a connection.
struct Reading<'a> {
    connection: &'a Connection,
    deframer: Deframer,
    replies: Vec<u8>,
    /// Whether replies have left since the reader last looked for room.
    has_replied: bool,
    /// What was read and waits, since the peer has too much under way.
    held: Vec<u8>,
}

impl<'a> Reading<'a> {
    fn new(connection: &'a Connection) -> Self {
        let limits = connection.inner.settings.options.limits;
        Self {
            connection,
            deframer: Deframer::new(limits),
            replies: Vec::new(),
            has_replied: false,
            held: Vec::new(),
        }
    }

    async fn read(&mut self, source: &mut (impl AsyncRead + Unpin)) -> Ended {
        let limits = self.connection.inner.settings.options.connection;
        // The frame that is cut off, and when it has to be complete.
        let mut slow_frame: Option<(u64, Instant)> = None;
        loop {
            let chunk = poll_fn(|cx| self.poll_chunk(source, cx));
            let read = match slow_frame {
                None => chunk.await,
                Some((_, at)) => match timeout_at(at.into(), chunk).await {
                    Ok(read) => read,
                    Err(_) => return Ended::SlowFrame(limits.frame_time),
                },
            };
            if let Err(ended) = read {
                return ended;
            }
            if let Err(error) = self.catch_up().await {
                return Ended::Frame(error);
            }
            slow_frame = match (slow_frame, self.deframer.partial()) {
                (_, None) => None,
                (Some((number, at)), Some(current)) if number == current => Some((number, at)),
                (_, Some(current)) => Some((current, after(Instant::now(), limits.frame_time))),
            };
        }
    }

    /// Reads once, and handles what came.
    fn poll_chunk(
        &mut self,
        source: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Ended>> {
        let mut buffer = READ_BUFFER
            .take()
            .unwrap_or_else(|| vec![0; READ_SIZE].into_boxed_slice());
        let mut chunk = ReadBuf::new(&mut buffer);
        let read = Pin::new(source).poll_read(cx, &mut chunk);
        let handled = match &read {
            Poll::Ready(Ok(())) if chunk.filled().is_empty() => Err(Ended::ByPeer),
            Poll::Ready(Ok(())) => self.receive(chunk.filled()).map_err(Ended::Frame),
            _ => Ok(()),
        };
        READ_BUFFER.set(Some(buffer));
        ready!(read).map_err(Ended::Io)?;
        Poll::Ready(handled)
    }

    /// Waits while the peer has too much under way, and handles what was held
    /// back meanwhile.
    async fn catch_up(&mut self) -> Result<(), FrameError> {
        let inner = &self.connection.inner;
        let limit = inner.settings.options.connection.served_calls;
        loop {
            inner.served.fewer_than(limit).await;
            // Only who makes us reply has to wait for room. Two sides that both
            // stopped reading since their own calls wait would wait for ever.
            if std::mem::take(&mut self.has_replied) && inner.outbox.is_full() {
                inner.outbox.room().await;
            }
            if self.held.is_empty() {
                return Ok(());
            }
            let held = std::mem::take(&mut self.held);
            self.receive(&held)?;
        }
    }

    /// Handles the frames of a chunk. All replies that are ready leave in one
    /// write.
    fn receive(&mut self, chunk: &[u8]) -> Result<(), FrameError> {
        let inner = &self.connection.inner;
        let limit = inner.settings.options.connection.served_calls;
        let mut rest = chunk;
        loop {
            let frame = match self.deframer.next(&mut rest) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    self.leave();
                    return Err(error);
                }
            };
            handle(self.connection, frame.payload, &mut self.replies);
            if self.replies.len() >= REPLY_SIZE {
                self.leave();
                if inner.outbox.is_full() {
                    break;
                }
            }
            if inner.served.count() >= limit {
                break;
            }
        }
        self.leave();
        self.held.extend_from_slice(rest);
        Ok(())
    }

    /// Sends the replies that are ready.
    fn leave(&mut self) {
        if !self.replies.is_empty() {
            self.connection.inner.outbox.append_all(&mut self.replies);
            self.has_replied = true;
        }
    }
}

/// Handles one message. A message that makes no sense costs itself, not the
/// connection: where the next one begins is known.
fn handle(connection: &Connection, payload: &[u8], replies: &mut Vec<u8>) {
    let inner = &connection.inner;
    let limits = &inner.settings.options.limits;
    let message = match Message::parse(payload, limits) {
        Ok(message) => message,
        Err(error) => return handle_broken(connection, payload, &error.to_string(), replies),
    };
    let Message {
        header,
        extra,
        params,
    } = message;
    if header.msgtype != MSGTYPE_RPC {
        dropped(connection, "msgtype", "a message of a reserved type");
    } else if header.calltype.is_return() {
        let reply = Reply {
            errcode: header.errcode,
            extra,
            result: Bytes::copy_from_slice(params),
        };
        if !inner.calls.complete(header.sequence, reply) {
            metrics::counter!("tce_messages_dropped_total", "reason" => "late_return").increment(1);
        }
    } else if header.calltype.is_call() {
        let call = IncomingCall {
            connection,
            header,
            extra,
            params,
            replies,
            origin: None,
        };
        if inner.is_draining.load(Ordering::Relaxed) {
            return call.refuse(ErrorCode::ConnectReject, "the server is shutting down");
        }
        inner.servants.dispatch(call);
    } else {
        dropped(
            connection,
            "calltype",
            "a message that is neither CALL nor RETURN",
        );
    }
}

/// Answers a message whose header alone makes sense: nobody is left waiting.
fn handle_broken(connection: &Connection, payload: &[u8], text: &str, replies: &mut Vec<u8>) {
    let header = Header::unmarshal(&mut Reader::new(payload))
        .ok()
        .filter(|header| header.msgtype == MSGTYPE_RPC);
    match header {
        Some(header) if header.calltype.is_return() => {
            let reply = Reply {
                errcode: ErrorCode::DataDirty.to_wire(),
                extra: Extra::from_iter([(reserved::ERROR, text)]),
                result: Bytes::new(),
            };
            connection.inner.calls.complete(header.sequence, reply);
        }
        Some(header) if header.calltype.is_call() => {
            let call = IncomingCall {
                connection,
                header,
                extra: Extra::new(),
                params: &[],
                replies,
                origin: None,
            };
            call.refuse(ErrorCode::DataDirty, text);
        }
        _ => dropped(connection, "undecodable", text),
    }
}

fn dropped(connection: &Connection, reason: &'static str, text: &str) {
    metrics::counter!("tce_messages_dropped_total", "reason" => reason).increment(1);
    tracing::warn!(
        peer = connection.peer(),
        reason,
        "dropped a message: {text}"
    );
}
