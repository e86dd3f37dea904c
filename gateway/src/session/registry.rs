//! All sessions, by number and by user.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::RwLock;

use super::Session;
use crate::{config::SecondLogin, metrics::TrafficTotals};

/// The outcome of binding a user to a session.
pub(crate) enum BindOutcome {
    /// The user had no session.
    New,
    /// The user's earlier session, which is replaced.
    Replaced(Arc<Session>),
    /// The user stays bound to another session.
    Refused,
}

/// All sessions, by number and by user.
pub(crate) struct SessionRegistry {
    open: RwLock<OpenSessions>,
    users: RwLock<HashMap<Arc<str>, Arc<Session>>>,
    second_login: SecondLogin,
}

/// Under one lock, so that totals count each session once.
#[derive(Default)]
struct OpenSessions {
    by_number: HashMap<u64, Arc<Session>>,
    /// The sessions that have sent no message yet, by number.
    silent: BTreeSet<u64>,
    /// Those that are being closed for newer ones: a peer that answers no close message
    /// may take a second.
    yielding: BTreeSet<u64>,
    /// The totals of closed sessions.
    closed: TrafficTotals,
}

impl OpenSessions {
    /// Clones, since a session that ends while it is visited removes itself.
    fn sessions(&self) -> Vec<Arc<Session>> {
        self.by_number.values().cloned().collect()
    }
}

impl SessionRegistry {
    pub(crate) fn new(second_login: SecondLogin) -> Self {
        Self {
            open: RwLock::default(),
            users: RwLock::default(),
            second_login,
        }
    }

    pub(super) fn insert(&self, session: Arc<Session>) {
        let mut open = self.open.write();
        open.silent.insert(session.number);
        open.by_number.insert(session.number, session);
    }

    pub(super) fn remove(&self, session: &Session) {
        let totals = session.totals();
        let mut open = self.open.write();
        open.silent.remove(&session.number);
        open.yielding.remove(&session.number);
        if open.by_number.remove(&session.number).is_some() {
            open.closed += totals;
        }
    }

    /// Whether a session is open.
    pub(crate) fn is_open(&self, session: u64) -> bool {
        self.open.read().by_number.contains_key(&session)
    }

    /// A session has sent its first message.
    pub(super) fn has_spoken(&self, session: u64) {
        self.open.write().silent.remove(&session);
    }

    /// Closes the oldest session that has sent no message. Returns whether there
    /// was one.
    pub(crate) fn close_oldest_silent(&self) -> bool {
        let session = {
            let mut open = self.open.write();
            let oldest = open.silent.pop_first();
            let session = oldest.and_then(|number| open.by_number.get(&number).cloned());
            open.yielding
                .extend(session.as_ref().map(|session| session.number));
            session
        };
        if let Some(session) = &session {
            session.close("silent");
        }
        session.is_some()
    }

    /// The number of open sessions.
    pub(crate) fn connections(&self) -> usize {
        self.open.read().by_number.len()
    }

    /// The number of open sessions without those that are being closed for newer ones.
    pub(crate) fn staying(&self) -> usize {
        let open = self.open.read();
        open.by_number.len() - open.yielding.len()
    }

    pub(crate) fn for_each(&self, mut visit: impl FnMut(&Session)) {
        let sessions = self.open.read().sessions();
        for session in sessions {
            visit(&session);
        }
    }

    /// Visits the sessions that `is_visited` selects.
    pub(crate) fn for_each_where(
        &self,
        is_visited: impl Fn(&Session) -> bool,
        mut visit: impl FnMut(&Session),
    ) {
        let mut sessions = self.open.read().sessions();
        sessions.retain(|session| is_visited(session));
        for session in sessions {
            visit(&session);
        }
    }

    /// The totals of all sessions, closed ones included.
    pub(crate) fn totals(&self) -> TrafficTotals {
        let (mut totals, sessions) = {
            let open = self.open.read();
            (open.closed, open.sessions())
        };
        for session in sessions {
            totals += session.totals();
        }
        totals
    }

    /// Binds a user to a session, as the property `second_login` says.
    pub(super) fn bind(&self, user: &Arc<str>, session: &Arc<Session>) -> BindOutcome {
        match self.users.write().entry(Arc::clone(user)) {
            Entry::Vacant(entry) => {
                entry.insert(Arc::clone(session));
                BindOutcome::New
            }
            Entry::Occupied(_) if self.second_login == SecondLogin::Refuse => BindOutcome::Refused,
            Entry::Occupied(mut entry) => BindOutcome::Replaced(entry.insert(Arc::clone(session))),
        }
    }

    /// Unbinds a user from a session. Returns false if the user is bound to
    /// another session.
    pub(super) fn unbind(&self, user: &Arc<str>, session: u64) -> bool {
        match self.users.write().entry(Arc::clone(user)) {
            Entry::Occupied(entry) if entry.get().number == session => {
                entry.remove();
                true
            }
            _ => false,
        }
    }

    /// The session of a user.
    pub(crate) fn of_user(&self, user: &str) -> Option<Arc<Session>> {
        self.users.read().get(user).cloned()
    }

    /// The number of users who are logged in.
    pub(crate) fn users(&self) -> usize {
        self.users.read().len()
    }
}
