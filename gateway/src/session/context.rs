//! What all parts of a running gateway share.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use tce_runtime::Servant;
use tokio::sync::watch;

use crate::{
    auth::AuthGuard, auth::UserEvents, config::Properties, metrics::DropCounters, phase::Phase,
    places::Places, slots::Slots, table::Table,
};

/// What all parts of a running gateway share.
pub(crate) struct Core {
    pub(crate) name: String,
    pub(crate) began: Instant,
    pub(crate) properties: Properties,
    pub(crate) slots: Slots,
    pub(crate) table: ArcSwap<Table>,
    pub(crate) places: Places,
    /// Nobody where each connection has a user id of its own.
    pub(crate) authenticator: Option<AuthGuard>,
    pub(crate) events: UserEvents,
    /// Who answers calls to the gateway itself.
    pub(crate) servants: Vec<Arc<dyn Servant>>,
    pub(crate) drops: DropCounters,
    pub(crate) phase: watch::Sender<Phase>,
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
    pub(crate) authenticator: Option<AuthGuard>,
    pub(crate) events: UserEvents,
    pub(crate) servants: Vec<Arc<dyn Servant>>,
    pub(crate) drops: DropCounters,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let life = RandomState::new().hash_one(&parts.name);
        // Any 32 of its bits do.
        let [a, b, c, d, ..] = life.to_be_bytes();
        Arc::new(Self {
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

    /// Hears how far the gateway comes.
    pub(crate) fn progress(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }
}
