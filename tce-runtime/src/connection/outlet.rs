//! The messages that leave by a message queue.
//!
//! What is sent gathers here, and the endpoint's publisher takes what there is:
//! one MQ message each, or all in one where the endpoint asks for batches.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::{Notify, oneshot};

use super::{Refused, wait::wait_until};
use crate::error::{ErrorCode, RpcError};

/// One message on its way to a queue.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) body: Vec<u8>,
    /// The queue, where it is not the endpoint's own.
    pub(crate) queue: Option<Arc<str>>,
    /// When it is worthless.
    pub(crate) expires_at: Option<Instant>,
    pub(crate) purpose: Purpose,
}

/// Who wants to know what became of a message.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A twoway call: its caller waits for the RETURN, and hears of a failure.
    Call(u32),
    /// A oneway call: its caller waits until the broker has it.
    Confirmed(oneshot::Sender<Result<(), RpcError>>),
    /// Nobody: a RETURN, or a oneway call that need not survive.
    Unconfirmed,
}

impl Purpose {
    /// Whether the message is worth sending again after the broker was away.
    pub(crate) fn is_wanted(&self) -> bool {
        match self {
            Self::Call(_) => false,
            Self::Confirmed(caller) => !caller.is_closed(),
            Self::Unconfirmed => true,
        }
    }
}

/// The messages that wait for an endpoint's publisher.
#[derive(Debug)]
pub(crate) struct Outlet {
    state: Mutex<State>,
    limit: usize,
    filled: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Outgoing>,
    /// The bytes that wait or are not confirmed yet.
    bytes: usize,
    is_up: bool,
}

impl Outlet {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            limit,
            filled: Notify::new(),
            room: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message. A twoway call is refused while the broker is away: its
    /// caller had better hear of it at once.
    pub(crate) fn push(&self, message: Outgoing) -> Result<(), Refused> {
        let mut state = self.lock();
        if !state.is_up && matches!(message.purpose, Purpose::Call(_)) {
            return Err(Refused::Detached);
        }
        if state.bytes >= self.limit {
            return Err(Refused::Full);
        }
        state.bytes += message.body.len();
        state.waiting.push_back(message);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes a message whatever waits: a RETURN is owed, and the calls that owe
    /// them are bounded by the prefetch.
    pub(crate) fn push_anyway(&self, message: Outgoing) {
        let mut state = self.lock();
        state.bytes += message.body.len();
        state.waiting.push_back(message);
        drop(state);
        self.filled.notify_one();
    }

    /// Waits until there is room.
    pub(crate) async fn room(&self) {
        wait_until(&self.room, || self.lock().bytes < self.limit).await;
    }

    /// Waits until all messages are with the broker.
    pub(crate) async fn drained(&self) {
        wait_until(&self.room, || self.lock().bytes == 0).await;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().bytes == 0
    }

    /// What waits, for the publisher; waits for something.
    pub(crate) async fn take(&self) -> VecDeque<Outgoing> {
        loop {
            let taken = std::mem::take(&mut self.lock().waiting);
            if !taken.is_empty() {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    /// Puts back what the publisher could not take yet.
    pub(crate) fn put_back(&self, messages: VecDeque<Outgoing>) {
        let mut state = self.lock();
        for message in messages.into_iter().rev() {
            state.waiting.push_front(message);
        }
        drop(state);
        self.filled.notify_one();
    }

    /// So many bytes are with the broker, or given up.
    pub(crate) fn settled(&self, bytes: usize) {
        self.lock().bytes -= bytes;
        self.room.notify_waiters();
    }

    /// Whether the broker is there. When it goes, the twoway calls that wait
    /// are returned, to be failed.
    pub(crate) fn set_up(&self, is_up: bool) -> Vec<u32> {
        let mut state = self.lock();
        state.is_up = is_up;
        let mut failed = Vec::new();
        if !is_up {
            let mut bytes = 0;
            state.waiting.retain(|message| match message.purpose {
                Purpose::Call(sequence) => {
                    failed.push(sequence);
                    bytes += message.body.len();
                    false
                }
                _ => true,
            });
            state.bytes -= bytes;
        }
        failed
    }
}

/// A way to one queue.
#[derive(Debug, Clone)]
pub(crate) struct QueueLink {
    pub(crate) outlet: Arc<Outlet>,
    /// The queue, where it is not the endpoint's own.
    pub(crate) queue: Option<Arc<str>>,
    /// What our calls name in `__mq_return__`.
    pub(crate) returns_by: Option<Arc<str>>,
    /// Whether a oneway call waits until the broker has it safe.
    pub(crate) is_confirmed: bool,
}

/// Why a call found no broker.
pub(crate) fn broker_away() -> RpcError {
    RpcError::new(
        ErrorCode::SendFailed,
        "the broker is away; the connection to it is being made again",
    )
}
