//! The messages that leave by a message queue.
//!
//! What is sent gathers here, and the endpoint's publisher takes what there is:
//! one MQ message each, or all in one where the endpoint asks for batches.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::{Notify, oneshot};

use super::{MessageHandler, PendingCalls, PushError};
use crate::{
    error::{ErrorCode, RpcError},
    in_flight::wait_until,
    wire::Header,
};

/// One message on its way to a queue.
#[derive(Debug)]
pub(crate) struct OutgoingMessage {
    pub(crate) body: Vec<u8>,
    /// The queue, where it is not the endpoint's own.
    pub(crate) queue: Option<Arc<str>>,
    /// When it is worthless.
    pub(crate) expires_at: Option<Instant>,
    pub(crate) completion: Completion,
}

/// Who wants to know what became of a message.
pub(crate) enum Completion {
    /// A twoway call: its caller waits for the RETURN, and hears of a failure.
    Call(u32),
    /// A twoway call that was passed on: its handler hears of a failure.
    Forwarded(Arc<dyn MessageHandler>, Header),
    /// A oneway call: its caller waits until the broker has it.
    Confirmed(oneshot::Sender<Result<(), RpcError>>),
    /// Nobody: a RETURN, or a oneway call that need not survive.
    Unconfirmed,
}

impl Completion {
    /// Whether it is a twoway call: somebody had better hear at once that it
    /// was not sent.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self, Self::Call(_) | Self::Forwarded(..))
    }

    /// Tells who waits that the message was not delivered; of a message that
    /// nobody waits for there is nothing to tell.
    pub(crate) fn fail(self, calls: &PendingCalls, code: ErrorCode, text: &str) {
        match self {
            Self::Call(sequence) => calls.fail(sequence, code, text),
            Self::Forwarded(handler, header) => handler.undelivered(header, code, text),
            Self::Confirmed(caller) => {
                // Who no longer waits does not care.
                let _ = caller.send(Err(RpcError::new(code, text)));
            }
            Self::Unconfirmed => {}
        }
    }

    /// Whether the message is worth sending again after the broker was away.
    pub(crate) fn is_wanted(&self) -> bool {
        match self {
            Self::Call(_) | Self::Forwarded(..) => false,
            Self::Confirmed(caller) => !caller.is_closed(),
            Self::Unconfirmed => true,
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
        })
    }
}

/// The messages that wait for an endpoint's publisher.
#[derive(Debug)]
pub(crate) struct PublishQueue {
    state: Mutex<State>,
    limit: usize,
    filled: Notify,
    capacity: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<OutgoingMessage>,
    /// The bytes that wait or are not confirmed yet.
    bytes: usize,
    broker: Broker,
}

/// Whether the broker is there.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Broker {
    #[default]
    Up,
    /// It is being reached again.
    Away,
    /// Nobody publishes any more.
    Left,
}

impl PublishQueue {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            limit,
            filled: Notify::new(),
            capacity: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message. A twoway call is refused while the broker is away: its
    /// caller had better hear of it at once.
    pub(crate) fn push(&self, message: OutgoingMessage) -> Result<(), PushError> {
        let state = self.lock();
        if state.broker == Broker::Away && message.completion.is_answered() {
            return Err(PushError::Disconnected);
        }
        if state.bytes >= self.limit && state.broker != Broker::Left {
            return Err(PushError::Full);
        }
        self.append(state, message)
    }

    /// Takes a message whatever waits: a RETURN is owed, and the calls that owe
    /// them are bounded by the prefetch.
    pub(crate) fn push_anyway(&self, message: OutgoingMessage) -> Result<(), PushError> {
        self.append(self.lock(), message)
    }

    fn append(
        &self,
        mut state: MutexGuard<'_, State>,
        message: OutgoingMessage,
    ) -> Result<(), PushError> {
        if state.broker == Broker::Left {
            return Err(PushError::Disconnected);
        }
        state.bytes += message.body.len();
        state.waiting.push_back(message);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Why a message was refused though there is room.
    pub(crate) fn absence(&self) -> RpcError {
        match self.lock().broker {
            Broker::Left => RpcError::new(
                ErrorCode::ConnectionLost,
                "the message queues of this communicator are closed",
            ),
            Broker::Up | Broker::Away => RpcError::new(
                ErrorCode::SendFailed,
                "the broker is away; the connection to it is being made again",
            ),
        }
    }

    /// Waits until there is room.
    pub(crate) async fn capacity(&self) {
        wait_until(&self.capacity, || self.lock().bytes < self.limit).await;
    }

    /// Waits until all messages are with the broker.
    pub(crate) async fn drained(&self) {
        wait_until(&self.capacity, || self.lock().bytes == 0).await;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().bytes == 0
    }

    /// Whether the broker is there, as far as is known.
    pub(crate) fn is_up(&self) -> bool {
        self.lock().broker == Broker::Up
    }

    /// How many messages wait for the publisher.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// What waits, for the publisher; waits for something.
    pub(crate) async fn take(&self) -> VecDeque<OutgoingMessage> {
        loop {
            let taken = std::mem::take(&mut self.lock().waiting);
            if !taken.is_empty() {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    /// Puts back what the publisher could not take yet.
    pub(crate) fn put_back(&self, mut messages: VecDeque<OutgoingMessage>) {
        let mut state = self.lock();
        messages.append(&mut state.waiting);
        state.waiting = messages;
        drop(state);
        self.filled.notify_one();
    }

    /// So many bytes are with the broker, or given up.
    pub(crate) fn settled(&self, bytes: usize) {
        self.lock().bytes -= bytes;
        self.capacity.notify_waiters();
    }

    /// The broker is there.
    pub(crate) fn up(&self) {
        self.lock().broker = Broker::Up;
    }

    /// The broker has gone for now. The twoway calls that wait are returned, to
    /// be failed.
    pub(crate) fn away(&self) -> Vec<Completion> {
        let mut state = self.lock();
        state.broker = Broker::Away;
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

    /// The publisher has gone for good: nothing is taken any more, and what
    /// waits is lost.
    pub(crate) fn leave(&self) {
        let mut state = self.lock();
        let lost = std::mem::take(&mut *state);
        state.broker = Broker::Left;
        drop(state);
        drop(lost);
        self.capacity.notify_waiters();
    }
}

/// A way to one queue.
#[derive(Debug, Clone)]
pub(crate) struct QueueChannel {
    pub(crate) publish_queue: Arc<PublishQueue>,
    /// The queue, where it is not the endpoint's own.
    pub(crate) queue: Option<Arc<str>>,
    /// What our calls name in `__mq_return__`.
    pub(crate) returns_by: Option<Arc<str>>,
    /// Whether a oneway call waits until the broker has it safe.
    pub(crate) is_confirmed: bool,
}

#[cfg(test)]
mod tests;
