//! Messages that a gateway forwards to other connections instead of serving
//! them.

use std::{
    cell::Cell,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

pub use super::channel::ForwardError;
use super::{
    Connection, Inner, WeakConnection,
    channel::Channel,
    dispatch::append_error,
    publish_queue::Undelivered,
    write_buffer::{FlushPolicy, is_batch_full},
};
use crate::{
    error::ErrorCode,
    in_flight::{after, millis, unix_millis},
    wire::{
        DeadlinePair, FRAME_HEADER_SIZE, HEADER_SIZE, Header, KeySet, PatchedExtra, Raw, RawMessage,
    },
};

/// Where messages come from.
pub(crate) enum InboundSource<'a> {
    /// A stream: RETURNs leave by the same connection.
    Stream(&'a Connection),
    /// The queue of an endpoint: RETURNs leave by the connection that belongs to
    /// `__mq_return__` of the CALL.
    Queue {
        endpoint: &'a str,
        reply_connection: &'a dyn Fn(Option<&str>) -> Connection,
    },
}

/// What a [`MessageHandler`] has decided about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The handler has forwarded, answered or dropped the message.
    Handled,
    /// The message is for this process: dispatch a CALL to a servant here, and a
    /// RETURN to the pending call.
    Local,
    /// Dispatch the CALL to a servant here as this user; `__user_id__` in the
    /// message is ignored.
    LocalAs(Arc<str>),
}

/// Decides about the messages of a connection, or of a queue.
///
/// It runs in the task that reads, between two messages, and must not block.
pub trait MessageHandler: Undelivered {
    /// Decides about one message.
    fn handle(&self, message: &mut InboundMessage<'_>) -> Disposition;

    /// The connection is up.
    fn connected(&self, _connection: &Connection) {}

    /// Messages of the stream have been handled: `count` of them, with `bytes` of
    /// payload, which were read at `at`. Called after [`MessageHandler::handle`].
    fn has_read(&self, _count: u64, _bytes: u64, _at: Instant) {}

    /// The connection has ended.
    fn disconnected(&self, _connection: &Connection, _reason: &str) {}

    /// The peer has read nothing for `stall_time`: the connection ends.
    fn stalled(&self) {}

    /// The largest frame that the peer may send before it has logged in, in bytes;
    /// `None` afterwards.
    fn max_frame_before_login(&self) -> Option<usize> {
        None
    }

    /// Whether reading from the connection pauses. Asked after each message, so
    /// it has to be cheap.
    fn should_pause(&self) -> bool {
        false
    }

    /// Waits while reading pauses; [`MessageHandler::should_pause`] is asked
    /// again afterwards.
    fn until_resumed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    /// Whether reading pauses while the connection's send buffer is full. True
    /// for a peer whose calls fill it; false for a peer whose RETURNs others
    /// wait for, since two sides that both stop reading would block each other.
    fn waits_for_capacity(&self) -> bool {
        false
    }

    /// Whether nothing of this connection is in flight; a shutdown waits for
    /// this.
    fn is_idle(&self) -> bool {
        true
    }
}

/// A message that has arrived, for a [`MessageHandler`] to decide about.
pub struct InboundMessage<'a> {
    pub(super) message: &'a RawMessage<'a>,
    pub(super) payload: &'a [u8],
    pub(super) source: &'a InboundSource<'a>,
    pub(super) handler: &'a Arc<dyn MessageHandler>,
    /// Where RETURNs on the same connection gather.
    pub(super) replies: &'a mut Vec<u8>,
    pub(super) batch: &'a mut WriteBatch,
    pub(super) is_redelivered: bool,
}

impl<'a> InboundMessage<'a> {
    /// The message, with its extra and parameters still marshalled.
    #[must_use]
    #[inline]
    pub fn message(&self) -> &'a RawMessage<'a> {
        self.message
    }

    /// The whole message as it arrived, without its frame.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// When it was read; the same for all messages of one read.
    #[must_use]
    #[inline]
    pub fn read_at(&self) -> Instant {
        self.batch.read_at
    }

    /// Until when a twoway CALL of a client may be executed, and the time until then:
    /// `call_time` after it was read, or the client's own `__deadline__` if that is
    /// earlier. A deadline that has passed already comes from a wrong clock, as clients
    /// may have, and is ignored.
    pub fn deadline_within(&mut self, call_time: Duration) -> (DeadlinePair, Duration) {
        let latest = self.batch.latest_deadline(call_time);
        let Some(text) = self.message.reserved_text(KeySet::DEADLINE) else {
            return (latest.pair, latest.left);
        };
        let range = latest.at - millis(latest.left)..latest.at;
        match text.parse().ok().filter(|at| range.contains(at)) {
            Some(at) => {
                let left = Duration::from_millis(at - range.start);
                (DeadlinePair::new(at), left)
            }
            None => (latest.pair, latest.left),
        }
    }

