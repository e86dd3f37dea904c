//! The MQ message that a call came in, until it is acknowledged.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{Served, Serving};
use crate::transport::mq::Ack;

/// Acknowledgements that are ready to be sent by an endpoint's reader.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    ready: Mutex<Vec<Ack>>,
    filled: Notify,
}

impl Acks {
    /// Those that are ready; waits for one.
    pub(crate) async fn take(&self) -> Vec<Ack> {
        loop {
            let ready =
                std::mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner));
            if !ready.is_empty() {
                return ready;
            }
            self.filled.notified().await;
        }
    }

    fn push(&self, ack: Ack) {
        self.ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(ack);
        self.filled.notify_one();
    }
}

/// An MQ message, as long as something of it is not done.
#[derive(Debug)]
struct Parcel {
    /// How many of its messages are not done.
    left: AtomicUsize,
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

    /// This message is done; the last one acknowledges the MQ message.
    pub(crate) fn finish(self) {
        if self.parcel.left.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(ack) = self
                .parcel
                .ack
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take()
        {
            self.parcel.acks.push(ack);
        }
    }
}
