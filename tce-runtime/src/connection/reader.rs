//! The incoming side of a stream: from bytes to messages, and the CALLs that can't be
//! served yet.

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures_util::future::OptionFuture;
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::watch,
    task::yield_now,
    time::{sleep_until, timeout, timeout_at},
};

use super::{
    Connection, Goodbye,
    forwarding::{InboundSource, MessageHandler, WriteBatch},
    inbound::{Inbound, ReadClock, ReadOutput},
    write_buffer::{WriteBuffer, is_batch_full},
};
use crate::{
    busy_poll::bytes_received,
    close_code::CloseCode,
    in_flight::{InFlightCounter, after, count_dropped, now},
    memory::{MemoryCharge, UNCOUNTED, UNCOUNTED_BEFORE_LOGIN},
    pacing,
    shutdown::{ShutdownPhase, reached},
    transport::Source,
    wire::{Deframer, FRAME_HEADER_SIZE, FrameError, Header, Limits, Reader},
};
/// How often a reader that pauses checks whether it has to read RETURNs.
const PAUSE_CHECK: Duration = Duration::from_millis(5);
/// The most by which outstanding calls raise `served_calls`. It bounds the servants that
/// a peer can start which lets their calls back wait.
const MAX_NESTED: usize = 4096;
/// The size of one read, in bytes. The buffer belongs to the thread, so that an
/// idle connection holds none.
const READ_SIZE: usize = 256 << 10;
/// A peer that sends more malformed messages than this loses its connection.
const MAX_MALFORMED: u32 = 16;
/// After a read of this size in bytes other tasks of the thread run.
const YIELD_SIZE: usize = 64 << 10;
/// RETURNs of this size in bytes leave before the rest of a read is handled.
const REPLY_SIZE: usize = 256 << 10;

/// After this many RETURNs of the peer their callers are woken before the rest of a
/// read is handled.
const MAX_COMPLETIONS: usize = 64;

thread_local! {
    static READ_BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
    /// Empty; keeps the memory of its parts between two reads.
    static OUTPUT: Cell<ReadOutput> = const { Cell::new(ReadOutput::new()) };
}

/// Why a connection has ended.
#[derive(Debug)]
pub(super) enum CloseReason {
    ByPeer,
    /// The peer has said why.
    Goodbye(Box<Goodbye>),
    ByUs,
    Io(io::Error),
    /// The peer's bytes are not frames.
    Frame(FrameError),
    /// A frame began and was not complete after this time.
    SlowFrame(Duration),
    /// The peer has read nothing for this time.
    Stalled(Duration),
    /// The peer has sent a message that is larger than this before its login.
    LargeBeforeLogin(usize),
    /// The peer's messages would exceed the connection's share of the memory
    /// budget.
    NoMemory,
    /// Too many messages of the peer made no sense.
    Malformed,
    /// There is no capacity for a push, which the peer sends again on the next stream.
    PushUnserved,
}

impl CloseReason {
    /// What the peer is told, where this side ends the stream for a fault of the peer.
    pub(super) fn close_code(&self) -> CloseCode {
        match self {
            Self::Frame(FrameError::TooLarge { .. }) | Self::LargeBeforeLogin(_) => {
                CloseCode::TooLarge
            }
            Self::Stalled(_) | Self::PushUnserved => CloseCode::SlowReader,
            _ => CloseCode::Normal,
        }
    }

    /// Whether the peer that has caused it still reads, and is told by a goodbye.
    pub(super) fn is_told(&self) -> bool {
        self.close_code() == CloseCode::TooLarge
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer => f.write_str("closed by the peer"),
            Self::Goodbye(goodbye) => write!(f, "{goodbye}"),
            Self::ByUs => f.write_str("closed on this side"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Frame(error) => write!(f, "{error}"),
            Self::SlowFrame(limit) => write!(f, "a frame was not complete after {limit:?}"),
            Self::Stalled(limit) => write!(f, "the peer read nothing for {limit:?}"),
            Self::LargeBeforeLogin(limit) => {
                write!(f, "a message before the login has more than {limit} bytes")
            }
            Self::NoMemory => f.write_str("the memory budget is used up"),
            Self::Malformed => f.write_str("too many malformed messages"),
            Self::PushUnserved => f.write_str("too many pushes wait to be served"),
        }
    }
}

