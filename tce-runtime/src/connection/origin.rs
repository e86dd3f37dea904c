//! The MQ message that a call came in, until it is acknowledged.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{Served, Serving};
use crate::transport::mq::Ack;

/// What is to be told the broker of one MQ message.
#[derive(Debug)]
pub(crate) enum Settled {
    /// All of it was executed, or will never be.
    Done(Ack),
    /// It is for another reader.
    GivenBack(Ack),
}

impl Settled {
    /// Tells it the broker.
    pub(crate) async fn tell(self) {
        match self {
            Self::Done(ack) => ack.acknowledge().await,
            Self::GivenBack(ack) => ack.give_back().await,
        }
    }
}

/// What is ready to be told the broker, by an endpoint's reader.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    ready: Mutex<Vec<Settled>>,
    filled: Notify,
}

impl Acks {
    fn lock(&self) -> MutexGuard<'_, Vec<Settled>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is ready now.
    pub(crate) fn take_ready(&self) -> Vec<Settled> {
        std::mem::take(&mut self.lock())
    }

    /// What is ready; waits for something.
    pub(crate) async fn take(&self) -> Vec<Settled> {
        loop {
            let ready = self.take_ready();
            if !ready.is_empty() {
                return ready;
            }
            self.filled.notified().await;
        }
    }

    fn push(&self, settled: Settled) {
        self.lock().push(settled);
        self.filled.notify_one();
    }
}

/// An MQ message, as long as something of it is not done.
#[derive(Debug, Clone)]
pub(crate) struct Parcel(Arc<Undone>);

#[derive(Debug)]
struct Undone {
    /// How many of its messages are not done.
    left: AtomicUsize,
    /// Whether one of them was not executed, and another reader shall.
    is_given_back: AtomicBool,
    is_redelivered: bool,
    ack: Mutex<Option<Ack>>,
    acks: Arc<Acks>,
}

impl Parcel {
    /// One with so many messages, each of which has to come to its end.
    pub(crate) fn of(count: usize, ack: Ack, acks: &Arc<Acks>, is_redelivered: bool) -> Self {
        Self(Arc::new(Undone {
            left: AtomicUsize::new(count),
            is_given_back: AtomicBool::new(false),
            is_redelivered,
            ack: Mutex::new(Some(ack)),
            acks: Arc::clone(acks),
        }))
    }

    /// The origin of its next message, counted among those that `handling`
    /// counts.
    pub(crate) fn origin(&self, handling: &Served, expires_in: Option<Duration>) -> Origin {
        Origin {
            parcel: self.clone(),
            _handling: handling.begin(),
            is_redelivered: self.0.is_redelivered,
            expires_in,
        }
    }
}

/// Where a call came from. Dropped before it is finished, the whole MQ message
/// is delivered again.
#[derive(Debug)]
pub(crate) struct Origin {
    parcel: Parcel,
    _handling: Serving,
    pub(crate) is_redelivered: bool,
    /// After how long the caller waits for no RETURN any more.
    pub(crate) expires_in: Option<Duration>,
}

impl Origin {
    /// This message is done; the last one settles the MQ message.
    pub(crate) fn finish(self) {
        let undone = &self.parcel.0;
        if undone.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let ack = undone.ack.lock();
        let Some(ack) = ack.unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        undone
            .acks
            .push(if undone.is_given_back.load(Ordering::Acquire) {
                Settled::GivenBack(ack)
            } else {
                Settled::Done(ack)
            });
    }

    /// This message is not for us; the whole MQ message goes to another reader
    /// once what was begun of it has ended.
    pub(crate) fn give_back(self) {
        self.parcel.0.is_given_back.store(true, Ordering::Release);
        self.finish();
    }
}
