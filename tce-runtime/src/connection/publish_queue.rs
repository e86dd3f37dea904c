//! The messages that leave by a message queue.
//!
//! Callers append messages; the endpoint's publisher takes all that wait and
//! sends one MQ message for each, or one for all if the endpoint has `batch`.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::{pending_calls::PendingCalls, write_buffer::PushError};
use crate::{
    error::{ErrorCode, RpcError},
    in_flight::{count_dropped, now, wait_until},
    wire::Header,
};

/// Learns that a forwarded CALL was not delivered.
pub trait Undelivered: Send + Sync + 'static {
    /// A CALL that was [forwarded](super::InboundMessage::forward) over a
    /// message queue was not delivered.
    fn undelivered(&self, _header: Header, _code: ErrorCode, _text: &str) {}
}

/// One message on its way to a queue.
#[derive(Debug)]
pub(crate) struct OutgoingMessage {
    pub(crate) body: Vec<u8>,
    /// The queue; `None` for the endpoint's own.
    pub(crate) queue: Option<Arc<str>>,
    /// When the broker drops it.
    pub(crate) expires_at: Option<Instant>,
    /// Whether it fails if no program reads the topic.
    pub(crate) is_mandatory: bool,
    pub(crate) completion: Completion,
}

/// What is done when the sending of a message has ended.
pub(crate) enum Completion {
    /// A twoway call, by its sequence: its caller waits for the RETURN and is
    /// told of a failure.
    Call(u32),
    /// A forwarded twoway call: its handler is told of a failure.
    Forwarded(Arc<dyn Undelivered>, Header),
    /// A oneway call whose caller waits for the broker's confirmation.
    Confirmed(ConfirmedCall),
    /// A oneway call that is not confirmed: a failure is logged.
    Unconfirmed,
    /// A RETURN: a failure is logged.
    Return,
}

/// A oneway call whose caller waits for the broker's confirmation. Either the
/// publisher takes it, or its caller gives it up before: then it is certain that it
/// was not sent.
pub(crate) struct ConfirmedCall {
    caller: oneshot::Sender<Result<(), RpcError>>,
    claim: Arc<AtomicU8>,
}

/// The caller's side of a [`ConfirmedCall`].
pub(crate) struct Confirmation {
    pub(crate) result: oneshot::Receiver<Result<(), RpcError>>,
    claim: Arc<AtomicU8>,
}

const UNCLAIMED: u8 = 0;
const TAKEN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl ConfirmedCall {
    pub(crate) fn new() -> (Self, Confirmation) {
        let (caller, result) = oneshot::channel();
        let claim = Arc::new(AtomicU8::new(UNCLAIMED));
        let confirmation = Confirmation {
            result,
            claim: Arc::clone(&claim),
        };
        (Self { caller, claim }, confirmation)
    }

    /// Whether the call may be sent: its caller still waits.
    fn take(&self) -> bool {
        claim(&self.claim, TAKEN)
    }

    pub(crate) fn complete(self, result: Result<(), RpcError>) {
        // The receiver is dropped if the caller no longer waits.
        let _ = self.caller.send(result);
    }
}

impl Confirmation {
    /// Gives the call up. Returns whether it was not sent, and never will be.
    pub(crate) fn give_up(&self) -> bool {
        claim(&self.claim, GIVEN_UP)
    }
}

/// Returns whether the claim is `to` now.
fn claim(claim: &AtomicU8, to: u8) -> bool {
    let claimed = claim.compare_exchange(UNCLAIMED, to, Ordering::AcqRel, Ordering::Acquire);
    claimed.is_ok() || claimed == Err(to)
}

