//! The bytes that leave a stream connection.
//!
//! Callers, servants and a gateway append frames; who writes the socket depends
//! on the [`FlushPolicy`]. A caller with no other call in flight writes at once,
//! since waking another task would be most of its latency. When more is in
//! flight the frame stays in the buffer, and the connection's task sends all
//! that has gathered in one write.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{io::AsyncWrite, sync::Notify};

use crate::{
    busy_poll::is_polling,
    in_flight::{now, wait_until},
    memory::{MemoryBudget, MemoryCharge, UNCOUNTED},
    wire::Extra,
};

/// A buffer of at most this size in bytes is kept between writes, while it is used.
const KEEP_CAPACITY: usize = 64 << 10;
/// A buffer of at most this size in bytes is kept by an idle connection.
const IDLE_CAPACITY: usize = 4 << 10;
/// After this many messages a batch is written although more may follow: the
/// peer works on it meanwhile. Measured in `bench/` with 8 to 64. Two threads that
/// sleep while they wait for each other need more batches on the way than threads
/// that poll, which save system calls by larger ones.
const BATCH_MESSAGES: usize = 16;
/// The same where this thread polls.
const BATCH_POLLING: usize = 32;
/// Above this size in bytes a batch is not written early: the additional system
/// calls cost more than the overlap gains.
const BATCH_BYTES: usize = 16 << 10;
/// Forwarded bytes are written when this many have gathered, before the buffer
/// has to grow: one read may bring several times as much.
const FORWARDED_BYTES: usize = KEEP_CAPACITY / 2;
/// How long a larger buffer is kept after its last use, at least.
const KEEP_TIME: Duration = Duration::from_secs(1);

/// The write half of a stream.
pub(crate) type Sink = Box<dyn AsyncWrite + Send + Unpin>;

/// When appended bytes leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlushPolicy {
    /// Within this call, unless the socket takes no more.
    Immediate,
    /// When the connection's task runs; within this call once a
    /// [batch](is_batch_full) of calls has gathered. RETURNs are not counted.
    Batched,
    /// When the connection's task runs; within this call once
    /// [`KEEP_CAPACITY`] bytes have gathered.
    WhenFull,
    /// When [`WriteBuffer::flush`] is called; within this call once a batch has
    /// gathered. The task that appends to an empty buffer has to flush it; a
    /// buffer that is not empty is flushed by an earlier one.
    Deferred,
}

/// Why a message was not appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushError {
    /// The limit of waiting bytes is reached.
    Full,
    /// There is no connection.
    Disconnected,
    /// The buffer would exceed its share of the memory budget.
    NoMemory,
}

/// Whether `count` messages of together `size` bytes are written now instead of
/// waiting for more.
pub(super) fn is_batch_full(count: usize, size: usize) -> bool {
    count >= BATCH_MESSAGES && size <= BATCH_BYTES && (count >= BATCH_POLLING || !is_polling())
}

/// The outgoing bytes of a stream connection, bounded by `send_buffer`.
pub(crate) struct WriteBuffer {
    state: Mutex<BufferState>,
    limit: usize,
    capacity: Notify,
}

struct BufferState {
    sink: Option<Sink>,
    /// The sink before and its number, until its task takes it. Boxed, since most
    /// connections never have one.
    replaced: Option<Box<(u64, Sink)>>,
    frames: Vec<u8>,
    /// The capacity of `frames`, if it is large.
    charge: MemoryCharge,
    /// How many bytes of `frames` are written.
    written: usize,
    /// Number of the current sink. A reply to a call of an earlier stream must
    /// not leave by the next one.
    generation: u64,
    /// What the next CALLs on this sink carry, up to and including the first one to an
    /// interface other than the built-in one; `None` without a login, and afterwards.
    credentials: Option<Box<Extra>>,
    /// The extra of `login`, while it has to be sent first.
    login: Option<Box<Extra>>,
    /// Whether bytes were written since [`WriteBuffer::take_has_written`].
    has_written: bool,
    /// Calls and forwarded messages appended since the last write.
    gathered: usize,
    /// Since when the socket takes no more. Until it does, only the
    /// connection's task writes, whose waker is registered there.
    blocked_since: Option<Instant>,
    /// Since when the buffer is larger than [`IDLE_CAPACITY`], or was found in use.
    large_since: Option<Instant>,
    /// Whether it was written since then.
    is_in_use: bool,
    /// The connection's task, while it sleeps.
    writer: Option<Waker>,
    /// Whether a task waits for capacity or for an empty buffer.
    has_waiters: bool,
}

