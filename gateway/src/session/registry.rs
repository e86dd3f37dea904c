//! All clients that are connected.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{Session, users::Users};
use crate::{metrics::TrafficTotals, session::context::Core};

/// All clients that are connected, by connection and by user.
pub(crate) struct Clients {
    pub(crate) core: Arc<Core>,
    pub(crate) users: Users,
    known: RwLock<Known>,
}

/// Under one lock, so that each session is counted once.
#[derive(Default)]
struct Known {
    sessions: HashMap<u64, Arc<Session>>,
    /// What the sessions that have ended have seen.
    ended: TrafficTotals,
}

impl Known {
    /// Clones, since a session that ends while it is looked at leaves the map.
    fn sessions(&self) -> Vec<Arc<Session>> {
        self.sessions.values().cloned().collect()
    }
}

impl Clients {
    pub(crate) fn new(core: &Arc<Core>) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::clone(core),
            users: Users::new(core.properties.second_login),
            known: RwLock::default(),
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection is up.
    pub(crate) fn join(&self, session: Arc<Session>) {
        self.write().sessions.insert(session.number, session);
    }

    /// A connection has ended.
    pub(crate) fn leave(&self, session: &Session) {
        let seen = session.totals();
        let mut known = self.write();
        if known.sessions.remove(&session.number).is_some() {
            known.ended += seen;
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.read().sessions.len()
    }

    /// Shows all connections to `look`.
    pub(crate) fn for_each(&self, mut look: impl FnMut(&Session)) {
        let sessions = self.read().sessions();
        for session in sessions {
            look(&session);
        }
    }

    /// What all connections have seen, the ended ones too.
    pub(crate) fn totals(&self) -> TrafficTotals {
        let (mut totals, sessions) = {
            let known = self.read();
            (known.ended, known.sessions())
        };
        for session in sessions {
            totals += session.totals();
        }
        totals
    }
}
