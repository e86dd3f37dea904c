//! What a connection's stream and its users tell each other.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::watch;

/// The bytes of deliveries that wait for one consumer before the connection is
/// read no further.
const UNREAD_MAX: u64 = 16 << 20;
/// What a delivery takes beside its body, in bytes, roughly.
const DELIVERY_OVERHEAD: u64 = 512;
/// The most returned messages whose confirmation is outstanding.
const RETURNED_MAX: usize = 4096;

/// Whether a connection to a broker can be used.
#[derive(Debug, Clone)]
enum BrokerState {
    Open,
    /// The broker accepts no publications, for this reason.
    Blocked(String),
    Lost(String),
}

/// What a [`BrokerStream`] shares with those who use its connection.
#[derive(Debug)]
pub(super) struct StreamControl {
    state: watch::Sender<BrokerState>,
    /// Wakes lapin's I/O thread to read.
    pub(super) reader: AtomicWaker,
    /// By channel that is consumed: the bytes of complete deliveries that were not
    /// taken.
    unread: Mutex<HashMap<u16, u64>>,
    /// Channel and message number of returned messages that are not confirmed.
    returned: Mutex<HashSet<(u16, u64)>>,
}

impl StreamControl {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: watch::Sender::new(BrokerState::Open),
            reader: AtomicWaker::new(),
            unread: Mutex::default(),
            returned: Mutex::default(),
        })
    }

    /// Ends the connection; the first reason counts.
    pub(super) fn end(&self, reason: &str) {
        self.state.send_if_modified(|state| {
            let is_first = !matches!(state, BrokerState::Lost(_));
            if is_first {
                *state = BrokerState::Lost(reason.to_owned());
            }
            is_first
        });
        self.reader.wake();
    }

    /// Why the connection is lost, if it is.
    pub(super) fn lost_reason(&self) -> Option<String> {
        match &*self.state.borrow() {
            BrokerState::Lost(reason) => Some(reason.clone()),
            BrokerState::Open | BrokerState::Blocked(_) => None,
        }
    }

    /// Why the broker accepts no publications, if it does not.
    pub(super) fn blocked_reason(&self) -> Option<String> {
        match &*self.state.borrow() {
            BrokerState::Blocked(reason) => Some(reason.clone()),
            BrokerState::Open | BrokerState::Lost(_) => None,
        }
    }

    /// Waits until the connection is lost.
    pub(super) async fn lost(&self) {
        let mut state = self.state.subscribe();
        // It fails only if the sender is gone, which `self` holds.
        let _ = state
            .wait_for(|state| matches!(state, BrokerState::Lost(_)))
            .await;
    }

    /// Waits until the broker accepts no publications; returns the reason.
    pub(super) async fn blocked(&self) -> String {
        let mut state = self.state.subscribe();
        let blocked = state.wait_for(|state| matches!(state, BrokerState::Blocked(_)));
        match blocked.await.as_deref() {
            Ok(BrokerState::Blocked(reason)) => reason.clone(),
            _ => String::new(),
        }
    }

    /// Waits until the broker accepts publications, or the connection is lost.
    pub(super) async fn unblocked(&self) {
        let mut state = self.state.subscribe();
        let _ = state
            .wait_for(|state| !matches!(state, BrokerState::Blocked(_)))
            .await;
    }

    pub(super) fn set_blocked(&self, reason: Option<String>) {
        self.state.send_if_modified(|state| {
            let is_lost = matches!(state, BrokerState::Lost(_));
            if !is_lost {
                *state = reason.map_or(BrokerState::Open, BrokerState::Blocked);
            }
            !is_lost
        });
    }

    /// Limits the deliveries that wait for the consumer of a channel.
    pub(super) fn limit_unread(&self, channel: u16) {
        self.unread.lock().insert(channel, 0);
    }

    /// A delivery of this body size is complete.
    pub(super) fn arrived(&self, channel: u16, body_size: u64) {
        if let Some(unread) = self.unread.lock().get_mut(&channel) {
            *unread += body_size + DELIVERY_OVERHEAD;
        }
    }

    /// The consumer has taken a delivery of this body size.
    pub(super) fn taken(&self, channel: u16, body_size: usize) {
        let mut unread = self.unread.lock();
        let Some(unread) = unread.get_mut(&channel) else {
            return;
        };
        let was_full = *unread > UNREAD_MAX;
        *unread = unread.saturating_sub(body_size as u64 + DELIVERY_OVERHEAD);
        if was_full && *unread <= UNREAD_MAX {
            self.reader.wake();
        }
    }

    /// A channel is no longer used.
    pub(super) fn forget(&self, channel: u16) {
        self.unread.lock().remove(&channel);
        self.returned.lock().retain(|(of, _)| *of != channel);
        self.reader.wake();
    }

    /// A message came back. Returns false if more messages came back than can be
    /// unconfirmed.
    pub(super) fn add_returned(&self, channel: u16, number: u64) -> bool {
        let mut returned = self.returned.lock();
        returned.insert((channel, number));
        returned.len() <= RETURNED_MAX
    }

    /// Whether the message of that number came back. To be asked once it is
    /// confirmed.
    pub(super) fn take_returned(&self, channel: u16, number: u64) -> bool {
        self.returned.lock().remove(&(channel, number))
    }

    pub(super) fn is_full(&self) -> bool {
        self.unread
            .lock()
            .values()
            .any(|unread| *unread > UNREAD_MAX)
    }
}