/// The end of the locked buffer, for one message.
/// Dropping the guard applies the [`FlushPolicy`], if bytes were appended.
pub(crate) struct FrameGuard<'a> {
    buffer: &'a WriteBuffer,
    state: MutexGuard<'a, BufferState>,
    start: usize,
    policy: FlushPolicy,
}

impl FrameGuard<'_> {
    /// The buffer; append to it only.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.state.frames
    }

    /// Whether the next CALL carries credentials.
    pub(crate) fn has_credentials(&self) -> bool {
        self.state.credentials.is_some()
    }

    /// What the next CALL carries.
    pub(crate) fn credentials(&self) -> Extra {
        self.state
            .credentials
            .as_deref()
            .cloned()
            .unwrap_or_default()
    }

    /// Further CALLs carry no credentials.
    pub(crate) fn clear_credentials(&mut self) {
        self.state.credentials = None;
    }

    /// The extra of `login`, if it has to be sent first.
    pub(crate) fn login(&self) -> Option<Extra> {
        self.state.login.as_deref().cloned()
    }

    /// Records that this message is `login`.
    pub(crate) fn login_sent(&mut self) {
        self.state.login = None;
    }

    /// Whether the buffer held no message before this one.
    pub(crate) fn was_empty(&self) -> bool {
        self.start == 0
    }

    /// The bytes that may be appended after this forwarded message without a check of
    /// the limits that [`WriteBuffer::forwarded_frame`] checks.
    pub(crate) fn budget(&self, is_return: bool) -> usize {
        let frames = &self.state.frames;
        let uncounted = UNCOUNTED
            .max(frames.capacity())
            .saturating_sub(frames.len());
        let unlimited = match is_return {
            true => usize::MAX,
            false => self.buffer.limit.saturating_sub(self.state.pending()),
        };
        uncounted.min(unlimited)
    }
}

impl Drop for FrameGuard<'_> {
    fn drop(&mut self) {
        if self.state.frames.len() > self.start {
            self.state.gathered += 1;
            self.buffer.appended(&mut self.state, self.policy);
        }
    }
}

impl WriteBuffer {
    pub(crate) fn new(limit: usize, memory: &MemoryBudget) -> Self {
        let state = BufferState {
            sink: None,
            replaced: None,
            frames: Vec::new(),
            charge: memory.charge(),
            written: 0,
            generation: 0,
            credentials: None,
            login: None,
            has_written: false,
            gathered: 0,
            blocked_since: None,
            large_since: None,
            is_in_use: false,
            writer: None,
            has_waiters: false,
        };
        Self {
            state: Mutex::new(state),
            limit,
            capacity: Notify::new(),
        }
    }

    /// Sends through `sink` from now on, and first a `login` with this extra, if one is
    /// given.
    pub(crate) fn attach(&self, sink: Sink, credentials: Extra, login: Option<Box<Extra>>) {
        self.state.lock().attach(Some(sink), credentials, login);
        self.capacity.notify_waiters();
    }

    /// The peer has accepted the login: no CALL needs credentials any more.
    pub(crate) fn login_accepted(&self) {
        self.state.lock().credentials = None;
    }

    /// Sends through `sink` from now on, once the present one has taken all that waits;
    /// [`WriteBuffer::take_replaced`] returns that one. Returns false if the connection
    /// has ended meanwhile.
    pub(crate) async fn replace(
        &self,
        sink: Sink,
        credentials: &Extra,
        login: Option<&Extra>,
    ) -> bool {
        let mut next = Some(sink);
        let mut changed = pin!(self.capacity.notified());
        loop {
            // Registered before the check, so that no notification is missed.
            changed.as_mut().enable();
            if let Some(is_replaced) = self.try_replace(&mut next, credentials, login) {
                return is_replaced;
            }
            changed.as_mut().await;
            changed.set(self.capacity.notified());
        }
    }

