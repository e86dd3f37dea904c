//! The bytes that leave a connection.
//!
//! Whoever has a frame appends it; who writes the socket depends. A caller with
//! nothing else in flight writes at once, since the hop to another task would
//! be most of its latency. Where more is under way, the frame stays, and the
//! connection's writer sends in one write what has gathered until it runs.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use tokio::{io::AsyncWrite, sync::Notify};

use crate::in_flight::wait_until;

/// A buffer of at most this size is kept between writes.
const KEEP_CAPACITY: usize = 64 << 10;

/// When so many messages have gathered they leave though more may come: the
/// peer works on them meanwhile, and the two sides do not take turns.
const OVERLAP: usize = 16;
/// The same of messages that a gateway passes on: the two sides overlap already.
const PASSED_OVERLAP: usize = 32;
/// Of more bytes than this the copies cost more than taking turns.
const OVERLAP_SIZE: usize = 16 << 10;
/// When so much that is passed on has gathered it leaves, before the buffer
/// would have to grow: what was read at once may be several times as much.
const PASSED: usize = KEEP_CAPACITY / 2;
/// How long a larger one is kept that nobody needs.
const KEEP_TIME: Duration = Duration::from_secs(1);

/// The half of a stream that is written.
pub(crate) type Sink = Box<dyn AsyncWrite + Send + Unpin>;

/// When appended bytes are to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlushPolicy {
    /// Now, in this very call, unless the socket takes no more.
    Immediate,
    /// When the writer runs, with what has gathered by then; now once it is
    /// enough for the peer to begin with.
    Batched,
    /// When the writer runs; now once a whole buffer has gathered.
    WhenFull,
    /// When [`WriteBuffer::leave`] is called, which is soon; now once it is enough
    /// for the peer to begin with.
    Deferred,
}

/// Why nothing was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushError {
    /// Too many bytes wait for the peer to read.
    Full,
    /// There is no connection.
    Disconnected,
}

/// Whether so many messages, of so many bytes, had better leave now than wait
/// for more; `is_passed` says whether a gateway passes them on.
pub(super) fn overlaps(count: usize, size: usize, is_passed: bool) -> bool {
    let enough = if is_passed { PASSED_OVERLAP } else { OVERLAP };
    count >= enough && size <= OVERLAP_SIZE
}

pub(crate) struct WriteBuffer {
    state: Mutex<State>,
    limit: usize,
    capacity: Notify,
}

struct State {
    sink: Option<Sink>,
    frames: Vec<u8>,
    written: usize,
    /// Counts the sinks: what was meant for one must not leave by the next.
    generation: u64,
    /// Whether no call has been sent on this sink yet.
    is_first: bool,
    /// How many calls have been appended since the last write.
    gathered: usize,
    /// The socket takes no more, and has not since then: only the writer,
    /// whose waker waits there, may try again.
    blocked_since: Option<Instant>,
    /// When the buffer was last used to a size that an idle connection must
    /// not keep.
    large_since: Option<Instant>,
    /// The writer, while it sleeps.
    writer: Option<Waker>,
}

