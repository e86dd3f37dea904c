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
#[derive(Debug)]
struct Parcel {
    /// How many of its messages are not done.
    left: AtomicUsize,
    /// Whether one of them was not executed, and another reader shall.
    is_given_back: AtomicBool,
    ack: Mutex<Option<Ack>>,
    acks: Arc<Acks>,
}

/// Where a call came from. Dropped before it is finished, the whole MQ message
/// is delivered again.
#[derive(Debug)]
pub(crate) struct Origin {
    parcel: Arc<Parcel>,
    _serving: Serving,
    pub(crate) is_redelivered: bool,
    /// After how long the caller waits for no RETURN any more.
    pub(crate) expires_in: Option<Duration>,
}

impl Origin {
    /// The origins of the `count` messages of one MQ message.
    pub(crate) fn of(
        count: usize,
        ack: Ack,
        acks: &Arc<Acks>,
        served: &Served,
        is_redelivered: bool,
        expires_in: Option<Duration>,
    ) -> Vec<Self> {
        let parcel = Parcel {
            left: AtomicUsize::new(count),
            is_given_back: AtomicBool::new(false),
            ack: Mutex::new(Some(ack)),
            acks: Arc::clone(acks),
        };
        let parcel = Arc::new(parcel);
        let origin = || Self {
            parcel: Arc::clone(&parcel),
            _serving: served.begin(),
            is_redelivered,
            expires_in,
        };
        std::iter::repeat_with(origin).take(count).collect()
    }

    /// This message is done; the last one settles the MQ message.
    pub(crate) fn finish(self) {
        if self.parcel.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        let ack = self.parcel.ack.lock();
        let Some(ack) = ack.unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let settled = if self.parcel.is_given_back.load(Ordering::Acquire) {
            Settled::GivenBack(ack)
        } else {
            Settled::Done(ack)
        };
        self.parcel.acks.push(settled);
    }

    /// This message is not for us; the whole MQ message goes to another reader
    /// once what was begun of it has ended.
    pub(crate) fn give_back(self) {
        self.parcel.is_given_back.store(true, Ordering::Release);
        self.finish();
    }
}