    /// Returns `None` while bytes wait for the present sink.
    fn try_replace(
        &self,
        next: &mut Option<Sink>,
        credentials: &Extra,
        login: Option<&Extra>,
    ) -> Option<bool> {
        let mut state = self.state.lock();
        if state.sink.is_none() {
            return Some(false);
        }
        state.flush(FlushPolicy::Immediate);
        if !state.frames.is_empty() {
            state.has_waiters = true;
            return None;
        }
        let (generation, replaced) = (state.generation, state.sink.take());
        let login = login.cloned().map(Box::new);
        state.attach(next.take(), credentials.clone(), login);
        state.replaced = replaced.map(|sink| Box::new((generation, sink)));
        Some(true)
    }

    /// Whether another sink has replaced that of `generation`.
    pub(crate) fn is_replaced(&self, generation: u64) -> bool {
        self.state.lock().generation != generation
    }

    /// The sink of `generation`, once another one has replaced it.
    pub(crate) fn take_replaced(&self, generation: u64) -> Option<Sink> {
        let mut state = self.state.lock();
        let replaced = &mut state.replaced;
        let replaced = replaced.take_if(|replaced| replaced.0 == generation);
        replaced.map(|replaced| replaced.1)
    }

    /// Returns the sink after a last attempt to send what waits: after a oneway
    /// call a program may end before the connection's task runs again.
    pub(crate) fn detach(&self) -> Option<Sink> {
        let mut state = self.state.lock();
        state.flush(FlushPolicy::Immediate);
        let sink = state.sink.take();
        state.reset();
        drop(state);
        self.capacity.notify_waiters();
        sink
    }