impl Completion {
    /// Whether it is a twoway call. It fails at once when the broker is away,
    /// instead of waiting for its timeout.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self, Self::Call(_) | Self::Forwarded(..))
    }

    /// Whether a caller waits: for the RETURN, or for the broker's confirmation.
    pub(crate) fn is_awaited(&self) -> bool {
        self.is_answered() || matches!(self, Self::Confirmed(_))
    }

    /// Reports that the message was not delivered.
    pub(crate) fn fail(self, calls: &PendingCalls, code: ErrorCode, text: &str) {
        match self {
            Self::Call(sequence) => calls.fail(sequence, code, text),
            Self::Forwarded(forwarder, header) => forwarder.undelivered(header, code, text),
            Self::Confirmed(call) => call.complete(Err(RpcError::new(code, text))),
            Self::Unconfirmed | Self::Return => {}
        }
    }

    /// Claims the message for the publisher; false if its caller has given it up.
    pub(crate) fn take(&self) -> bool {
        match self {
            Self::Confirmed(call) => call.take(),
            _ => true,
        }
    }

    /// Whether the message is sent again after the broker was away.
    pub(crate) fn is_wanted(&self) -> bool {
        match self {
            Self::Call(_) | Self::Forwarded(..) => false,
            Self::Confirmed(call) => !call.caller.is_closed(),
            Self::Unconfirmed | Self::Return => true,
        }
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call(_) => "Call",
            Self::Forwarded(..) => "Forwarded",
            Self::Confirmed(_) => "Confirmed",
            Self::Unconfirmed => "Unconfirmed",
            Self::Return => "Return",
        })
    }
}

/// How many times `send_buffer` RETURNs may take before further ones are dropped.
const RETURNS_FACTOR: usize = 4;