/// How far the reader of a stream is.
#[derive(Default)]
pub(super) struct ReadProgress {
    /// The bytes that were read.
    bytes: AtomicU64,
    /// Whether CALLs that were read wait to be served.
    has_backlog: AtomicBool,
}

impl ReadProgress {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn has_backlog(&self) -> bool {
        self.has_backlog.load(Ordering::Relaxed)
    }

    fn set_backlog(&self, has_backlog: bool) {
        self.has_backlog.store(has_backlog, Ordering::Relaxed);
    }
}

/// The incoming side of a stream: from bytes to messages.
///
/// RETURNs are read whatever else is full. Two peers that both wait for capacity,
/// or for servants that wait for RETURNs, would otherwise block each other. So a
/// CALL that can't be served now is deferred, and reading goes on.
pub(super) struct StreamReader<'a> {
    connection: &'a Connection,
    buffer: &'a WriteBuffer,
    deframer: Deframer,
    /// Whether RETURNs to this peer have filled the write buffer.
    is_blocked: bool,
    deferred: DeferredCalls,
    /// Whether calls of this side wake this reader.
    is_waiting: bool,
    /// What was read and not handled, while reading pauses.
    unhandled: Vec<u8>,
    /// Counts what is held between two reads.
    charge: MemoryCharge,
    /// The largest frame while the peer has to log in.
    before_login: Option<usize>,
    /// When a compressed frame may be inflated.
    inflated_at: Option<Instant>,
    progress: &'a ReadProgress,
}

