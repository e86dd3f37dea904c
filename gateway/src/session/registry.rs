//! All sessions, by number, and by user and device.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
};

use parking_lot::RwLock;
use smallvec::{SmallVec, smallvec};
use tce_runtime::CloseCode;

use super::Session;
use crate::{
    config::{Properties, SecondLogin},
    metrics::TrafficTotals,
};

/// The sessions of a user, in the order of their logins. Most users have one, which
/// needs no allocation.
pub(crate) type UserSessions = SmallVec<[Arc<Session>; 1]>;

/// The outcome of binding a user to a session.
pub(crate) enum BindOutcome {
    /// The user had no session.
    First,
    /// The user has other sessions, too.
    Further,
    /// An earlier session of the user, which is replaced: that of the same device, or
    /// the oldest beyond the limit.
    Replaced(Arc<Session>),
    /// The user stays bound to another session.
    Refused,
}

/// What the end of a session leaves of its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnbindOutcome {
    /// The user has no session any more.
    Last,
    /// The user has other sessions.
    Others,
    /// The user was not bound to the session: another one has replaced it.
    NotBound,
}

/// All sessions, by number, and by user and device.
pub(crate) struct SessionRegistry {
    open: RwLock<OpenSessions>,
    users: RwLock<HashMap<Arc<str>, UserSessions>>,
    second_login: SecondLogin,
    max_sessions_per_user: usize,
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
    pub(crate) fn new(properties: &Properties) -> Self {
        Self {
            open: RwLock::default(),
            users: RwLock::default(),
            second_login: properties.second_login,
            max_sessions_per_user: properties.max_sessions_per_user,
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
            let text = "closed for a newer connection: this one has sent no message yet";
            session.end("silent", CloseCode::Idle, text);
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
        let mut users = self.users.write();
        let sessions = match users.entry(Arc::clone(user)) {
            Entry::Vacant(entry) => {
                entry.insert(smallvec![Arc::clone(session)]);
                return BindOutcome::First;
            }
            Entry::Occupied(entry) => entry.into_mut(),
        };
        let replaced = match self.second_login {
            SecondLogin::Refuse => return BindOutcome::Refused,
            SecondLogin::Replace => Some(0),
            SecondLogin::Several => sessions
                .iter()
                .position(|other| session.has_device_of(other))
                .or_else(|| (sessions.len() >= self.max_sessions_per_user).then_some(0)),
        };
        let replaced = replaced.map(|position| sessions.remove(position));
        sessions.push(Arc::clone(session));
        replaced.map_or(BindOutcome::Further, BindOutcome::Replaced)
    }

    /// Unbinds a user from a session.
    pub(super) fn unbind(&self, user: &Arc<str>, session: u64) -> UnbindOutcome {
        let mut users = self.users.write();
        let Entry::Occupied(mut entry) = users.entry(Arc::clone(user)) else {
            return UnbindOutcome::NotBound;
        };
        let sessions = entry.get_mut();
        let Some(position) = sessions.iter().position(|it| it.number == session) else {
            return UnbindOutcome::NotBound;
        };
        // The dropped session may be the last reference: only after the lock is released.
        let unbound = sessions.remove(position);
        let outcome = match sessions.is_empty() {
            true => {
                entry.remove();
                UnbindOutcome::Last
            }
            false => UnbindOutcome::Others,
        };
        drop(users);
        drop(unbound);
        outcome
    }

    /// The sessions of a user, in the order of their logins; empty for a user who is not
    /// logged in.
    pub(crate) fn sessions_of(&self, user: &str) -> UserSessions {
        self.users.read().get(user).cloned().unwrap_or_default()
    }

    /// The session of one device of a user.
    pub(crate) fn session_of(&self, user: &str, device: &str) -> Option<Arc<Session>> {
        let users = self.users.read();
        let mut sessions = users.get(user)?.iter();
        sessions
            .find(|session| session.device() == Some(device))
            .cloned()
    }

    /// The sessions that receive a CALL to a user, or to one of the user's devices. The
    /// device counts only where a user may have several.
    pub(super) fn receivers(&self, user: &str, device: Option<&str>) -> UserSessions {
        let has_devices = self.second_login == SecondLogin::Several;
        match device.filter(|device| has_devices && !device.is_empty()) {
            Some(device) => self.session_of(user, device).into_iter().collect(),
            None => self.sessions_of(user),
        }
    }

    /// Whether a user is logged in.
    pub(crate) fn has_user(&self, user: &str) -> bool {
        self.users.read().contains_key(user)
    }

    /// The number of users who are logged in.
    pub(crate) fn users(&self) -> usize {
        self.users.read().len()
    }
}