/// The messages that wait for an endpoint's publisher, bounded by `send_buffer`.
#[derive(Debug)]
pub(crate) struct PublishQueue {
    state: Mutex<Waiting>,
    limit: usize,
    pushed: Notify,
    capacity: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    waiting: VecDeque<OutgoingMessage>,
    /// Bytes that wait or are not confirmed yet.
    bytes: usize,
    broker: PublisherState,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum PublisherState {
    #[default]
    Connected,
    /// The broker accepts no messages, for this reason.
    Blocked(Arc<str>),
    /// The connection to it is being made again.
    Reconnecting,
    /// The publisher has ended permanently.
    Closed,
}

impl PublishQueue {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            limit,
            pushed: Notify::new(),
            capacity: Notify::new(),
        }
    }

    /// Appends a message. A twoway call is refused while the broker is away, and
    /// every call while it accepts no messages, so that its caller learns of it at
    /// once.
    pub(crate) fn push(&self, message: OutgoingMessage) -> Result<(), PushError> {
        let state = self.state.lock();
        if state.broker.refuses(&message.completion) {
            return Err(PushError::Disconnected);
        }
        if state.bytes >= self.limit && state.broker != PublisherState::Closed {
            return Err(PushError::Full);
        }
        self.append(state, message)
    }

    /// Appends a message once fewer bytes wait than the limit.
    pub(crate) async fn push_when_free(&self, message: OutgoingMessage) -> Result<(), PushError> {
        loop {
            self.capacity().await;
            let state = self.state.lock();
            if state.broker.refuses(&message.completion) {
                return Err(PushError::Disconnected);
            }
            // Another waiter may have been faster.
            if state.bytes < self.limit || state.broker == PublisherState::Closed {
                return self.append(state, message);
            }
        }
    }

    /// Appends a RETURN, beyond the limit of calls: dropping one leaves a caller
    /// waiting. At [`RETURNS_FACTOR`] times the limit RETURNs that have expired are
    /// dropped, then this one is refused.
    pub(crate) fn push_return(&self, message: OutgoingMessage) -> Result<(), PushError> {
        let mut state = self.state.lock();
        let limit = self.limit.saturating_mul(RETURNS_FACTOR);
        if state.bytes >= limit {
            state.drop_expired_returns(now());
            if state.bytes >= limit {
                return Err(PushError::Full);
            }
        }
        self.append(state, message)
    }

    fn append(
        &self,
        mut state: MutexGuard<'_, Waiting>,
        message: OutgoingMessage,
    ) -> Result<(), PushError> {
        if state.broker == PublisherState::Closed {
            return Err(PushError::Disconnected);
        }
        state.bytes += message.body.len();
        state.waiting.push_back(message);
        drop(state);
        self.pushed.notify_one();
        Ok(())
    }

    /// The error for [`PushError::Disconnected`].
    pub(crate) fn unavailable(&self) -> RpcError {
        match &self.state.lock().broker {
            PublisherState::Closed => RpcError::new(
                ErrorCode::ConnectionLost,
                "the message queues of this communicator are closed",
            ),
            PublisherState::Blocked(reason) => RpcError::new(ErrorCode::SendFailed, &**reason),
            PublisherState::Connected | PublisherState::Reconnecting => RpcError::new(
                ErrorCode::SendFailed,
                "the broker is away; the connection to it is being made again",
            ),
        }
    }

    /// Waits until fewer bytes wait than the limit, or the broker accepts no
    /// messages.
    pub(crate) async fn capacity(&self) {
        wait_until(&self.capacity, || {
            let state = self.state.lock();
            state.bytes < self.limit || matches!(state.broker, PublisherState::Blocked(_))
        })
        .await;
    }

    /// Whether at least as many bytes wait as the limit allows.
    pub(crate) fn is_full(&self) -> bool {
        self.state.lock().bytes >= self.limit
    }

    /// Waits until fewer bytes wait than the limit, whatever the broker's state.
    pub(crate) async fn below_limit(&self) {
        wait_until(&self.capacity, || !self.is_full()).await;
    }

    /// Waits until the broker has all messages.
    pub(crate) async fn drained(&self) {
        wait_until(&self.capacity, || self.state.lock().bytes == 0).await;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().bytes == 0
    }

    /// Whether the broker is connected and accepts messages, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.state.lock().broker == PublisherState::Connected
    }

    /// How many messages wait for the publisher.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// Takes all waiting messages, for the publisher; waits for the first.
    pub(crate) async fn take(&self) -> VecDeque<OutgoingMessage> {
        loop {
            let taken = std::mem::take(&mut self.state.lock().waiting);
            if !taken.is_empty() {
                return taken;
            }
            self.pushed.notified().await;
        }
    }

    /// Returns messages that the publisher can't send yet.
    pub(crate) fn put_back(&self, mut messages: VecDeque<OutgoingMessage>) {
        let mut state = self.state.lock();
        messages.append(&mut state.waiting);
        state.waiting = messages;
        drop(state);
        self.pushed.notify_one();
    }

    /// `bytes` are confirmed or given up.
    pub(crate) fn settled(&self, bytes: usize) {
        self.state.lock().bytes -= bytes;
        self.capacity.notify_waiters();
    }

    /// The broker is connected.
    pub(crate) fn set_connected(&self) {
        self.state.lock().broker = PublisherState::Connected;
    }

    /// The broker accepts no messages. Returns the waiting calls whose callers wait;
    /// they fail.
    pub(crate) fn set_blocked(&self, reason: Arc<str>) -> Vec<Completion> {
        self.set_unavailable(PublisherState::Blocked(reason), Completion::is_awaited)
    }

    /// The connection to the broker is lost. Returns the waiting twoway calls,
    /// which fail.
    pub(crate) fn set_reconnecting(&self) -> Vec<Completion> {
        self.set_unavailable(PublisherState::Reconnecting, Completion::is_answered)
    }

    fn set_unavailable(
        &self,
        broker: PublisherState,
        fails: impl Fn(&Completion) -> bool,
    ) -> Vec<Completion> {
        let mut state = self.state.lock();
        state.broker = broker;
        let removed = state.remove_where(|message| fails(&message.completion));
        drop(state);
        self.capacity.notify_waiters();
        removed.into_iter().map(|it| it.completion).collect()
    }

    /// The publisher has ended permanently: waiting messages are dropped, new
    /// ones refused.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        let lost = std::mem::take(&mut *state);
        state.broker = PublisherState::Closed;
        drop(state);
        drop(lost);
        self.capacity.notify_waiters();
    }
}

impl Waiting {
    fn remove_where(
        &mut self,
        is_removed: impl Fn(&OutgoingMessage) -> bool,
    ) -> Vec<OutgoingMessage> {
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let (removed, kept): (Vec<_>, _) = waiting.partition(is_removed);
        self.waiting = kept.into();
        self.bytes -= removed.iter().map(|it| it.body.len()).sum::<usize>();
        removed
    }

    fn drop_expired_returns(&mut self, now: Instant) {
        let dropped = self.remove_where(|message| {
            matches!(message.completion, Completion::Return)
                && message.expires_at.is_some_and(|at| at <= now)
        });
        for _ in dropped {
            count_dropped("late_return");
        }
    }
}

impl PublisherState {
    /// Whether a message is refused at once instead of waiting.
    fn refuses(&self, completion: &Completion) -> bool {
        match self {
            Self::Connected | Self::Closed => false,
            Self::Reconnecting => completion.is_answered(),
            Self::Blocked(_) => !matches!(completion, Completion::Return),
        }
    }
}

#[cfg(test)]
mod tests;
