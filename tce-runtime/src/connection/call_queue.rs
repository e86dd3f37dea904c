//! Sending calls, and the calls that wait to be sent because there is no
//! connection or no capacity.
//!
//! A task in the connection's runtime sends the waiting calls in the order in which
//! they were made, whether or not their futures are polled. It exists only while
//! calls wait. A call whose future is awaited fails with the first attempt to
//! connect that fails after that; any other call waits until its deadline.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{sync::Notify, time::sleep_until};

use super::{
    Connection, Inner, Status,
    channel::{CallOptions, Channel, NotSent},
};
use crate::{
    error::{ErrorCode, RpcError},
    in_flight::{after, count_dropped, now, wait_until},
    wire::{CallType, Header, Marshal, Operation, Raw, Writer},
};

/// What a waiting call counts in addition to its parameters, in bytes.
const CALL_SIZE: usize = size_of::<QueuedCall>();

impl Inner {
    /// Sends a twoway call now, if there are a connection and capacity. The outcome
    /// is under the returned sequence in `calls`.
    fn send_call(
        &self,
        operation: &Operation,
        options: &CallOptions,
        deadline: Instant,
        params: impl Marshal,
    ) -> Result<u32, NotSent> {
        let entered = self.calls.enter(deadline).ok_or(NotSent::Later)?;
        self.call_made();
        let (ifidx, opidx) = (operation.ifidx(), operation.opidx());
        let header = Header::call(CallType::TWOWAY, entered.sequence, ifidx, opidx);
        let sent = self
            .channel
            .send_call(header, options, entered.is_alone, deadline, params);
        match sent {
            Ok(()) => Ok(entered.sequence),
            Err(error) => {
                self.calls.forget(entered.sequence);
                Err(error)
            }
        }
    }

    /// Sends a call now, if there are a connection and capacity. Returns the
    /// sequence of a twoway call, and 0 for a oneway call.
    fn send_now(&self, call: &CallParts<'_>, params: impl Marshal) -> Result<u32, NotSent> {
        let CallParts {
            operation,
            options,
            mode,
        } = call;
        if let CallMode::Twoway(deadline) = *mode {
            return self.send_call(operation, options, deadline, params);
        }
        match &self.channel {
            Channel::Stream(stream) => stream
                .send_oneway(oneway_header(operation), options, params)
                .map(|()| 0),
            Channel::Queue(_) => Err(NotSent::Never(RpcError::new(
                ErrorCode::SendFailed,
                "a oneway call over a message queue waits in its publish queue",
            ))),
        }
    }

    /// How many calls of this side wait for the peer: for a RETURN, or to be sent.
    pub(super) fn outstanding(&self) -> usize {
        let queued = self.call_queue.length.load(Ordering::Acquire);
        self.calls.waiting().saturating_add(queued)
    }

    /// Tells a reader that defers or pauses that one more call waits for the peer.
    fn call_made(&self) {
        // No wake is lost: `outstanding`, which the reader asks after it has set this,
        // and the call that was entered before this is read, share a lock.
        if self.is_reader_waiting.load(Ordering::Relaxed) {
            self.served.recheck();
        }
    }

    /// How many attempts to connect have failed.
    fn failed_attempts(&self) -> u64 {
        match self.status.get() {
            Status::Down { attempts, .. } => attempts,
            _ => 0,
        }
    }
}

/// The sequence of a oneway call means nothing; existing clients send one.
pub(crate) fn oneway_header(operation: &Operation) -> Header {
    Header::call(CallType::ONEWAY, 0, operation.ifidx(), operation.opidx())
}

/// Whether a call waits for a RETURN, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CallMode {
    /// The RETURN has to arrive by this instant.
    Twoway(Instant),
    /// The call has to be sent within this time, which starts when it is queued: one
    /// that is sent at once needs no clock.
    Oneway(Duration),
}

/// A call, without its parameters.
pub(crate) struct CallParts<'a> {
    pub(crate) operation: &'a Operation,
    pub(crate) options: &'a CallOptions,
    pub(crate) mode: CallMode,
}

