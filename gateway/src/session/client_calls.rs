//! The calls of a client beyond those that one session waits for.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::calls::ForwardedCall;
use crate::upstream::{CallPermit, UpstreamId};

/// How many times `call_time` an abandoned call at a server that is connected
/// directly may take before it counts as lost.
const ANSWER_FACTOR: u32 = 10;

/// The client that calls are counted for, over its sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum CallOwner {
    /// The user who has logged in.
    User(Arc<str>),
    /// The address of a client without a login.
    Address(IpAddr),
}

/// Counts, for each client, the calls of its sessions that have used up their
/// share, and its *abandoned* calls: those of sessions that have ended, and those
/// that were answered with TIMEOUT. A server may still run an abandoned call, so
/// it takes capacity until its RETURN arrives. Without these counts a client
/// would get another share with each connection that it opens.
#[derive(Debug, Default)]
pub(crate) struct ClientCalls {
    /// The number of clients that have counts: usually 0, in which case nothing
    /// is locked.
    clients: AtomicUsize,
    table: Mutex<ClientTable>,
}

#[derive(Debug, Default)]
struct ClientTable {
    counts: HashMap<CallOwner, usize>,
    /// By the sequence that the gateway assigned.
    abandoned: HashMap<u32, AbandonedCall>,
}

#[derive(Debug)]
struct AbandonedCall {
    owner: CallOwner,
    /// When the call counts as lost.
    until: Instant,
    permit: CallPermit,
}

impl ClientCalls {
    /// The count of a client.
    pub(super) fn of(&self, owner: impl FnOnce() -> CallOwner) -> usize {
        if self.clients.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let table = self.table.lock();
        table.counts.get(&owner()).copied().unwrap_or(0)
    }

    /// Changes what a session that has used up its share adds to its client's
    /// count.
    pub(super) fn change_count(&self, owner: &CallOwner, before: usize, now: usize) {
        if before != now {
            self.change(|table| table.count(owner, before, now));
        }
    }

    /// Adds abandoned calls. A queue drops a call after `call_time`, so that its
    /// RETURN may never arrive; a server that is connected directly answers.
    pub(super) fn abandon(
        &self,
        owner: &CallOwner,
        calls: impl IntoIterator<Item = (u32, ForwardedCall)>,
        call_time: Duration,
    ) {
        let now = Instant::now();
        self.change(|table| {
            for (sequence, call) in calls {
                let abandoned = AbandonedCall {
                    owner: owner.clone(),
                    until: match call.permit.target().server {
                        None => now + call_time,
                        Some(_) => now + call_time.saturating_mul(ANSWER_FACTOR),
                    },
                    permit: call.permit,
                };
                table.count(owner, 0, 1);
                if let Some(other) = table.abandoned.insert(sequence, abandoned) {
                    table.count(&other.owner, 1, 0);
                }
            }
        });
    }

    /// A RETURN has arrived that no session waits for.
    pub(super) fn returned(&self, sequence: u32) {
        if self.clients.load(Ordering::Relaxed) > 0 {
            self.change(|table| {
                if let Some(call) = table.abandoned.remove(&sequence) {
                    table.count(&call.owner, 1, 0);
                }
            });
        }
    }

    /// A server has been disconnected.
    pub(super) fn lost(&self, upstream: UpstreamId) {
        self.remove_where(|call| call.permit.target().server == Some(upstream));
    }

    /// Removes the abandoned calls whose RETURN is no longer expected.
    pub(crate) fn expire(&self, now: Instant) {
        self.remove_where(|call| call.until <= now);
    }

    fn remove_where(&self, is_removed: impl Fn(&AbandonedCall) -> bool) {
        if self.clients.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.change(|table| {
            let removed = table.abandoned.extract_if(|_, call| is_removed(call));
            for (_, call) in removed.collect::<Vec<_>>() {
                table.count(&call.owner, 1, 0);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut ClientTable)) {
        let mut table = self.table.lock();
        change(&mut table);
        self.clients.store(table.counts.len(), Ordering::Relaxed);
    }
}

impl ClientTable {
    fn count(&mut self, owner: &CallOwner, before: usize, now: usize) {
        let count = self.counts.get(owner).copied().unwrap_or(0);
        match (count + now).saturating_sub(before) {
            0 => drop(self.counts.remove(owner)),
            count => drop(self.counts.insert(owner.clone(), count)),
        }
    }
}
