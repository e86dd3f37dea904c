//! The messages that leave by a message queue.
//!
//! Callers append messages; the endpoint's publisher takes all that wait and
//! sends one MQ message for each, or one for all if the endpoint has `batch`.

use std::{collections::VecDeque, fmt, sync::Arc, time::Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::{pending_calls::PendingCalls, write_buffer::PushError};
use crate::{
    error::{ErrorCode, RpcError},
    in_flight::wait_until,
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
    Confirmed(oneshot::Sender<Result<(), RpcError>>),
    /// A oneway call that is not confirmed: a failure is logged.
    Unconfirmed,
    /// A RETURN: a failure is logged.
    Return,
}

impl Completion {
    /// Whether it is a twoway call. It fails at once when the broker is away,
    /// instead of waiting for its timeout.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self, Self::Call(_) | Self::Forwarded(..))
    }

    /// Reports that the message was not delivered.
    pub(crate) fn fail(self, calls: &PendingCalls, code: ErrorCode, text: &str) {
        match self {
            Self::Call(sequence) => calls.fail(sequence, code, text),
            Self::Forwarded(forwarder, header) => forwarder.undelivered(header, code, text),
            Self::Confirmed(caller) => {
                // The receiver is dropped if the caller no longer waits.
                let _ = caller.send(Err(RpcError::new(code, text)));
            }
            Self::Unconfirmed | Self::Return => {}
        }
    }

    /// Whether the message is sent again after the broker was away.
    pub(crate) fn is_wanted(&self) -> bool {
        match self {
            Self::Call(_) | Self::Forwarded(..) => false,
            Self::Confirmed(caller) => !caller.is_closed(),
            Self::Unconfirmed | Self::Return => true,
        }
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call(_) => "Call",
            Self::Forwarded(..) => "Disposition",
            Self::Confirmed(_) => "Confirmed",
            Self::Unconfirmed => "Unconfirmed",
            Self::Return => "Return",
        })
    }
}

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

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum PublisherState {
    #[default]
    Connected,
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

    /// Appends a message. A twoway call is refused while the broker is away, so
    /// that its caller learns of it at once.
    pub(crate) fn push(&self, message: OutgoingMessage) -> Result<(), PushError> {
        let state = self.state.lock();
        if state.broker == PublisherState::Reconnecting && message.completion.is_answered() {
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
            // Another waiter may have been faster.
            if state.bytes < self.limit || state.broker == PublisherState::Closed {
                return self.append(state, message);
            }
        }
    }

    /// Appends a message beyond the limit. For RETURNs: their number is bounded by
    /// the prefetch, and dropping one would leave a caller waiting.
    pub(crate) fn push_unbounded(&self, message: OutgoingMessage) -> Result<(), PushError> {
        self.append(self.state.lock(), message)
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
    pub(crate) fn disconnected_error(&self) -> RpcError {
        match self.state.lock().broker {
            PublisherState::Closed => RpcError::new(
                ErrorCode::ConnectionLost,
                "the message queues of this communicator are closed",
            ),
            PublisherState::Connected | PublisherState::Reconnecting => RpcError::new(
                ErrorCode::SendFailed,
                "the broker is away; the connection to it is being made again",
            ),
        }
    }

    /// Waits until fewer bytes wait than the limit.
    pub(crate) async fn capacity(&self) {
        wait_until(&self.capacity, || self.state.lock().bytes < self.limit).await;
    }

    /// Waits until the broker has all messages.
    pub(crate) async fn drained(&self) {
        wait_until(&self.capacity, || self.state.lock().bytes == 0).await;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().bytes == 0
    }

    /// Whether the broker is connected, as far as is known.
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

    /// The connection to the broker is lost. Returns the waiting twoway calls,
    /// which fail.
    pub(crate) fn set_reconnecting(&self) -> Vec<Completion> {
        let mut state = self.state.lock();
        state.broker = PublisherState::Reconnecting;
        let mut failed = Vec::new();
        let mut bytes = 0;
        let waiting = std::mem::take(&mut state.waiting);
        for message in waiting {
            if message.completion.is_answered() {
                bytes += message.body.len();
                failed.push(message.completion);
            } else {
                state.waiting.push_back(message);
            }
        }
        state.bytes -= bytes;
        drop(state);
        self.capacity.notify_waiters();
        failed
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

#[cfg(test)]
mod tests;