/// How a call began.
pub(crate) enum SentCall {
    /// It is in the write buffer or the publish queue; the sequence of a twoway call.
    Now(u32),
    /// It waits to be sent.
    Queued(Arc<QueuedCall>),
}

impl Connection {
    /// Sends a call now, or queues it behind the calls that wait already.
    pub(crate) fn send_or_queue(
        &self,
        call: &CallParts<'_>,
        params: impl Marshal,
    ) -> Result<SentCall, RpcError> {
        let inner = &self.inner;
        if inner.call_queue.is_empty() {
            match inner.send_now(call, &params) {
                Ok(sequence) => return Ok(SentCall::Now(sequence)),
                Err(NotSent::Never(error)) => return Err(error),
                Err(NotSent::Later) => {}
            }
        }
        let mut marshalled = Vec::new();
        params.marshal(&mut Writer::new(&mut marshalled));
        let deadline = match call.mode {
            CallMode::Twoway(deadline) => deadline,
            CallMode::Oneway(timeout) => after(now(), timeout),
        };
        let call = Arc::new(QueuedCall {
            operation: *call.operation,
            options: call.options.clone(),
            mode: call.mode,
            deadline,
            state: Mutex::new(QueuedState::Waiting {
                params: marshalled,
                caller: Caller::Unpolled,
            }),
        });
        let needs_sender = inner.call_queue.push(&call);
        inner.call_made();
        if needs_sender {
            // Its clone keeps a client's connection open until the calls are sent.
            let sender = QueueSender {
                connection: self.clone(),
                has_ended: false,
            };
            inner.runtime.spawn(sender.run());
        }
        Ok(SentCall::Queued(call))
    }

    /// Waits until a queued call is sent. Returns the sequence of a twoway call.
    pub(crate) fn poll_queued(
        &self,
        call: &QueuedCall,
        cx: &Context<'_>,
    ) -> Poll<Result<u32, RpcError>> {
        let mut state = call.state.lock();
        match std::mem::replace(&mut *state, QueuedState::Taken) {
            QueuedState::Waiting { params, caller } => {
                let is_first = matches!(caller, Caller::Unpolled);
                let since = match caller {
                    Caller::Awaiting { since, .. } => since,
                    _ => self.inner.failed_attempts(),
                };
                let waker = cx.waker().clone();
                let caller = Caller::Awaiting { waker, since };
                *state = QueuedState::Waiting { params, caller };
                drop(state);
                if is_first {
                    self.inner.call_queue.ask_for_attempt();
                }
                Poll::Pending
            }
            QueuedState::Sent(sequence) => Poll::Ready(Ok(sequence)),
            QueuedState::Failed(error) => Poll::Ready(Err(error)),
            QueuedState::Taken => Poll::Ready(Err(RpcError::new(
                ErrorCode::SendFailed,
                "the result was taken before",
            ))),
        }
    }

    /// The future of a queued call is dropped. The call is sent all the same, unless
    /// such calls have reached `send_buffer` bytes before.
    pub(crate) fn abandon_queued(&self, call: &QueuedCall) {
        let queue = &self.inner.call_queue;
        let mut queued = queue.state();
        let mut state = call.state.lock();
        match &mut *state {
            QueuedState::Waiting { params, caller } => {
                let size = params.len() + CALL_SIZE;
                if queued.abandoned_bytes >= queue.limit {
                    count_not_sent();
                    *state = QueuedState::Taken;
                } else {
                    queued.abandoned_bytes += size;
                    *caller = Caller::Gone;
                }
            }
            QueuedState::Sent(sequence) => call.forget(&self.inner, *sequence),
            QueuedState::Failed(_) => count_not_sent(),
            QueuedState::Taken => {}
        }
    }