impl WriteBuffer {
    pub(crate) fn new(limit: usize) -> Self {
        let state = State {
            sink: None,
            frames: Vec::new(),
            written: 0,
            generation: 0,
            is_first: true,
            gathered: 0,
            blocked_since: None,
            large_since: None,
            writer: None,
        };
        Self {
            state: Mutex::new(state),
            limit,
            capacity: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends through `sink` from now on.
    pub(crate) fn attach(&self, sink: Sink) {
        let mut state = self.lock();
        state.reset();
        state.sink = Some(sink);
        state.generation += 1;
        drop(state);
        self.capacity.notify_waiters();
    }

    /// Gives the sink back, after a last try to send what waits: a program that
    /// ends right after a oneway call has no writer any more.
    pub(crate) fn detach(&self) -> Option<Sink> {
        let mut state = self.lock();
        state.send(FlushPolicy::Immediate);
        let sink = state.sink.take();
        state.reset();
        drop(state);
        self.capacity.notify_waiters();
        sink
    }

    /// Appends the call that `encode` writes. It is told whether it is the
    /// first of the connection.
    pub(crate) fn append<T>(
        &self,
        leave: FlushPolicy,
        encode: impl FnOnce(&mut Vec<u8>, bool) -> T,
    ) -> Result<T, PushError> {
        self.append_within(self.limit, leave, encode)
    }

    /// Appends the message of another connection that `encode` writes;
    /// [`WriteBuffer::leave`] has to follow. A RETURN finds room where no call does:
    /// the calls that are owed one are bounded.
    pub(crate) fn append_passing<T>(
        &self,
        is_return: bool,
        encode: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> Result<T, PushError> {
        let limit = if is_return {
            self.limit.saturating_mul(2)
        } else {
            self.limit
        };
        self.append_within(limit, FlushPolicy::Deferred, |out, _| encode(out))
    }

    /// Sends what has gathered.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        if !state.frames.is_empty() {
            state.send(FlushPolicy::Immediate);
        }
    }

    fn append_within<T>(
        &self,
        limit: usize,
        leave: FlushPolicy,
        encode: impl FnOnce(&mut Vec<u8>, bool) -> T,
    ) -> Result<T, PushError> {
        let mut state = self.lock();
        if state.sink.is_none() {
            return Err(PushError::Disconnected);
        }
        if state.pending() >= limit {
            return Err(PushError::Full);
        }
        let start = state.frames.len();
        let is_first = state.is_first;
        let value = encode(&mut state.frames, is_first);
        if state.frames.len() > start {
            state.is_first = false;
            state.gathered += 1;
            state.send(leave);
        }
        Ok(value)
    }

    /// Which sink it is that bytes leave by now.
    pub(crate) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Appends a reply to a call that came in `life`.
    pub(crate) fn append_reply(
        &self,
        generation: u64,
        leave: FlushPolicy,
        reply: &[u8],
    ) -> Result<(), PushError> {
        let mut state = self.lock();
        if state.sink.is_none() || state.generation != generation {
            return Err(PushError::Disconnected);
        }
        if state.pending() >= self.limit {
            return Err(PushError::Full);
        }
        state.frames.extend_from_slice(reply);
        state.send(leave);
        Ok(())
    }

    /// Appends whole frames of replies and sends at once. `frames` is empty afterwards,
    /// also where the connection is gone and nobody can read them.
    pub(crate) fn append_all(&self, frames: &mut Vec<u8>) {
        let mut state = self.lock();
        if state.sink.is_some() {
            if state.frames.is_empty() {
                std::mem::swap(&mut state.frames, frames);
            } else {
                state.frames.extend_from_slice(frames);
            }
            state.send(FlushPolicy::Immediate);
        }
        drop(state);
        frames.clear();
    }

    /// Waits until fewer bytes wait than the limit, or the sink is gone.
    pub(crate) async fn capacity(&self) {
        wait_until(&self.capacity, || {
            let state = self.lock();
            state.sink.is_none() || state.pending() < self.limit
        })
        .await;
    }

    /// Waits until everything is sent, or the sink is gone.
    pub(crate) async fn drained(&self) {
        // Frames are kept until they are flushed.
        wait_until(&self.capacity, || self.lock().frames.is_empty()).await;
    }

    /// Whether a caller would have to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.pending() >= self.limit
    }

    /// How many bytes wait to be sent.
    pub(crate) fn pending(&self) -> usize {
        self.lock().pending()
    }

    /// The writer: sends what gathers, for as long as the sink takes it.
    /// `on_change` hears that the socket has begun to refuse bytes, or has
    /// stopped, and that the buffer has become large.
    pub(crate) async fn write(&self, on_change: impl Fn()) -> io::Error {
        // It may have refused a caller's, before the writer runs.
        let mut told = (None, false);
        poll_fn(|cx| {
            let mut state = self.lock();
            if let Poll::Ready(Err(error)) = state.poll_write(cx) {
                return Poll::Ready(error);
            }
            if state.pending() < self.limit {
                self.capacity.notify_waiters();
            }
            let now = (state.blocked_since, state.large_since.is_some());
            if now != told {
                told = now;
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

    /// Since when the peer has read nothing of what waits for it.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.lock().blocked_since
    }

    /// Gives a large buffer back once it has not been needed for a while;
    /// says when to ask again.
    pub(crate) fn give_back(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        let due = state.large_since? + KEEP_TIME;
        if now < due || !state.frames.is_empty() {
            return Some(due.max(now + Duration::from_millis(1)));
        }
        state.large_since = None;
        state.frames = Vec::new();
        None
    }
}

impl State {
    fn pending(&self) -> usize {
        self.frames.len() - self.written
    }

    fn reset(&mut self) {
        self.sink = None;
        self.frames = Vec::new();
        self.written = 0;
        self.is_first = true;
        self.blocked_since = None;
        self.large_since = None;
        self.wake_writer();
    }

    fn wake_writer(&mut self) {
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn send(&mut self, leave: FlushPolicy) {
        let now = match leave {
            FlushPolicy::Immediate => true,
            FlushPolicy::Batched => overlaps(self.gathered, self.pending(), false),
            FlushPolicy::Deferred => {
                let size = self.pending();
                size >= PASSED || overlaps(self.gathered, size, true)
            }
            FlushPolicy::WhenFull => self.pending() >= KEEP_CAPACITY,
        };
        // The writer's own waker takes over whatever is left; a failure is its
        // to report.
        let sent = now
            && self.blocked_since.is_none()
            && matches!(
                self.poll_write(&mut Context::from_waker(Waker::noop())),
                Poll::Ready(Ok(()))
            );
        if !sent && (now || leave != FlushPolicy::Deferred) {
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
            self.blocked_since = Some(Instant::now());
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
        if self.written >= KEEP_CAPACITY {
            // A peer that never quite catches up must not keep what it has read.
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
        ready!(Pin::new(sink).poll_flush(cx))?;
        // A buffer that is in use keeps its size; what was one burst's is given
        // back, or an idle connection would hold it.
        if self.frames.capacity() > KEEP_CAPACITY {
            self.large_since = (self.frames.len() >= KEEP_CAPACITY / 2).then(Instant::now);
            if self.large_since.is_none() {
                self.frames.shrink_to(KEEP_CAPACITY);
            }
        }
        self.frames.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}