    /// Whether a broker may have delivered it before.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    /// Whether a servant of the connection serves the interface that is called.
    /// Always false for a message of a queue.
    #[must_use]
    pub fn has_servant(&self) -> bool {
        match self.source {
            InboundSource::Stream(from) => from.inner.servants.has(self.message.header.ifidx),
            InboundSource::Queue { .. } => false,
        }
    }

    /// Forwards the message to `to` with another header and extra; its
    /// parameters are copied undecoded. Over a queue it expires `expires_in` after it
    /// was read, and for a twoway CALL [`Undelivered::undelivered`] reports that the broker
    /// did not deliver it.
    ///
    /// # Errors
    /// If the message can't be sent now; nothing is queued then.
    pub fn forward(
        &mut self,
        to: &Connection,
        header: Header,
        extra: &PatchedExtra<'_>,
        expires_in: Option<Duration>,
    ) -> Result<(), ForwardError> {
        self.batch.select(&to.inner);
        self.forward_to_selected(header, extra, expires_in)
    }

    /// As [`InboundMessage::forward`], to a connection that may have been dropped.
    ///
    /// # Errors
    /// As for [`InboundMessage::forward`].
    pub fn forward_to_weak(
        &mut self,
        to: &WeakConnection,
        header: Header,
        extra: &PatchedExtra<'_>,
    ) -> Result<(), ForwardError> {
        if !self.batch.is_selected(to) {
            let to = to.upgrade().ok_or(ForwardError::Disconnected)?;
            self.batch.select(&to.inner);
        }
        self.forward_to_selected(header, extra, None)
    }

    fn forward_to_selected(
        &mut self,
        header: Header,
        extra: &PatchedExtra<'_>,
        expires_in: Option<Duration>,
    ) -> Result<(), ForwardError> {
        let read_at = self.read_at();
        let params = Raw(self.message.params);
        let selected = self.batch.selected.as_ref();
        match &selected.ok_or(ForwardError::Disconnected)?.channel {
            Channel::Stream(_) => self.batch.forward(header, extra, params),
            Channel::Queue(queue) => {
                let expires_at = expires_in.map(|left| after(read_at, left));
                let undelivered = || Arc::clone(self.handler) as Arc<dyn Undelivered>;
                queue.forward(header, extra, params, expires_at, undelivered)
            }
        }
    }

    /// Answers a twoway CALL with an error; does nothing for a oneway CALL.
    pub fn refuse(&mut self, code: ErrorCode, text: &str) {
        let header = self.message.header;
        if !header.calltype.is_call() || header.calltype.is_oneway() {
            return;
        }
        match self.source {
            InboundSource::Stream(from) => {
                append_error(&from.inner, header, code, text, self.replies);
            }
            InboundSource::Queue {
                reply_connection, ..
            } => {
                let reply_to = self.message.reserved_text(KeySet::MQ_RETURN);
                reply_connection(reply_to).refuse(header, code, text);
            }
        }
    }
}

impl fmt::Debug for InboundMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundMessage")
            .field("header", &self.message.header)
            .finish_non_exhaustive()
    }
}

/// The messages of one read that were forwarded, and the connections to which they
/// go. When it is dropped, what has gathered for each leaves in one write.
///
/// Most messages of a read go to one connection. The first of them is encoded in its
/// write buffer, the ones that follow in `staged`, so that the buffer is locked twice
/// and not for each message.
pub(crate) struct WriteBatch {
    /// The connection to which the last message went.
    selected: Option<Arc<Inner>>,
    /// Whether its write buffer has to be flushed.
    needs_flush: bool,
    /// The frames for `selected` that are not in its write buffer yet.
    staged: Vec<u8>,
    staged_count: usize,
    /// The bytes that `staged` may grow by within the limits of the write buffer.
    budget: usize,
    /// Other connections whose write buffers have to be flushed.
    unflushed: Vec<Arc<Inner>>,
    read_at: Instant,
    deadline: Option<LatestDeadline>,
}

/// When the calls of one read expire at the latest.
#[derive(Clone, Copy)]
struct LatestDeadline {
    call_time: Duration,
    /// Unix milliseconds.
    at: u64,
    /// The time until then.
    left: Duration,
    pair: DeadlinePair,
}