    /// Lets a task finish a oneway call over a message queue whose future is dropped,
    /// within the limit of [`Connection::abandon_queued`]. `size` is that of its
    /// parameters.
    pub(crate) fn finish_abandoned(
        &self,
        size: usize,
        publishing: impl Future<Output = Result<(), RpcError>> + Send + 'static,
    ) {
        let queue = &self.inner.call_queue;
        let size = size + CALL_SIZE;
        {
            let mut state = queue.state();
            if state.abandoned_bytes >= queue.limit {
                return count_not_sent();
            }
            state.abandoned_bytes += size;
        }
        let connection = self.clone();
        self.inner.runtime.spawn(async move {
            let has_failed = publishing.await.is_err();
            let queue = &connection.inner.call_queue;
            queue.told(Caller::Gone, size, has_failed);
        });
    }
}

impl Connection {
    /// Sends a call to all members of a topic now, or not at all. Its RETURNs are under the
    /// returned sequence in `calls` until that is forgotten.
    pub(crate) fn send_multi_call(
        &self,
        operation: &Operation,
        options: &CallOptions,
        deadline: Instant,
        params: impl Marshal,
    ) -> Result<u32, RpcError> {
        let inner = &self.inner;
        let Channel::Queue(queue) = &inner.channel else {
            let text = "a stream leads to one server: connect to a topic";
            return Err(RpcError::new(ErrorCode::SendFailed, text));
        };
        let entered = inner.calls.enter_collecting(deadline).ok_or_else(|| {
            let text = "as many calls are in flight as `calls_in_flight` allows";
            RpcError::new(ErrorCode::SendFailed, text)
        })?;
        let (ifidx, opidx) = (operation.ifidx(), operation.opidx());
        let header = Header::call(CallType::TWOWAY, entered.sequence, ifidx, opidx);
        match queue.send_multi_call(header, options, deadline, params) {
            Ok(()) => Ok(entered.sequence),
            Err(error) => {
                inner.calls.forget(entered.sequence);
                Err(error)
            }
        }
    }
}

impl QueuedCall {
    /// Frees the slot of a twoway call that was sent and has no caller.
    fn forget(&self, inner: &Inner, sequence: u32) {
        if matches!(self.mode, CallMode::Twoway(_)) {
            inner.calls.forget(sequence);
        }
    }
}

/// Counts a call that was not sent, and whose caller is not told because its future is
/// dropped.
fn count_not_sent() {
    count_dropped("not_sent");
}

/// The calls of a connection that wait to be sent.
pub(crate) struct CallQueue {
    /// The number of calls, which each call reads without the lock.
    length: AtomicUsize,
    /// The most bytes of calls whose futures are dropped. The memory of the others
    /// is the caller's.
    limit: usize,
    /// Made for the first call that waits: on most connections of a server none does.
    waiting: OnceLock<Box<WaitingCalls>>,
}

#[derive(Default)]
struct WaitingCalls {
    state: Mutex<QueueState>,
    /// Wakes the task that sends: a call was added or is awaited.
    changed: Notify,
    /// The queue has become empty.
    emptied: Notify,
}

#[derive(Default)]
struct QueueState {
    calls: VecDeque<Arc<QueuedCall>>,
    /// Whether a task sends them.
    has_sender: bool,
    /// Whether a call asks for an attempt to connect now.
    wants_attempt: bool,
    abandoned_bytes: usize,
    /// Not after the earliest deadline.
    next_expiry: Option<Instant>,
}

/// A call that waits to be sent, or was sent or has failed since.
pub(crate) struct QueuedCall {
    operation: Operation,
    options: CallOptions,
    mode: CallMode,
    deadline: Instant,
    /// Locked after the queue, and before `calls` and the write buffer.
    state: Mutex<QueuedState>,
}

enum QueuedState {
    Waiting {
        /// The marshalled parameters.
        params: Vec<u8>,
        caller: Caller,
    },
    /// Sent, with the sequence of a twoway call.
    Sent(u32),
    Failed(RpcError),
    /// The caller has the outcome, or the call was dropped.
    Taken,
}

enum Caller {
    /// The future exists and was not polled yet.
    Unpolled,
    Awaiting {
        waker: Waker,
        /// The number of failed attempts to connect when it was first polled.
        since: u64,
    },
    /// The future is dropped.
    Gone,
}

