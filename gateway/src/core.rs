//! What all parts of a running gateway share.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use tce_runtime::Servant;
use tokio::sync::watch;

use crate::{
    admin::Totals, auth::Guard, config::Properties, drops::Drops, events::UserEvents,
    places::Places, session::Session, slots::Slots, table::Table, users::Users,
};

/// How far a gateway has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Starting,
    Serving,
    /// Nobody new is served; calls in flight end.
    Stopping,
    Ended,
}

/// What all parts of a running gateway share.
pub(crate) struct Core {
    pub(crate) name: String,
    pub(crate) began: Instant,
    pub(crate) properties: Properties,
    pub(crate) slots: Slots,
    pub(crate) table: ArcSwap<Table>,
    pub(crate) users: Users,
    pub(crate) places: Places,
    /// Nobody where each connection has a user id of its own.
    pub(crate) authenticator: Option<Guard>,
    pub(crate) events: UserEvents,
    /// Who answers calls to the gateway itself.
    pub(crate) servants: Vec<Arc<dyn Servant>>,
    pub(crate) drops: Drops,
    pub(crate) phase: watch::Sender<Phase>,
    sessions: RwLock<HashMap<u64, Arc<Session>>>,
    /// What the sessions that have ended have seen.
    ended: Mutex<Totals>,
    /// Unlike that of any other gateway, and of this one's other lives.
    life: u64,
    number: AtomicU64,
    sequence: AtomicU32,
}

/// What a core is made of.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) properties: Properties,
    pub(crate) slots: Slots,
    pub(crate) table: Table,
    pub(crate) authenticator: Option<Guard>,
    pub(crate) events: UserEvents,
    pub(crate) servants: Vec<Arc<dyn Servant>>,
    pub(crate) drops: Drops,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let life = RandomState::new().hash_one(&parts.name);
        // Any 32 of its bits do.
        let [a, b, c, d, ..] = life.to_be_bytes();
        Arc::new(Self {
            users: Users::new(parts.properties.second_login),
            places: Places::new(parts.properties.max_connections_per_address),
            name: parts.name,
            began: Instant::now(),
            properties: parts.properties,
            slots: parts.slots,
            table: ArcSwap::from_pointee(parts.table),
            authenticator: parts.authenticator,
            events: parts.events,
            servants: parts.servants,
            drops: parts.drops,
            phase: watch::channel(Phase::Starting).0,
            sessions: RwLock::default(),
            ended: Mutex::default(),
            life,
            number: AtomicU64::new(0),
            sequence: AtomicU32::new(u32::from_be_bytes([a, b, c, d])),
        })
    }

    /// The number of the next connection.
    pub(crate) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The sequence of the next call that is passed on.
    pub(crate) fn next_sequence(&self) -> u32 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// The user id of a connection that names no user.
    pub(crate) fn anonymous(&self, number: u64) -> Arc<str> {
        format!("{}-{:016x}-{number}", self.name, self.life).into()
    }

    /// Whether a servant of the gateway answers on an interface.
    pub(crate) fn serves(&self, ifidx: u16) -> bool {
        let mut servants = self.servants.iter();
        servants.any(|servant| servant.interfaces().contains(&ifidx))
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
    pub(crate) fn for_each_session(&self, mut look: impl FnMut(&Session)) {
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
        self.for_each_session(|session| add(&mut totals, &session.totals()));
        totals
    }

    /// Waits until the gateway has come that far.
    pub(crate) async fn reached(self: Arc<Self>, at: Phase) {
        let mut phase = self.phase.subscribe();
        // The sender lives as long as this.
        let _ = phase.wait_for(|phase| *phase >= at).await;
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