    /// Locks the buffer for one message.
    pub(crate) fn frame(&self, policy: FlushPolicy) -> Result<FrameGuard<'_>, PushError> {
        self.frame_within(self.limit, policy)
    }

    /// Locks the buffer for a forwarded message of about `size` bytes;
    /// [`WriteBuffer::flush`] has to follow. A RETURN may exceed the limit, within
    /// the memory budget: the number of calls that are owed one is bounded, and
    /// dropping it would leave a caller waiting.
    pub(crate) fn forwarded_frame(
        &self,
        is_return: bool,
        size: usize,
    ) -> Result<FrameGuard<'_>, PushError> {
        let limit = if is_return { usize::MAX } else { self.limit };
        self.frame_in_budget(limit, FlushPolicy::Deferred, size)
    }

    /// Locks the buffer for a push of about `size` bytes, which the connection's task
    /// sends.
    pub(crate) fn pushed_frame(&self, size: usize) -> Result<FrameGuard<'_>, PushError> {
        self.frame_in_budget(self.limit, FlushPolicy::WhenFull, size)
    }

    /// Locks the buffer for a message of about `size` bytes, within the memory budget.
    #[inline(always)]
    fn frame_in_budget(
        &self,
        limit: usize,
        policy: FlushPolicy,
        size: usize,
    ) -> Result<FrameGuard<'_>, PushError> {
        let mut frame = self.frame_within(limit, policy)?;
        let state = &mut *frame.state;
        let needed = state.frames.len().saturating_add(size);
        let is_admitted =
            needed <= UNCOUNTED.max(state.frames.capacity()) || state.charge.try_set(needed);
        is_admitted.then_some(frame).ok_or(PushError::NoMemory)
    }

    fn frame_within(&self, limit: usize, policy: FlushPolicy) -> Result<FrameGuard<'_>, PushError> {
        let state = self.state.lock();
        if state.sink.is_none() {
            return Err(PushError::Disconnected);
        }
        if state.pending() >= limit {
            return Err(PushError::Full);
        }
        Ok(FrameGuard {
            buffer: self,
            start: state.frames.len(),
            state,
            policy,
        })
    }

    /// Appends forwarded frames within the budget that [`FrameGuard::budget`] has
    /// told; drops them if there is no connection. Returns whether the buffer was
    /// empty.
    pub(crate) fn append_forwarded(
        &self,
        frames: &[u8],
        count: usize,
        policy: FlushPolicy,
    ) -> bool {
        let mut state = self.state.lock();
        let was_empty = state.frames.is_empty();
        if state.sink.is_some() {
            state.frames.extend_from_slice(frames);
            state.gathered += count;
            self.appended(&mut state, policy);
        }
        was_empty
    }

    /// Sends the forwarded frames that have gathered.
    pub(crate) fn flush(&self) {
        let mut state = self.state.lock();
        if !state.frames.is_empty() {
            state.flush(FlushPolicy::Immediate);
            self.notify(&mut state);
        }
    }

    /// Counts, and sends as `policy` says, what was appended.
    fn appended(&self, state: &mut BufferState, policy: FlushPolicy) {
        state.account();
        state.flush(policy);
        self.notify(state);
    }

    /// Wakes the tasks that wait for capacity or for an empty buffer, if there is
    /// one of either.
    fn notify(&self, state: &mut BufferState) {
        if state.has_waiters && (state.frames.is_empty() || state.pending() < self.limit) {
            state.has_waiters = false;
            self.capacity.notify_waiters();
        }
    }

    /// The number of the current sink: it changes with each reconnect.
    pub(crate) fn generation(&self) -> u64 {
        self.state.lock().generation
    }

    /// Appends the RETURN of a call that arrived in `generation`.
    pub(crate) fn append_reply(
        &self,
        generation: u64,
        policy: FlushPolicy,
        reply: &[u8],
    ) -> Result<(), PushError> {
        let mut state = self.state.lock();
        if state.sink.is_none() || state.generation != generation {
            return Err(PushError::Disconnected);
        }
        if state.pending() >= self.limit {
            return Err(PushError::Full);
        }
        state.frames.extend_from_slice(reply);
        self.appended(&mut state, policy);
        Ok(())
    }

    /// Appends complete RETURN frames and sends at once. `frames` is empty
    /// afterwards, also if there is no connection.
    pub(crate) fn append_all(&self, frames: &mut Vec<u8>) {
        let mut state = self.state.lock();
        if state.sink.is_some() {
            if state.frames.is_empty() {
                std::mem::swap(&mut state.frames, frames);
            } else {
                state.frames.extend_from_slice(frames);
            }
            self.appended(&mut state, FlushPolicy::Immediate);
        }
        drop(state);
        frames.clear();
    }

    /// Waits until fewer bytes wait than the limit, or the connection ends.
    pub(crate) async fn capacity(&self) {
        self.wait_until(|state| state.sink.is_none() || state.pending() < self.limit)
            .await;
    }

    /// Waits until everything is sent, or the connection ends.
    pub(crate) async fn drained(&self) {
        // Frames stay in the buffer until they are flushed.
        self.wait_until(|state| state.frames.is_empty()).await;
    }

    async fn wait_until(&self, is_done: impl Fn(&BufferState) -> bool) {
        wait_until(&self.capacity, || {
            let mut state = self.state.lock();
            let is_done = is_done(&state);
            state.has_waiters |= !is_done;
            is_done
        })
        .await;
    }

    /// Whether the limit of waiting bytes is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.pending() >= self.limit
    }

    /// Bytes that wait to be sent.
    pub(crate) fn pending(&self) -> usize {
        self.state.lock().pending()
    }

    /// Writes what gathers until the socket fails, or another sink replaces that of
    /// `generation`. Calls `on_change` when the socket begins or stops to refuse bytes,
    /// and when the buffer becomes large.
    pub(crate) async fn write(&self, generation: u64, on_change: impl Fn()) -> io::Error {
        // The state that `on_change` knows: neither blocked nor large. A caller's
        // write may have changed it before this first runs.
        let mut reported = (None, false);
        poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.generation != generation {
                return Poll::Ready(io::ErrorKind::NotConnected.into());
            }
            if let Poll::Ready(Err(error)) = state.poll_write(cx) {
                return Poll::Ready(error);
            }
            self.notify(&mut state);
            let now = (state.blocked_since, state.large_since.is_some());
            if now != reported {
                reported = now;
                on_change();
            }
            match &state.writer {
                Some(writer) if writer.will_wake(cx.waker()) => {}
                _ => state.writer = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }

    /// Since when the peer reads nothing of what waits for it.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.state.lock().blocked_since
    }

    /// Whether bytes were written since the last call.
    pub(crate) fn take_has_written(&self) -> bool {
        std::mem::take(&mut self.state.lock().has_written)
    }

    /// Frees a large buffer that has not been needed for [`KEEP_TIME`]; returns
    /// when to call again.
    pub(crate) fn shrink(&self, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock();
        let due = state.large_since? + KEEP_TIME;
        if now < due {
            return Some(due);
        }
        if std::mem::take(&mut state.is_in_use) || !state.frames.is_empty() {
            state.large_since = Some(now);
            return Some(now + KEEP_TIME);
        }
        state.large_since = None;
        state.frames = Vec::new();
        state.account();
        None
    }
}