thread_local! {
    /// Empty; keeps the memory of [`WriteBatch::staged`] between two reads.
    static STAGED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl WriteBatch {
    pub(crate) fn new() -> Self {
        Self::read_at(Instant::now())
    }

    /// A batch for messages that were read earlier.
    pub(crate) fn read_at(read_at: Instant) -> Self {
        Self {
            selected: None,
            needs_flush: false,
            staged: STAGED.take(),
            staged_count: 0,
            budget: 0,
            unflushed: Vec::new(),
            read_at,
            deadline: None,
        }
    }

    pub(super) fn time(&self) -> Instant {
        self.read_at
    }

    fn latest_deadline(&mut self, call_time: Duration) -> LatestDeadline {
        match self.deadline {
            Some(latest) if latest.call_time == call_time => latest,
            _ => {
                let read_at = unix_millis().saturating_sub(millis(self.read_at.elapsed()));
                let at = read_at.saturating_add(millis(call_time));
                *self.deadline.insert(LatestDeadline {
                    call_time,
                    at,
                    left: Duration::from_millis(at - read_at),
                    pair: DeadlinePair::new(at),
                })
            }
        }
    }

    fn is_selected(&self, to: &WeakConnection) -> bool {
        let selected = self.selected.as_ref();
        selected.is_some_and(|selected| std::ptr::eq(Arc::as_ptr(selected), to.as_ptr()))
    }

    /// Selects the connection to which the next messages go.
    fn select(&mut self, to: &Arc<Inner>) {
        if let Some(selected) = &self.selected
            && Arc::ptr_eq(selected, to)
        {
            return;
        }
        self.append_staged(FlushPolicy::Deferred);
        let before = self.selected.replace(Arc::clone(to));
        if std::mem::take(&mut self.needs_flush) {
            self.unflushed.extend(before);
        }
        self.budget = 0;
    }

    /// Forwards a message to the selected connection, a stream.
    fn forward(
        &mut self,
        header: Header,
        extra: &PatchedExtra<'_>,
        params: Raw<'_>,
    ) -> Result<(), ForwardError> {
        let size = FRAME_HEADER_SIZE + HEADER_SIZE + extra.max_size() + params.0.len();
        if size > self.budget {
            return self.forward_unstaged(header, extra, params);
        }
        let Some(stream) = self.selected.as_ref().and_then(|it| it.channel.stream()) else {
            return Err(ForwardError::Disconnected);
        };
        self.staged.reserve(size);
        stream.encode(&mut self.staged, header, extra, params)?;
        self.staged_count += 1;
        self.budget -= size;
        if is_batch_full(self.staged_count, self.staged.len(), true) {
            self.append_staged(FlushPolicy::Deferred);
        }
        Ok(())
    }

    /// Encodes a message in the write buffer, which checks its limits, and finds out
    /// how much may be staged after it.
    fn forward_unstaged(
        &mut self,
        header: Header,
        extra: &PatchedExtra<'_>,
        params: Raw<'_>,
    ) -> Result<(), ForwardError> {
        self.append_staged(FlushPolicy::Deferred);
        self.budget = 0;
        let Some(stream) = self.selected.as_ref().and_then(|it| it.channel.stream()) else {
            return Err(ForwardError::Disconnected);
        };
        let is_return = header.calltype.is_return();
        let mut frame = stream.buffer.forwarded_frame(is_return, params.0.len())?;
        stream.encode(frame.bytes(), header, extra, params)?;
        self.needs_flush |= frame.was_empty();
        self.budget = frame.budget(is_return).min(STAGED_BYTES);
        Ok(())
    }

    /// Moves what is staged into the write buffer.
    fn append_staged(&mut self, policy: FlushPolicy) {
        if self.staged.is_empty() {
            return;
        }
        if let Some(stream) = self.selected.as_ref().and_then(|it| it.channel.stream()) {
            let was_empty = stream
                .buffer
                .append_forwarded(&self.staged, self.staged_count, policy);
            self.needs_flush |= was_empty;
        }
        self.staged.clear();
        self.staged_count = 0;
    }
}

/// The most bytes that gather for a connection outside its write buffer.
const STAGED_BYTES: usize = 16 << 10;

impl Drop for WriteBatch {
    fn drop(&mut self) {
        let has_staged = !self.staged.is_empty();
        let was_due = self.needs_flush;
        self.append_staged(match was_due {
            true => FlushPolicy::Immediate,
            false => FlushPolicy::Deferred,
        });
        if self.needs_flush && !(was_due && has_staged) {
            self.unflushed.extend(self.selected.take());
        }
        for inner in &self.unflushed {
            if let Some(stream) = inner.channel.stream() {
                stream.buffer.flush();
            }
        }
        STAGED.set(std::mem::take(&mut self.staged));
    }
}

impl Connection {
    /// Answers a CALL of this connection's peer with an error; for a CALL that a
    /// gateway has forwarded and could not complete.
    #[doc(hidden)]
    pub fn refuse(&self, header: Header, code: ErrorCode, text: &str) {
        let mut reply = Vec::new();
        append_error(&self.inner, header, code, text, &mut reply);
        self.inner.channel.send_returns(&mut reply, None);
    }
}