impl<'a> StreamReader<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        buffer: &'a WriteBuffer,
        progress: &'a ReadProgress,
    ) -> Self {
        let options = connection.options();
        let handler = connection.inner.handler.as_ref();
        let before_login = handler.and_then(|handler| handler.max_frame_before_login());
        let (limits, memory) = match before_login {
            None => (options.limits, &options.memory),
            Some(max_frame) => {
                let limits = Limits {
                    max_frame: max_frame.min(options.limits.max_frame),
                    max_inflated: max_frame.min(options.limits.max_inflated),
                    ..options.limits
                };
                (limits, options.memory.before_login())
            }
        };
        let is_waiting = &connection.inner.is_reader_waiting;
        is_waiting.store(false, Ordering::Relaxed);
        Self {
            connection,
            buffer,
            deframer: Deframer::new(limits),
            is_blocked: false,
            deferred: DeferredCalls::default(),
            is_waiting: false,
            unhandled: Vec::new(),
            charge: memory.charge(),
            before_login,
            inflated_at: None,
            progress,
        }
    }

    /// Reads until something ends the connection.
    pub(super) async fn read(&mut self, source: &mut Box<dyn Source>) -> CloseReason {
        let frame_time = self.connection.options().connection.frame_time;
        let (connection, buffer) = (self.connection, self.buffer);
        // The number of the incomplete frame, and when it has to be complete.
        let mut slow_frame: Option<(u64, Instant)> = None;
        loop {
            let (has_deferred, is_blocked) = (!self.deferred.calls.is_empty(), self.is_blocked);
            self.set_waiting(has_deferred);
            let chunk = poll_fn(|cx| self.poll_chunk(source, cx));
            // Boxed, as all that an idle connection does not run: the future of a
            // connection has the size of its largest branch.
            let servable = OptionFuture::from(
                has_deferred.then(|| Box::pin(servable(connection, buffer, is_blocked))),
            );
            let chunk = async {
                tokio::select! {
                    biased;
                    read = chunk => read,
                    Some(()) = servable => Ok(0),
                }
            };
            let read = match slow_frame {
                None => chunk.await,
                Some((_, at)) => match Box::pin(timeout_at(at.into(), chunk)).await {
                    Ok(read) => read,
                    Err(_) => return CloseReason::SlowFrame(frame_time),
                },
            };
            match read {
                Err(reason) => return reason,
                Ok(size) if size >= YIELD_SIZE => yield_now().await,
                Ok(_) => {}
            }
            // The time during which reading pauses does not count.
            let paused_at = slow_frame.map(|_| now());
            self.progress.set_backlog(true);
            if let Err(reason) = self.catch_up().await {
                return reason;
            }
            self.progress
                .set_backlog(!self.deferred.calls.is_empty() || !self.unhandled.is_empty());
            if let (Some((_, at)), Some(paused_at)) = (&mut slow_frame, paused_at) {
                *at += now() - paused_at;
            }
            slow_frame = match (slow_frame, self.deframer.partial()) {
                (_, None) => None,
                (Some((number, at)), Some(current)) if number == current => Some((number, at)),
                (_, Some(current)) => Some((current, after(now(), frame_time))),
            };
        }
    }

    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    pub(super) fn progress(&self) -> &'a ReadProgress {
        self.progress
    }

    /// The CALLs that are deferred when the stream ends.
    pub(super) fn into_received(self) -> ReceivedCalls {
        ReceivedCalls {
            calls: self.deferred,
            _charge: self.charge,
        }
    }

    /// Reads once, and handles what was read. Returns its size.
    fn poll_chunk(
        &mut self,
        source: &mut Box<dyn Source>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, CloseReason>> {
        let mut buffer = READ_BUFFER
            .take()
            .unwrap_or_else(|| vec![0; READ_SIZE].into_boxed_slice());
        let limit = self
            .before_login
            .map_or(READ_SIZE, |_| READ_SIZE.min(UNCOUNTED));
        let mut chunk = ReadBuf::new(&mut buffer[..limit]);
        let read = Pin::new(&mut *source).poll_read(cx, &mut chunk);
        let size = chunk.filled().len();
        self.progress
            .bytes
            .fetch_add(size as u64, Ordering::Relaxed);
        let handled = match &read {
            Poll::Ready(Ok(())) if size == 0 => Err(CloseReason::ByPeer),
            Poll::Ready(Ok(())) => self.receive(chunk.filled()),
            _ => Ok(()),
        };
        let handled = handled.and_then(|()| self.account(source.held(), source.kept()));
        READ_BUFFER.set(Some(buffer));
        if read.is_ready() {
            bytes_received();
        }
        if let Err(reason) = handled {
            return Poll::Ready(Err(reason));
        }
        ready!(read).map_err(CloseReason::Io)?;
        Poll::Ready(Ok(size))
    }

    /// Counts the memory that is held for the peer; `in_source` are the bytes of
    /// an incomplete message that the source holds, and `kept` those of its buffer.
    fn account(&mut self, in_source: usize, kept: usize) -> Result<(), CloseReason> {
        let mut uncounted = UNCOUNTED;
        if let Some(limit) = self.before_login {
            if in_source > limit.saturating_add(FRAME_HEADER_SIZE) {
                return Err(CloseReason::LargeBeforeLogin(limit));
            }
            uncounted = UNCOUNTED_BEFORE_LOGIN;
        }
        let held = self.deframer.held()
            + self.unhandled.capacity()
            + self.deferred.bytes
            + in_source.max(kept);
        let counted = if held > uncounted { held } else { 0 };
        if counted == self.charge.bytes() || self.charge.try_set(counted) {
            Ok(())
        } else {
            Err(CloseReason::NoMemory)
        }
    }

    /// Applies the usual limits once the peer has logged in.
    fn check_login(&mut self) {
        let handler = self.connection.inner.handler.as_ref();
        if handler.is_none_or(|handler| handler.max_frame_before_login().is_none()) {
            let options = self.connection.options();
            self.before_login = None;
            self.deframer.set_limits(options.limits);
            self.charge = options.memory.charge();
        }
    }

    /// Serves deferred CALLs as far as possible, and waits while reading has to
    /// pause.
    async fn catch_up(&mut self) -> Result<(), CloseReason> {
        loop {
            self.serve_deferred();
            if self.must_pause(self.is_held()) {
                self.set_waiting(true);
                Box::pin(self.until_resumed()).await;
                continue;
            }
            if self.unhandled.is_empty() {
                return Ok(());
            }
            match self.inflated_at.take() {
                Some(at) => Box::pin(sleep_until(at.into())).await,
                None => yield_now().await,
            }
            let unhandled = std::mem::take(&mut self.unhandled);
            self.receive(&unhandled)?;
            drop(unhandled);
            self.account(0, 0)?;
        }
    }

    /// Whether a CALL can be served now.
    fn can_serve(&self) -> bool {
        !self.is_blocked && has_capacity(self.connection, &self.connection.inner.served)
    }

    /// Whether CALLs have to wait now: for the servants here, for the write buffer, or
    /// for what the handler limits.
    fn is_held(&self) -> bool {
        !self.can_serve()
            || self.handler().is_some_and(|handler| {
                handler.should_pause() || handler.waits_for_capacity() && self.buffer.is_full()
            })
    }

    fn handler(&self) -> Option<&'a Arc<dyn MessageHandler>> {
        self.connection.inner.handler.as_ref()
    }

    /// Whether nothing more may be read; `is_held` tells whether CALLs have to wait.
    ///
    /// Reading never pauses while calls of this side are outstanding: it would leave
    /// their RETURNs unread. Otherwise reading from a client of a gateway pauses
    /// whenever its CALLs have to wait, so that the client feels the limits; reading
    /// from a server behind a gateway never pauses, since clients wait for its RETURNs;
    /// and reading from any other peer pauses once the deferred CALLs have reached
    /// their limit.
    fn must_pause(&self, is_held: bool) -> bool {
        let inner = &self.connection.inner;
        match self.handler() {
            Some(handler) => is_held && handler.waits_for_capacity() && inner.outstanding() == 0,
            None => {
                let limits = &self.connection.options().connection;
                self.deferred.bytes >= limits.send_buffer
                    && inner.outstanding() == 0
                    && !self.is_stalling(limits.stall_time)
            }
        }
    }

    /// Whether the peer has read nothing for half of `stall_time`. If it has paused as
    /// this side has, because its own write buffer is full, both would wait until they
    /// lose the connection: so this side reads on, and refuses what it can't serve.
    fn is_stalling(&self, stall_time: Duration) -> bool {
        let since = self.buffer.blocked_since();
        since.is_some_and(|since| now() - since >= stall_time / 2)
    }

    /// Waits while reading pauses.
    async fn until_resumed(&self) {
        let (connection, inner) = (self.connection, &self.connection.inner);
        if self.handler().is_none() {
            // Also for a peer that stalls, for which no event is reported.
            let servable = servable(connection, self.buffer, self.is_blocked);
            let _ = timeout(PAUSE_CHECK, servable).await;
            return;
        }
        if has_capacity(connection, &inner.served) {
            tokio::select! {
                () = servable(connection, self.buffer, self.is_blocked) => {}
                () = inner.served.until(|_| inner.outstanding() > 0) => {}
            }
        } else {
            let is_changed =
                |served: &_| has_capacity(connection, served) || inner.outstanding() > 0;
            inner.served.until(is_changed).await;
        }
    }

    /// Lets calls of this side wake this reader, whether they may let it go on.
    fn set_waiting(&mut self, is_waiting: bool) {
        if self.is_waiting != is_waiting {
            self.is_waiting = is_waiting;
            let flag = &self.connection.inner.is_reader_waiting;
            flag.store(is_waiting, Ordering::Relaxed);
        }
    }

    /// Handles the frames of a chunk. RETURNs that are ready leave in one write.
    fn receive(&mut self, chunk: &[u8]) -> Result<(), CloseReason> {
        if self.before_login.is_some() {
            self.check_login();
        }
        let mut output = OUTPUT.take();
        output.batch = self.connection.write_batch();
        let handled = self.handle_frames(chunk, &mut output);
        self.finish_read(output);
        let rest = handled?;
        self.unhandled.extend_from_slice(rest);
        self.deframer.release();
        Ok(())
    }

    /// Handles frames until reading has to pause; returns the rest.
    fn handle_frames<'c>(
        &mut self,
        chunk: &'c [u8],
        output: &mut ReadOutput,
    ) -> Result<&'c [u8], CloseReason> {
        let connection = self.connection;
        let inbound = connection.inbound();
        let handler = self.handler();
        // A server behind a gateway: its oneway CALLs go to other connections.
        let reads_always = handler.is_some_and(|handler| !handler.waits_for_capacity());
        let max_deferred = connection.options().connection.send_buffer;
        let mut rest = chunk;
        let mut gathered = 0;
        let mut can_serve = self.can_serve();
        let mut handled = HandledMessages {
            handler,
            read_at: output.batch.as_ref().map(WriteBatch::time),
            bytes: None,
        };
        loop {
            can_serve = can_serve || self.can_serve();
            let is_held = !can_serve || handler.is_some_and(|handler| handler.should_pause());
            let is_late = is_held || !self.deferred.calls.is_empty();
            if is_late && self.must_pause(is_held) {
                break;
            }
            let payload = match self.deframer.next_plain(&mut rest) {
                Some(payload) => payload,
                None => {
                    let is_compressed = self.deframer.is_next_compressed(rest);
                    self.inflated_at = is_compressed.then(pacing::due_at).flatten();
                    if self.inflated_at.is_some() {
                        break;
                    }
                    let frame = if is_compressed {
                        pacing::do_paced(|| self.deframer.next(&mut rest))
                    } else {
                        self.deframer.next(&mut rest)
                    };
                    let Some(frame) = frame.map_err(CloseReason::Frame)? else {
                        break;
                    };
                    frame.payload
                }
            };
            *handled.bytes.get_or_insert(0) += payload.len() as u64;
            if is_late && is_call(payload) {
                let is_forwarded = reads_always && inbound.forward_oneway(payload, output);
                if is_forwarded {
                    continue;
                }
                if self.deferred.bytes < max_deferred && !has_deep_nesting(connection) {
                    self.deferred.push(payload);
                } else if connection.recovered().is_some() && is_oneway(payload) {
                    return Err(CloseReason::PushUnserved);
                } else if self.buffer.pending() + output.replies.len()
                    < max_deferred.saturating_mul(2)
                {
                    let text = "too many calls wait on this connection";
                    inbound.refuse(payload, text, &mut output.replies);
                } else {
                    // The peer does not even read the refusals.
                    count_dropped("no_capacity");
                }
                continue;
            }
            let is_forwarded = inbound.handle(payload, None, output);
            if is_forwarded && output.replies.is_empty() {
                continue;
            }
            can_serve = self.can_serve();
            if output.completions.len() >= MAX_COMPLETIONS {
                inbound.complete_calls(output);
            }
            gathered += 1;
            if connection.inner.malformed.load(Ordering::Relaxed) > MAX_MALFORMED {
                return Err(CloseReason::Malformed);
            }
            let size = output.replies.len();
            if size >= REPLY_SIZE || is_batch_full(gathered, size) {
                gathered = 0;
                self.send_returns(&mut output.replies);
            }
        }
        Ok(rest)
    }

    /// Serves deferred CALLs as long as there is capacity for their RETURNs.
    fn serve_deferred(&mut self) {
        if self.is_blocked {
            self.is_blocked = self.is_full();
        }
        if self.deferred.calls.is_empty() {
            return;
        }
        let connection = self.connection;
        let inbound = connection.inbound();
        let mut output = OUTPUT.take();
        output.batch = connection.write_batch();
        while !self.is_held()
            && let Some(payload) = self.deferred.pop()
        {
            inbound.handle(&payload, None, &mut output);
            if output.replies.len() >= REPLY_SIZE {
                self.send_returns(&mut output.replies);
            }
        }
        self.finish_read(output);
    }

    /// Sends and hands on what the messages of a read have caused.
    fn finish_read(&mut self, mut output: ReadOutput) {
        // Dropping the batch sends what was forwarded.
        output.batch = None;
        self.connection.inbound().complete_calls(&mut output);
        self.send_returns(&mut output.replies);
        OUTPUT.set(output);
    }

    fn send_returns(&mut self, replies: &mut Vec<u8>) {
        if !replies.is_empty() {
            self.buffer.append_all(replies);
            self.is_blocked = self.is_full();
        }
    }

    /// Whether no further RETURN may be added. The CALLs that a gateway forwards to a
    /// server fill the buffer as a rule, and do not prevent RETURNs of its own.
    fn is_full(&self) -> bool {
        match self.handler() {
            Some(handler) if !handler.waits_for_capacity() => {
                let limit = self.connection.options().connection.send_buffer;
                self.buffer.pending() >= limit.saturating_mul(2)
            }
            _ => self.buffer.is_full(),
        }
    }
}

