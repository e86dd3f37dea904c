//! All sessions, by number, and by user and device.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Arc,
    time::Instant,
};

use parking_lot::RwLock;
use smallvec::SmallVec;
use tce_runtime::CloseCode;

use super::{
    Session,
    history::{Histories, History, ResumePoint},
    history_store::{HistoryLogin, HistoryStore},
    lost_histories::{LostHistories, UserHistories},
};
use crate::{
    config::{PresenceStore, Properties, SecondLogin},
    metrics::TrafficTotals,
    routing::EndpointKeys,
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
    /// `None` if no pushes are kept.
    pub(crate) histories: Option<Arc<Histories>>,
    /// Where Redis keeps the histories of several gateways; `None` if they are kept here.
    store: Option<Arc<HistoryStore>>,
    pub(super) endpoint_keys: Arc<EndpointKeys>,
    /// Used under the lock of `users`, so that a push finds a history once: with its session
    /// or here.
    lost: LostHistories,
}

/// The history that a login asks for.
pub(super) enum HistoryRequest {
    /// None: the client does not ask for its pushes to be kept.
    None,
    /// One of this gateway, as `__resume__` says.
    Local(String),
    /// One in Redis, and the last push that the client has handled; without that the
    /// history is new.
    Shared(Arc<History>, Option<u64>),
}