impl BufferState {
    fn pending(&self) -> usize {
        self.frames.len() - self.written
    }

    fn attach(&mut self, sink: Option<Sink>, credentials: Extra, login: Option<Box<Extra>>) {
        self.reset();
        self.login = login;
        self.credentials = (!credentials.is_empty()).then(|| Box::new(credentials));
        self.sink = sink;
        self.generation += 1;
    }

    fn reset(&mut self) {
        self.sink = None;
        self.frames = Vec::new();
        self.account();
        self.written = 0;
        self.credentials = None;
        self.login = None;
        self.blocked_since = None;
        self.large_since = None;
        self.wake_writer();
    }

    /// Counts the buffer's memory.
    fn account(&mut self) {
        let capacity = self.frames.capacity();
        if capacity > UNCOUNTED {
            self.charge.set(capacity);
        } else if self.charge.bytes() > 0 {
            self.charge.set(0);
        }
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn flush(&mut self, policy: FlushPolicy) {
        let was_large = self.large_since.is_some();
        let is_due = match policy {
            FlushPolicy::Immediate => true,
            FlushPolicy::Batched => is_batch_full(self.gathered, self.pending()),
            FlushPolicy::Deferred => {
                let size = self.pending();
                size >= FORWARDED_BYTES || is_batch_full(self.gathered, size)
            }
            FlushPolicy::WhenFull => self.pending() >= KEEP_CAPACITY,
        };
        // What is left, and an error, is up to the connection's task, which
        // polls with its own waker.
        let is_sent = is_due
            && self.blocked_since.is_none()
            && matches!(
                self.poll_write(&mut Context::from_waker(Waker::noop())),
                Poll::Ready(Ok(()))
            );
        // The connection's task also frees a buffer that has become large.
        let is_large = self.large_since.is_some() && !was_large;
        if is_large || !is_sent && (is_due || policy != FlushPolicy::Deferred) {
            self.wake_writer();
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let before = self.pending();
        self.gathered = 0;
        let result = self.poll_sink(cx);
        if result.is_ready() {
            self.blocked_since = None;
        } else if self.blocked_since.is_none() || self.pending() < before {
            self.blocked_since = Some(now());
        }
        result
    }

    fn poll_sink(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sink) = &mut self.sink else {
            return Poll::Ready(Ok(()));
        };
        if self.frames.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if self.written >= KEEP_CAPACITY && self.written < self.frames.len() {
            // With a peer that never catches up, what it has read is freed here. Not
            // the last bytes: the sink may still have to flush them.
            self.frames.drain(..self.written);
            self.written = 0;
        }
        while let Some(rest) = self
            .frames
            .get(self.written..)
            .filter(|rest| !rest.is_empty())
        {
            match ready!(Pin::new(&mut *sink).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.has_written = true;
        ready!(Pin::new(sink).poll_flush(cx))?;
        if self.frames.capacity() > IDLE_CAPACITY {
            self.keep_while_used();
        }
        self.frames.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// A buffer that has been used to at least half of [`KEEP_CAPACITY`] keeps its size
    /// while it is used; a smaller one keeps at most [`KEEP_CAPACITY`].
    fn keep_while_used(&mut self) {
        if self.frames.capacity() > KEEP_CAPACITY && self.frames.len() < KEEP_CAPACITY / 2 {
            self.frames.shrink_to(KEEP_CAPACITY);
            self.account();
        }
        match self.large_since {
            None => self.large_since = Some(now()),
            Some(_) => self.is_in_use = true,
        }
    }
}

#[cfg(test)]
mod tests;