/// The messages of a read; reports them to the handler when it is dropped.
struct HandledMessages<'a> {
    handler: Option<&'a Arc<dyn MessageHandler>>,
    read_at: Option<Instant>,
    /// The size of their payloads, once there is a message.
    bytes: Option<u64>,
}

impl Drop for HandledMessages<'_> {
    fn drop(&mut self) {
        if let (Some(handler), Some(at), Some(bytes)) = (self.handler, self.read_at, self.bytes) {
            handler.has_read(bytes, at);
        }
    }
}

/// The CALLs that were deferred when the stream ended, and the memory that they take.
pub(super) struct ReceivedCalls {
    calls: DeferredCalls,
    _charge: MemoryCharge,
}

/// Serves the oneway CALLs that arrived before the peer ended the connection, and
/// still wait for other servants. Their senders have no other news of them.
pub(super) async fn serve_received(
    connection: &Connection,
    mut received: ReceivedCalls,
    mut phase: watch::Receiver<ShutdownPhase>,
) {
    let inner = &connection.inner;
    let serving = async {
        let mut output = ReadOutput::new();
        while let Some(payload) = received.calls.pop() {
            if is_oneway(&payload) {
                let capacity = |served: &InFlightCounter| has_capacity(connection, served);
                inner.served.until(capacity).await;
                let inbound = Inbound {
                    is_draining: false,
                    ..connection.inbound()
                };
                inbound.handle(&payload, None, &mut output);
            }
        }
    };
    tokio::select! {
        () = serving => {}
        () = reached(&mut phase, ShutdownPhase::Terminating) => {}
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

fn is_oneway(payload: &[u8]) -> bool {
    let header = Header::unmarshal(&mut Reader::new(payload));
    header.is_ok_and(|header| header.calltype.is_oneway())
}

fn is_call(payload: &[u8]) -> bool {
    let header = Header::unmarshal(&mut Reader::new(payload));
    header.is_ok_and(|header| header.calltype.is_call())
}

/// Whether another CALL of the peer may be served: within `served_calls`, and
/// within the connection's share of the memory budget. Each outstanding call of this
/// side, up to [`MAX_NESTED`], raises the limit by one: a servant that waits for the peer does not count, and
/// so at the limit at least `served_calls` servants do not wait for the peer.
fn has_capacity(connection: &Connection, served: &InFlightCounter) -> bool {
    let options = connection.options();
    let bytes = served.bytes();
    let (count, limit) = (served.count(), options.connection.served_calls);
    let is_below = count < limit || {
        let outstanding = connection.inner.outstanding().min(MAX_NESTED);
        count < limit.saturating_add(outstanding)
    };
    is_below && (bytes == 0 || options.memory.admits(bytes))
}

/// Whether more servants may wait for the peer than raise the limit: a deferred CALL
/// may then be what they wait for.
fn has_deep_nesting(connection: &Connection) -> bool {
    let inner = &connection.inner;
    inner.served.count() >= MAX_NESTED && inner.outstanding() > MAX_NESTED
}

/// Waits until a CALL of the peer can be served, or one reason why it can't is gone.
async fn servable(connection: &Connection, buffer: &WriteBuffer, is_blocked: bool) {
    let inner = &connection.inner;
    let served = &inner.served;
    if !has_capacity(connection, served) {
        return served
            .until(|served| has_capacity(connection, served))
            .await;
    }
    let handler = inner.handler.as_ref();
    let waits_for_capacity = handler.is_some_and(|handler| handler.waits_for_capacity());
    if is_blocked || waits_for_capacity && buffer.is_full() {
        return buffer.capacity().await;
    }
    if let Some(handler) = handler
        && handler.should_pause()
    {
        handler.until_resumed().await;
    }
}

impl Connection {
    fn inbound(&self) -> Inbound<'_> {
        let inner = &*self.inner;
        Inbound {
            source: InboundSource::Stream(self),
            calls: &inner.calls,
            servants: inner.servants.view(),
            handler: inner.handler.as_ref(),
            limits: &inner.settings.options.limits,
            deadline_tolerance: inner.settings.options.deadline_tolerance,
            is_draining: inner.is_draining.load(Ordering::Relaxed),
            clock: ReadClock::default(),
        }
    }

    fn write_batch(&self) -> Option<WriteBatch> {
        self.inner.handler.as_ref().map(|_| WriteBatch::new())
    }

    /// Handles a message that the handler of this stream has deferred; `payload` is [`InboundMessage::payload`](super::InboundMessage::payload).
    #[doc(hidden)]
    pub fn resume(&self, payload: &[u8], read_at: Instant) {
        let handler = self.inner.handler.as_ref();
        let mut output = ReadOutput::forwarding(handler.map(|_| WriteBatch::read_at(read_at)));
        // It arrived before a shutdown.
        let inbound = Inbound {
            is_draining: false,
            ..self.inbound()
        };
        inbound.handle(payload, None, &mut output);
        output.batch = None;
        inbound.complete_calls(&mut output);
        self.inner.channel.send_returns(&mut output.replies, None);
    }
}