impl CallQueue {
    /// `limit` bounds the bytes of calls whose futures are dropped.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            length: AtomicUsize::new(0),
            limit,
            waiting: OnceLock::new(),
        }
    }

    fn waiting(&self) -> &WaitingCalls {
        self.waiting.get_or_init(Box::default)
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.waiting().state.lock()
    }

    pub(crate) fn is_empty(&self) -> bool {
        // Pairs with the release in `update_length`: what was sent before is in the
        // write buffer.
        self.length.load(Ordering::Acquire) == 0
    }

    /// Waits until no call waits.
    pub(crate) async fn emptied(&self) {
        if let Some(waiting) = self.waiting.get() {
            wait_until(&waiting.emptied, || self.is_empty()).await;
        }
    }

    /// Returns whether a task has to be spawned that sends the calls.
    fn push(&self, call: &Arc<QueuedCall>) -> bool {
        let mut state = self.state();
        state.calls.push_back(Arc::clone(call));
        state.wants_attempt = true;
        let expiry = state.next_expiry.unwrap_or(call.deadline);
        state.next_expiry = Some(expiry.min(call.deadline));
        self.update_length(&state);
        let needs_sender = !std::mem::replace(&mut state.has_sender, true);
        drop(state);
        self.waiting().changed.notify_one();
        needs_sender
    }

    fn update_length(&self, state: &QueueState) {
        self.length.store(state.calls.len(), Ordering::Release);
        if state.calls.is_empty() {
            self.waiting().emptied.notify_waiters();
        }
    }

    fn ask_for_attempt(&self) {
        self.state().wants_attempt = true;
        self.waiting().changed.notify_one();
    }

    fn takes_attempt(&self) -> bool {
        std::mem::take(&mut self.state().wants_attempt)
    }

    fn front(&self) -> Option<Arc<QueuedCall>> {
        self.state().calls.front().map(Arc::clone)
    }

    /// Lets the sender end if no call waits: the next one spawns another. Returns
    /// whether it has to end.
    fn release_sender(&self) -> bool {
        let mut state = self.state();
        state.has_sender = !state.calls.is_empty();
        !state.has_sender
    }

    /// Removes the first call, which was sent.
    fn pop(&self) {
        let mut state = self.state();
        state.calls.pop_front();
        self.update_length(&state);
    }

    /// Sends the first call; returns whether it is done with.
    fn send_front(&self, inner: &Inner, call: &QueuedCall) -> bool {
        let mut state = call.state.lock();
        let QueuedState::Waiting { params, caller } = &mut *state else {
            return true;
        };
        let parts = CallParts {
            operation: &call.operation,
            options: &call.options,
            mode: call.mode,
        };
        let outcome = match inner.send_now(&parts, Raw(params)) {
            Ok(sequence) => QueuedState::Sent(sequence),
            Err(NotSent::Later) => return false,
            Err(NotSent::Never(error)) => QueuedState::Failed(error),
        };
        let size = params.len() + CALL_SIZE;
        let caller = std::mem::replace(caller, Caller::Unpolled);
        *state = outcome;
        if let (Caller::Gone, QueuedState::Sent(sequence)) = (&caller, &*state) {
            call.forget(inner, *sequence);
        }
        let has_failed = matches!(*state, QueuedState::Failed(_));
        drop(state);
        self.told(caller, size, has_failed);
        true
    }

    /// Wakes the caller of a call that was sent or has failed.
    fn told(&self, caller: Caller, size: usize, has_failed: bool) {
        match caller {
            Caller::Awaiting { waker, .. } => waker.wake(),
            Caller::Unpolled => {}
            Caller::Gone => {
                self.state().abandoned_bytes -= size;
                if has_failed {
                    count_not_sent();
                }
            }
        }
    }

    /// Fails the calls that `is_failed` selects.
    fn fail_where(
        &self,
        is_failed: impl Fn(&QueuedCall, &Caller) -> bool,
        error: impl Fn() -> RpcError,
    ) {
        let mut failed = Vec::new();
        let mut state = self.state();
        state.calls.retain(|call| {
            let mut queued = call.state.lock();
            let QueuedState::Waiting { params, caller } = &mut *queued else {
                return false;
            };
            if !is_failed(call, caller) {
                return true;
            }
            let caller = std::mem::replace(caller, Caller::Unpolled);
            failed.push((caller, params.len() + CALL_SIZE));
            *queued = QueuedState::Failed(error());
            false
        });
        state.next_expiry = state.calls.iter().map(|call| call.deadline).min();
        self.update_length(&state);
        drop(state);
        for (caller, size) in failed {
            self.told(caller, size, true);
        }
    }

    fn fail_all(&self, code: ErrorCode, text: &str) {
        self.fail_where(|_, _| true, || RpcError::new(code, text));
    }

    /// Fails the calls past their deadline; returns when to call again.
    fn expire(&self, code: ErrorCode, text: &str) -> Option<Instant> {
        let now = now();
        let next_expiry = self.state().next_expiry?;
        if next_expiry > now {
            return Some(next_expiry);
        }
        let is_due = |call: &QueuedCall, _: &Caller| call.deadline <= now;
        self.fail_where(is_due, || RpcError::new(code, text));
        self.state().next_expiry
    }
}

