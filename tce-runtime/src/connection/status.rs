//! Whether a connection can be used.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::goodbye::Goodbye;
use crate::{error::ErrorCode, in_flight::wait_until};

/// Whether a connection can be used.
#[derive(Debug, Clone)]
pub(crate) enum Status {
    Up,
    /// It is being made again.
    Down {
        /// How many attempts have failed.
        attempts: u64,
        /// Why the last one did.
        failure: Option<(ErrorCode, Arc<str>)>,
    },
    /// It is closed permanently.
    Closed,
    /// The peer has closed it permanently.
    ClosedByPeer(Arc<Goodbye>),
    /// The runtime in which it was made has ended, and its task with it.
    Abandoned,
}

impl Status {
    /// Whether the connection is closed permanently.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Closed | Self::ClosedByPeer(_))
    }
}

/// The status of a connection, and its changes. A `watch` channel would take four times the
/// memory, since it is made for many receivers.
#[derive(Debug)]
pub(crate) struct ConnectionStatus {
    state: Mutex<StatusState>,
    changed: Notify,
}

#[derive(Debug)]
struct StatusState {
    status: Status,
    changes: u32,
    /// Whether the connection ends once nothing is in flight.
    is_ending: bool,
}

/// The number of changes before a status, to wait for the next one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeenChanges(u32);

impl ConnectionStatus {
    pub(crate) fn new(status: Status) -> Self {
        Self {
            state: Mutex::new(StatusState {
                status,
                changes: 0,
                is_ending: false,
            }),
            changed: Notify::new(),
        }
    }

    pub(crate) fn get(&self) -> Status {
        self.state.lock().status.clone()
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state.lock().status, Status::Up)
    }

    /// The status, and what [`ConnectionStatus::changed_since`] takes.
    pub(crate) fn seen(&self) -> (Status, SeenChanges) {
        let state = self.state.lock();
        (state.status.clone(), SeenChanges(state.changes))
    }

    pub(crate) fn set(&self, status: Status) {
        self.set_if(status, |_| true);
    }

    /// Changes the status, unless the connection is closed.
    pub(crate) fn set_unless_closed(&self, status: Status) {
        self.set_if(status, |current| !current.is_closed());
    }

    fn set_if(&self, status: Status, may_change: impl FnOnce(&Status) -> bool) {
        let mut state = self.state.lock();
        if may_change(&state.status) {
            state.status = status;
            state.changes = state.changes.wrapping_add(1);
            drop(state);
            self.changed.notify_waiters();
        }
    }

    /// Waits until the status has changed since it was `seen`.
    pub(crate) async fn changed_since(&self, seen: SeenChanges) {
        wait_until(&self.changed, || self.state.lock().changes != seen.0).await;
    }

    /// Ends the connection once nothing is in flight.
    pub(crate) fn end(&self) {
        self.state.lock().is_ending = true;
        self.changed.notify_waiters();
    }

    /// Waits until the connection is to end, at once or once nothing is in flight. Returns
    /// whether that is at once.
    pub(crate) async fn ending(&self) -> bool {
        let is_closed = |state: &StatusState| matches!(state.status, Status::Closed);
        wait_until(&self.changed, || {
            let state = self.state.lock();
            state.is_ending || is_closed(&state)
        })
        .await;
        is_closed(&self.state.lock())
    }

    /// Waits until the connection is closed permanently.
    pub(crate) async fn closed(&self) {
        let is_closed = || self.state.lock().status.is_closed();
        wait_until(&self.changed, is_closed).await;
    }
}
