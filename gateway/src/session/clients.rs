//! All clients that are connected.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use super::{Session, users::Users};
use crate::{admin::Totals, core::Core};

/// All clients that are connected, by connection and by user.
pub(crate) struct Clients {
    pub(crate) core: Arc<Core>,
    pub(crate) users: Users,
    sessions: RwLock<HashMap<u64, Arc<Session>>>,
    /// What the sessions that have ended have seen.
    ended: Mutex<Totals>,
}

impl Clients {
    pub(crate) fn new(core: &Arc<Core>) -> Arc<Self> {
        Arc::new(Self {
            core: Arc::clone(core),
            users: Users::new(core.properties.second_login),
            sessions: RwLock::default(),
            ended: Mutex::default(),
        })
    }

    /// A connection is up.
    pub(crate) fn join(&self, session: Arc<Session>) {
        let mut sessions = self
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        sessions.insert(session.number, session);
    }

    /// A connection has ended.
    pub(crate) fn leave(&self, session: &Session) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut ended, &session.totals());
        drop(ended);
        let mut sessions = self
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        sessions.remove(&session.number);
    }

    pub(crate) fn connections(&self) -> usize {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.len()
    }

    /// Shows all connections to `look`.
    pub(crate) fn for_each(&self, mut look: impl FnMut(&Session)) {
        // They are cloned, since one that ends by it leaves the map.
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        let sessions: Vec<_> = sessions.values().cloned().collect();
        for session in sessions {
            look(&session);
        }
    }

    /// What all connections have seen, the ended ones too.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = *self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        self.for_each(|session| add(&mut totals, &session.totals()));
        totals
    }
}

fn add(sum: &mut Totals, part: &Totals) {
    sum.calls += part.calls;
    sum.in_flight += part.in_flight;
    sum.refused += part.refused;
    sum.pushes += part.pushes;
    sum.bytes_in += part.bytes_in;
    sum.bytes_out += part.bytes_out;
}
