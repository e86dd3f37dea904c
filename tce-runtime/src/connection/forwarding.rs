//! Messages that a gateway forwards to other connections instead of serving
//! them.
//!
//! The functions on the path of a forwarded message are `inline(always)`, here and
//! where it is read, parsed and encoded: as calls, they spend a large part of their
//! instructions on prologues and on copies of what they return.

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
    servants::ServantView,
    write_buffer::{FlushPolicy, is_batch_full},
};
use crate::{
    error::ErrorCode,
    in_flight::{after, millis, now, unix_millis},
    roster::Roster,
    trace::TraceContext,
    wire::{
        Extra, ExtraPairs, ExtraPart, FRAME_HEADER_SIZE, ForwardedExtra, HEADER_SIZE, Header,
        KeySet, PatchedExtra, Raw, RawExtra, RawMessage, parse_millis, reserved,
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
        /// This program as a member of the topic, if it is one.
        member: Option<&'a Roster>,
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

    /// Messages of the stream have been handled, with `bytes` of payload together,
    /// which were read at `at`. Called after [`MessageHandler::handle`].
    fn has_read(&self, _bytes: u64, _at: Instant) {}

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
    pub(super) servants: &'a ServantView,
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

    /// When it was read, in nanoseconds after `epoch`, which has to be the same for all
    /// messages of one handler.
    #[inline]
    pub fn read_nanos(&mut self, epoch: Instant) -> u64 {
        let batch = &mut *self.batch;
        let read_at = batch.read_at;
        *batch.read_nanos.get_or_insert_with(|| {
            let nanos = read_at.saturating_duration_since(epoch).as_nanos();
            u64::try_from(nanos).unwrap_or(u64::MAX)
        })
    }

    /// Prepares the extra that is added to a CALL of a client: `parts`, and for a
    /// twoway CALL `__deadline__`. That is `call_time` after the CALL was read, or the
    /// client's own `__deadline__` if it is earlier. One that has passed already comes
    /// from a wrong clock, as clients may have, and is ignored. Returns the time until
    /// the deadline.
    ///
    /// Messages of one read with the same `key` get the same extra, so that it is put
    /// together once for all of them.
    #[inline]
    pub fn prepare_extra(
        &mut self,
        key: usize,
        parts: &[RawExtra<'_>],
        call_time: Duration,
    ) -> Option<Duration> {
        let is_oneway = self.message.header.calltype.is_oneway();
        let has_own = !is_oneway && self.message.keys().contains(KeySet::DEADLINE);
        let prepared_for = Some((key, is_oneway));
        if has_own || self.batch.prepared_for != prepared_for {
            self.prepare_own_extra(parts, call_time);
            self.batch.prepared_for = prepared_for.filter(|_| !has_own);
        }
        self.batch.time_left
    }

    /// As [`InboundMessage::prepare_extra`], for this message alone.
    pub fn prepare_own_extra(
        &mut self,
        parts: &[RawExtra<'_>],
        call_time: Duration,
    ) -> Option<Duration> {
        let is_oneway = self.message.header.calltype.is_oneway();
        let own = self.message.reserved(KeySet::DEADLINE);
        let own = own.filter(|_| !is_oneway).and_then(parse_millis);
        let batch = &mut *self.batch;
        batch.prepare(parts, (!is_oneway).then_some((call_time, own)));
        batch.prepared_for = None;
        batch.time_left
    }

    /// The span of its sender, if the trace is sampled.
    #[must_use]
    pub fn sampled_trace(&self) -> Option<TraceContext> {
        if !self.message.keys().contains(KeySet::TRACEPARENT) {
            return None;
        }
        let parent = self.message.extra.get(reserved::TRACEPARENT)?;
        TraceContext::parse(parent, None).filter(TraceContext::is_sampled)
    }

    /// The address or the endpoint that it came from.
    #[must_use]
    pub fn peer(&self) -> &str {
        match self.source {
            InboundSource::Stream(connection) => connection.peer(),
            InboundSource::Queue { endpoint, .. } => endpoint,
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
            InboundSource::Stream(_) => self.servants.has(self.message.header.ifidx),
            InboundSource::Queue { .. } => false,
        }
    }

    /// Forwards the message to `to` with another header, without some keys of its
    /// extra and with what is `added`; its parameters are copied undecoded. Over a
    /// queue it expires `expires_in` after it was read, and for a twoway CALL
    /// [`Undelivered::undelivered`] reports that the broker did not deliver it.
    ///
    /// # Errors
    /// If the message can't be sent now; nothing is queued then.
    pub fn forward(
        &mut self,
        to: &Connection,
        header: Header,
        without: KeySet,
        added: AddedExtra<'_>,
        expires_in: Option<Duration>,
    ) -> Result<(), ForwardError> {
        self.batch.select(&to.inner);
        self.forward_to_selected(header, without, added, expires_in)
    }

    /// As [`InboundMessage::forward`], to a connection that may have been dropped.
    ///
    /// # Errors
    /// As for [`InboundMessage::forward`].
    pub fn forward_to_weak(
        &mut self,
        to: &WeakConnection,
        header: Header,
        without: KeySet,
        added: AddedExtra<'_>,
    ) -> Result<(), ForwardError> {
        if !self.batch.is_selected(to) {
            let to = to.upgrade().ok_or(ForwardError::Disconnected)?;
            self.batch.select(&to.inner);
        }
        self.forward_to_selected(header, without, added, None)
    }

    #[inline(always)]
    fn forward_to_selected(
        &mut self,
        header: Header,
        without: KeySet,
        added: AddedExtra<'_>,
        expires_in: Option<Duration>,
    ) -> Result<(), ForwardError> {
        let message = self.message;
        let forwarded = ForwardedMessage {
            header,
            of: message.extra,
            keys: message.keys(),
            without,
            added,
            params: Raw(message.params),
        };
        if self.batch.is_to_stream {
            return self.batch.forward(&forwarded);
        }
        let selected = self.batch.selected.as_ref();
        let Channel::Queue(queue) = &selected.ok_or(ForwardError::Disconnected)?.channel else {
            return Err(ForwardError::Disconnected);
        };
        let expires_at = expires_in.map(|left| after(self.read_at(), left));
        let undelivered = || Arc::clone(self.handler) as Arc<dyn Undelivered>;
        let extra = forwarded.extra(&self.batch.prepared);
        queue.forward(header, &extra, forwarded.params, expires_at, undelivered)
    }

    /// Answers a twoway CALL of a stream with no result, and with this extra; does nothing
    /// for any other one.
    pub fn answer(&mut self, extra: &Extra) {
        let header = self.message.header;
        if let InboundSource::Stream(from) = self.source
            && header.calltype.is_call()
            && !header.calltype.is_oneway()
        {
            append_answer(&from.inner, header, extra, self.replies);
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
                append_error(
                    &from.inner,
                    header,
                    code,
                    text,
                    RawExtra::default(),
                    self.replies,
                );
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

/// Pairs that are added to the extra of a forwarded message.
#[derive(Debug, Clone, Copy)]
pub enum AddedExtra<'a> {
    /// What [`InboundMessage::prepare_extra`] has put together.
    Prepared,
    /// These pairs.
    Pairs(RawExtra<'a>),
}

/// A message on its way to another connection.
struct ForwardedMessage<'a> {
    header: Header,
    /// The extra as it arrived.
    of: RawExtra<'a>,
    keys: KeySet,
    without: KeySet,
    added: AddedExtra<'a>,
    params: Raw<'a>,
}

impl<'a> ForwardedMessage<'a> {
    #[inline]
    fn extra(&self, prepared: &'a ExtraPairs) -> ForwardedExtra<'a> {
        ForwardedExtra {
            of: self.of,
            keys: self.keys,
            without: self.without,
            added: match self.added {
                AddedExtra::Prepared => prepared.raw(),
                AddedExtra::Pairs(pairs) => pairs,
            },
        }
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
    /// Whether `selected` is a stream.
    is_to_stream: bool,
    /// Whether its write buffer has to be flushed.
    needs_flush: bool,
    /// The frames for `selected` that are not in its write buffer yet.
    staged: Vec<u8>,
    staged_count: usize,
    /// The bytes that `staged` may grow by within the limits of the write buffer.
    budget: usize,
    /// Other connections whose write buffers have to be flushed.
    unflushed: Vec<Arc<Inner>>,
    /// The extra that is added to CALLs.
    prepared: ExtraPairs,
    /// The key of `prepared`, and whether it is for oneway CALLs. `None` if it is for
    /// one message alone.
    prepared_for: Option<(usize, bool)>,
    /// The time until the deadline in `prepared`.
    time_left: Option<Duration>,
    read_at: Instant,
    /// The same in Unix milliseconds, once it is needed.
    unix_read_at: Option<u64>,
    /// The same as [`InboundMessage::read_nanos`] tells it, once it is needed.
    read_nanos: Option<u64>,
}

thread_local! {
    /// Empty; keep the memory of [`WriteBatch`] between two reads.
    static STAGED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static PREPARED: Cell<ExtraPairs> = const { Cell::new(ExtraPairs::new()) };
}

impl WriteBatch {
    pub(crate) fn new() -> Self {
        Self::read_at(now())
    }

    /// A batch for messages that were read earlier.
    pub(crate) fn read_at(read_at: Instant) -> Self {
        Self {
            selected: None,
            is_to_stream: false,
            needs_flush: false,
            staged: STAGED.take(),
            staged_count: 0,
            budget: 0,
            unflushed: Vec::new(),
            prepared: PREPARED.take(),
            prepared_for: None,
            time_left: None,
            read_at,
            unix_read_at: None,
            read_nanos: None,
        }
    }

    pub(super) fn time(&self) -> Instant {
        self.read_at
    }

    /// Puts together the extra that is added. `deadline` is the time until the deadline
    /// at the latest, and the deadline that the client has set.
    fn prepare(&mut self, parts: &[RawExtra<'_>], deadline: Option<(Duration, Option<u64>)>) {
        self.prepared.clear();
        parts.iter().for_each(|part| self.prepared.add(*part));
        self.time_left = deadline.map(|(call_time, own)| {
            let read_at = self.read_at;
            let unix_read_at = *self
                .unix_read_at
                .get_or_insert_with(|| unix_millis().saturating_sub(millis(now() - read_at)));
            let latest = unix_read_at.saturating_add(millis(call_time));
            let at = own.filter(|at| (unix_read_at..latest).contains(at));
            let at = at.unwrap_or(latest);
            self.prepared.add_deadline(at);
            Duration::from_millis(at - unix_read_at)
        });
    }

    fn is_selected(&self, to: &WeakConnection) -> bool {
        let selected = self.selected.as_ref();
        selected.is_some_and(|selected| std::ptr::eq(Arc::as_ptr(selected), to.as_ptr()))
    }

    /// Selects the connection to which the next messages go.
    #[inline]
    fn select(&mut self, to: &Arc<Inner>) {
        let selected = self.selected.as_ref();
        if !selected.is_some_and(|selected| Arc::ptr_eq(selected, to)) {
            self.select_other(to);
        }
    }

    fn select_other(&mut self, to: &Arc<Inner>) {
        self.append_staged(FlushPolicy::Deferred);
        self.is_to_stream = to.channel.stream().is_some();
        let before = self.selected.replace(Arc::clone(to));
        if std::mem::take(&mut self.needs_flush) {
            self.unflushed.extend(before);
        }
        self.budget = 0;
    }

    /// Forwards a message to the selected connection, a stream.
    #[inline(always)]
    fn forward(&mut self, message: &ForwardedMessage<'_>) -> Result<(), ForwardError> {
        let extra = message.extra(&self.prepared);
        let params = message.params;
        let size = FRAME_HEADER_SIZE + HEADER_SIZE + extra.max_size() + params.0.len();
        if size > self.budget {
            return self.forward_unstaged(message);
        }
        let Some(stream) = self.selected.as_ref().and_then(|it| it.channel.stream()) else {
            return Err(ForwardError::Disconnected);
        };
        stream.encode_forwarded(&mut self.staged, &message.header, &extra, params)?;
        self.staged_count += 1;
        self.budget -= size;
        if is_batch_full(self.staged_count, self.staged.len()) {
            self.append_staged(FlushPolicy::Deferred);
        }
        Ok(())
    }

    /// Encodes a message in the write buffer, which checks its limits, and finds out
    /// how much may be staged after it.
    #[cold]
    fn forward_unstaged(&mut self, message: &ForwardedMessage<'_>) -> Result<(), ForwardError> {
        self.append_staged(FlushPolicy::Deferred);
        self.budget = 0;
        let Some(stream) = self.selected.as_ref().and_then(|it| it.channel.stream()) else {
            return Err(ForwardError::Disconnected);
        };
        let (header, params) = (&message.header, message.params);
        let extra = message.extra(&self.prepared);
        let is_return = header.calltype.is_return();
        let mut frame = stream.buffer.forwarded_frame(is_return, params.0.len())?;
        stream.encode_forwarded(frame.bytes(), header, &extra, params)?;
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
        PREPARED.set(std::mem::take(&mut self.prepared));
    }
}

/// Appends the RETURN without a result.
fn append_answer(inner: &Inner, header: Header, extra: &Extra, replies: &mut Vec<u8>) {
    // The extra of a gateway's own answers is far below the limits.
    let _ = inner
        .channel
        .encode(replies, header.returning(0), extra, ());
}

impl Connection {
    /// Answers a CALL of this connection's peer with no result, and with this extra.
    #[doc(hidden)]
    pub fn answer(&self, header: Header, extra: &Extra) {
        let mut reply = Vec::new();
        append_answer(&self.inner, header, extra, &mut reply);
        self.inner.channel.send_returns(&mut reply, None);
    }

    /// Answers a CALL of this connection's peer with an error; for a CALL that a
    /// gateway has forwarded and could not complete.
    #[doc(hidden)]
    pub fn refuse(&self, header: Header, code: ErrorCode, text: &str) {
        let mut reply = Vec::new();
        append_error(
            &self.inner,
            header,
            code,
            text,
            RawExtra::default(),
            &mut reply,
        );
        self.inner.channel.send_returns(&mut reply, None);
    }

    /// Sends a message with pairs added to its extra. Messages that are sent by this leave
    /// in the order of its calls, whatever else is forwarded to the connection.
    ///
    /// # Errors
    /// If the message can't be sent now, or the connection is a queue.
    #[doc(hidden)]
    pub fn push(
        &self,
        message: &RawMessage<'_>,
        added: &[ExtraPart<'_>],
    ) -> Result<(), ForwardError> {
        let stream = self.inner.channel.stream();
        let stream = stream.ok_or(ForwardError::Disconnected)?;
        let extra = PatchedExtra {
            of: message.extra,
            without: KeySet::default(),
            with: added,
        };
        let params = Raw(message.params);
        let mut frame = stream.buffer.pushed_frame(params.0.len())?;
        stream.encode(frame.bytes(), message.header, &extra, params)?;
        Ok(())
    }
}