impl fmt::Debug for CallQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallQueue")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// The task that sends the queued calls of a connection.
struct QueueSender {
    connection: Connection,
    /// Whether all calls were sent or have failed.
    has_ended: bool,
}

/// The error of calls whose connection's runtime has ended.
pub(crate) const ABANDONED: &str =
    "the runtime in which the connection was made has ended: connect again";

impl QueueSender {
    async fn run(mut self) {
        let inner = Arc::clone(&self.connection.inner);
        let queue = &inner.call_queue;
        loop {
            let (status, seen) = inner.status.seen();
            let is_up = follow_status(&inner, &status);
            while is_up
                && let Some(call) = queue.front()
                && queue.send_front(&inner, &call)
            {
                queue.pop();
            }
            let next_expiry = if is_up {
                let text = "the send buffer was full until the deadline";
                queue.expire(ErrorCode::SendFailed, text)
            } else {
                let text = "the connection was not up before the deadline";
                queue.expire(ErrorCode::Timeout, text)
            };
            if queue.release_sender() {
                self.has_ended = true;
                return;
            }
            let Some(next_expiry) = next_expiry else {
                continue;
            };
            let capacity = async {
                inner.channel.capacity().await;
                inner.calls.capacity().await;
            };
            tokio::select! {
                () = inner.status.changed_since(seen) => {}
                () = capacity, if is_up => {}
                () = queue.waiting().changed.notified() => {}
                () = sleep_until(next_expiry.into()) => {}
            }
        }
    }
}

/// Fails the queued calls as the status demands; returns whether the connection is
/// up.
fn follow_status(inner: &Inner, status: &Status) -> bool {
    let queue = &inner.call_queue;
    match status {
        Status::Up => return true,
        Status::Closed => {
            queue.fail_all(ErrorCode::ConnectionLost, "the connection is closed");
        }
        Status::ClosedByPeer(goodbye) => queue.fail_where(|_, _| true, || goodbye.refused_call()),
        Status::Abandoned => queue.fail_all(ErrorCode::ConnectionLost, ABANDONED),
        Status::Down { attempts, failure } => {
            if let Some((code, text)) = failure {
                let has_waited = |_: &QueuedCall, caller: &Caller| match caller {
                    Caller::Awaiting { since, .. } => attempts > since,
                    _ => false,
                };
                queue.fail_where(has_waited, || RpcError::new(*code, &**text));
            }
            if queue.takes_attempt() {
                inner.reconnect_now.notify_one();
            }
        }
    }
    false
}

impl Drop for QueueSender {
    /// Without the end of `run`, the task was dropped with its runtime.
    fn drop(&mut self) {
        let queue = &self.connection.inner.call_queue;
        if !self.has_ended {
            queue.fail_all(ErrorCode::ConnectionLost, ABANDONED);
            queue.state().has_sender = false;
        }
    }
}