/// Who receives a push to a user.
pub(super) struct PushReceivers {
    pub(super) sessions: UserSessions,
    /// Those of clients whose connection is lost.
    pub(super) histories: UserHistories,
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
    /// `name` is that of the gateway, and `run_id` a random number of this process.
    pub(crate) fn new(
        properties: &Properties,
        name: &str,
        run_id: u64,
        endpoint_keys: &Arc<EndpointKeys>,
    ) -> Self {
        let mut histories = Histories::new(properties);
        let client = properties.redis.as_ref();
        let client = client.filter(|_| properties.presence == PresenceStore::Redis);
        // The URL was checked when it was read.
        let client = client.and_then(|url| url.client().ok());
        let commands = client
            .is_some()
            .then(|| histories.as_mut().map(Histories::use_store));
        let histories = histories.map(Arc::new);
        let store = match (client, commands.flatten(), &histories) {
            (Some(client), Some(commands), Some(histories)) => Some(HistoryStore::new(
                client,
                &properties.redis_prefix,
                &format!("{name}:{run_id:016x}"),
                histories,
                commands,
            )),
            _ => None,
        };
        Self {
            open: RwLock::default(),
            users: RwLock::default(),
            second_login: properties.second_login,
            max_sessions_per_user: properties.max_sessions_per_user,
            histories,
            store,
            endpoint_keys: Arc::clone(endpoint_keys),
            lost: LostHistories::default(),
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

    /// Binds a user to a session, as the property `second_login` says. A session that
    /// resumes, with the `__resume__` of its login, replaces the one whose history it takes
    /// over.
    pub(super) fn bind(
        &self,
        user: &Arc<str>,
        session: &Arc<Session>,
        request: &HistoryRequest,
    ) -> BindOutcome {
        let mut users = self.users.write();
        let entry = users.entry(Arc::clone(user));
        let others = match &entry {
            Entry::Occupied(entry) => entry.get().as_slice(),
            Entry::Vacant(_) => &[],
        };
        let resumed = self.resumed(user, others, request);
        let resumed = resumed.as_ref().map(|(history, offset)| (history, *offset));
        let has_resumed = |other: &Arc<Session>| match (other.history(), resumed) {
            (Some(history), Some((resumed, _))) => Arc::ptr_eq(history, resumed),
            _ => false,
        };
        let of_same_device = || {
            let mut others = others.iter();
            others.position(|other| session.has_device_of(other))
        };
        let replaced = match others.iter().position(has_resumed) {
            Some(position) => Some(position),
            None => match self.second_login {
                _ if others.is_empty() => None,
                SecondLogin::Replace => Some(0),
                // The connection of the same device may be lost unnoticed.
                SecondLogin::Refuse => match of_same_device() {
                    None => return BindOutcome::Refused,
                    position => position,
                },
                SecondLogin::Several => of_same_device()
                    .or_else(|| (others.len() >= self.max_sessions_per_user).then_some(0)),
            },
        };
        let sessions = entry.or_default();
        let replaced = replaced.map(|position| sessions.remove(position));
        self.end_histories(user, session, replaced.as_ref(), resumed, sessions.len());
        self.set_history(user, session, request, resumed);
        sessions.push(Arc::clone(session));
        match replaced {
            Some(replaced) => BindOutcome::Replaced(replaced),
            None if sessions.len() == 1 => BindOutcome::First,
            None => BindOutcome::Further,
        }
    }

    /// The history that a login names, of a lost session or of one of `sessions`, and the
    /// last push that its client has handled.
    fn resumed(
        &self,
        user: &str,
        sessions: &[Arc<Session>],
        request: &HistoryRequest,
    ) -> Option<(Arc<History>, u64)> {
        let resume = match request {
            HistoryRequest::None => return None,
            HistoryRequest::Local(resume) => resume,
            HistoryRequest::Shared(history, handled) => {
                return handled.map(|offset| (Arc::clone(history), offset));
            }
        };
        let ResumePoint { epoch, offset } = ResumePoint::parse(resume)?;
        let open = sessions
            .iter()
            .filter_map(|session| session.history().cloned());
        let mut histories = open.chain(self.lost.of_user(user, None));
        let history = histories.find(|history| history.epoch == epoch)?;
        history.has_reached(offset).then_some((history, offset))
    }

    /// Ends the histories of the sessions that a login replaces, unless it resumes one of
    /// them: the open session `replaced`, and lost ones.
    fn end_histories(
        &self,
        user: &str,
        session: &Session,
        replaced: Option<&Arc<Session>>,
        resumed: Option<(&Arc<History>, u64)>,
        others: usize,
    ) {
        let Some(histories) = &self.histories else {
            return;
        };
        let is_only = self.second_login != SecondLogin::Several;
        let is_resumed =
            |history: &Arc<History>| resumed.is_some_and(|(it, _)| Arc::ptr_eq(it, history));
        let mut ended = self.lost.take(user, |history| {
            is_only
                || is_resumed(history)
                || session
                    .device()
                    .is_some_and(|device| history.is_of_device(device))
        });
        let kept = self.max_sessions_per_user.saturating_sub(others + 1);
        ended.extend(self.lost.take_beyond(user, kept));
        ended.extend(replaced.and_then(|replaced| replaced.history().cloned()));
        for history in ended.iter().filter(|history| !is_resumed(history)) {
            histories.close(history);
        }
    }

    fn set_history(
        &self,
        user: &Arc<str>,
        session: &Session,
        request: &HistoryRequest,
        resumed: Option<(&Arc<History>, u64)>,
    ) {
        let (history, handled) = match (request, resumed) {
            (HistoryRequest::None, _) => return,
            (_, Some((history, offset))) => (Some(Arc::clone(history)), Some(offset)),
            (HistoryRequest::Shared(history, _), None) => (Some(Arc::clone(history)), None),
            (HistoryRequest::Local(_), None) => {
                let opened = self
                    .histories
                    .as_ref()
                    .and_then(|histories| histories.open(user, session.device(), session.endpoint));
                (opened, None)
            }
        };
        if let Some(history) = history {
            session.set_history(history, handled);
        }
    }

    /// The history for the login of a session that asks for its pushes to be kept.
    pub(super) async fn request_history(
        &self,
        login: HistoryLogin<'_>,
        keys: &EndpointKeys,
    ) -> HistoryRequest {
        match (&self.histories, &self.store) {
            (None, _) => HistoryRequest::None,
            (Some(_), None) => HistoryRequest::Local(login.resume.to_owned()),
            (Some(_), Some(store)) => match store.begin(&login, keys).await {
                Some((history, handled)) => HistoryRequest::Shared(history, handled),
                None => HistoryRequest::None,
            },
        }
    }

    /// The session that has requested a history is not bound.
    pub(super) fn abandon_history(&self, request: &HistoryRequest, session: u64) {
        let (Some(histories), HistoryRequest::Shared(history, handled)) =
            (&self.histories, request)
        else {
            return;
        };
        let users = self.users.write();
        let is_it = |other: &Arc<History>| Arc::ptr_eq(other, history);
        let mut sessions = users.get(&history.user).into_iter().flatten();
        let is_held = sessions.any(|session| session.history().is_some_and(is_it))
            || self.lost.of_user(&history.user, None).iter().any(is_it);
        match handled {
            // It stays for the client to come back.
            Some(_) if !is_held && history.detach(session) => self.lost.add(history),
            Some(_) => {}
            None => histories.close(history),
        }
    }

    /// Starts to keep histories in Redis, if they are kept there, until `ended` is ready.
    /// Those of an earlier run of the gateway wait for their clients.
    pub(crate) async fn start_histories(
        &self,
        keys: &EndpointKeys,
        ended: impl Future<Output = ()> + Send + 'static,
    ) {
        let Some(store) = &self.store else {
            return;
        };
        let running = Arc::clone(store);
        tokio::spawn(async move {
            tokio::select! {
                () = running.run() => {}
                () = ended => {}
            }
        });
        let restored = store.restored(keys).await;
        tracing::info!(count = restored.len(), "histories of clients are in Redis");
        let _users = self.users.write();
        restored.iter().for_each(|history| self.lost.add(history));
    }

    /// Waits until Redis has stored all pushes that have arrived, for 2 s.
    pub(crate) async fn flush_histories(&self) {
        if let Some(store) = &self.store {
            store.flush().await;
        }
    }

    /// Unbinds a user from a session. Its history, if it has one, stays for the client to
    /// come back.
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
        if let Some(history) = unbound.history()
            && history.detach(session)
        {
            self.lost.add(history);
        }
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

    /// Ends the histories whose clients have not come back in time, and keeps the others
    /// within the memory. Returns the users whose clients are no longer waited for.
    pub(crate) fn maintain_histories(&self, now: Instant) -> Vec<Arc<str>> {
        let Some(histories) = &self.histories else {
            return Vec::new();
        };
        let expired = histories.expired(now);
        for history in &expired {
            self.end_lost(histories, history);
        }
        histories.balance();
        let moved = histories.settle_moved(now);
        let ended = expired.iter().chain(&moved);
        ended.map(|history| Arc::clone(&history.user)).collect()
    }

    /// Ends the history of a session whose client is not to come back.
    pub(super) fn end_history(&self, history: &Arc<History>) {
        if let Some(histories) = &self.histories {
            histories.close(history);
            self.end_lost(histories, history);
        }
    }

    /// Ends the histories of a user's clients that are away; with a device id only that of
    /// the device.
    pub(super) fn end_away(&self, user: &str, device: &str) {
        let Some(histories) = &self.histories else {
            return;
        };
        let users = self.users.write();
        let is_meant = |history: &Arc<History>| device.is_empty() || history.is_of_device(device);
        let ended = self.lost.take(user, is_meant);
        drop(users);
        for history in &ended {
            histories.close(history);
        }
    }

    /// Ends a history, unless its client has come back meanwhile.
    fn end_lost(&self, histories: &Histories, history: &Arc<History>) {
        let users = self.users.write();
        let is_it = |other: &Arc<History>| Arc::ptr_eq(other, history);
        let ended = self.lost.take(&history.user, is_it);
        drop(users);
        for history in &ended {
            histories.close(history);
        }
    }

    /// The sessions of a user, in the order of their logins; empty for a user who is not
    /// logged in.
    pub(super) fn sessions_of(&self, user: &str) -> UserSessions {
        self.users.read().get(user).cloned().unwrap_or_default()
    }

    /// The users with histories of clients whose connection is lost.
    pub(super) fn users_away(&self) -> Vec<Arc<str>> {
        self.lost.users()
    }

    /// Who receives a CALL to a user, or to one of the user's devices. The device counts
    /// only where a user may have several.
    pub(super) fn receivers(&self, user: &str, device: Option<&str>) -> PushReceivers {
        let has_devices = self.second_login == SecondLogin::Several;
        let device = device.filter(|device| has_devices && !device.is_empty());
        let users = self.users.read();
        let sessions = users.get(user).map(|sessions| match device {
            Some(_) => {
                let mut sessions = sessions.iter();
                let found = sessions.find(|session| session.device() == device);
                found.into_iter().cloned().collect()
            }
            None => sessions.clone(),
        });
        PushReceivers {
            sessions: sessions.unwrap_or_default(),
            histories: self.lost.of_user(user, device),
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
