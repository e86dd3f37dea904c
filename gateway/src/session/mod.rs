//! One client connection: who its user is, what it has under way, what it may.

mod calls;
pub(crate) mod context;
pub(crate) mod deliver;
mod forward;
mod kept;
mod login;
mod pace;
mod registry;
mod relay;
mod users;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tce_runtime::{Connection, ErrorCode, WeakConnection};
use tokio::sync::Notify;

use calls::{Call, CallsInFlight};
use login::Login;
use pace::Pace;
pub(crate) use registry::Clients;

use crate::{
    metrics as metric, metrics::TrafficTotals, places::Place, session::context::Core, slots::Slot,
};

/// One client connection.
pub(crate) struct Session {
    pub(crate) core: Arc<Core>,
    clients: Arc<Clients>,
    /// Grows with every connection of this process.
    pub(crate) number: u64,
    /// The endpoint that the client came to.
    pub(crate) endpoint: Slot,
    pub(crate) address: SocketAddr,
    pub(crate) since: SystemTime,
    connection: OnceLock<WeakConnection>,
    state: Mutex<State>,
    /// Whether nothing more is read from the client: it logs in, or is too fast.
    is_held: AtomicBool,
    /// Whether it is being ended: nothing of it is looked at any more.
    is_ending: AtomicBool,
    /// Something that held it has changed.
    changed: Notify,
    traffic: Traffic,
    /// Counted among the connections of its address as long as it lives.
    _place: Place,
    this: Weak<Self>,
}

/// What has gone by.
#[derive(Debug, Default)]
struct Traffic {
    calls: AtomicU64,
    pushes: AtomicU64,
    refused: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

struct State {
    login: Login,
    /// How many messages are kept: one that waits, and for a moment the same
    /// one again. All others of the client wait behind it.
    kept: u32,
    /// Whether the kept message is being handled, which was counted before.
    resumes: bool,
    calls: CallsInFlight,
    pace: Pace,
    /// When the client has last sent something, or has come.
    heard_at: Instant,
}

impl Session {
    pub(crate) fn new(
        clients: &Arc<Clients>,
        endpoint: Slot,
        address: SocketAddr,
        place: Place,
    ) -> Arc<Self> {
        let core = &clients.core;
        let properties = &core.properties;
        let state = State {
            login: Login::new(core),
            kept: 0,
            resumes: false,
            calls: CallsInFlight::default(),
            pace: Pace::new(properties.max_frames_per_second),
            heard_at: Instant::now(),
        };
        Arc::new_cyclic(|this| Self {
            core: Arc::clone(core),
            clients: Arc::clone(clients),
            number: core.next_number(),
            endpoint,
            address,
            since: SystemTime::now(),
            connection: OnceLock::new(),
            state: Mutex::new(state),
            is_held: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            changed: Notify::new(),
            traffic: Traffic::default(),
            _place: place,
            this: Weak::clone(this),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, unless it has ended.
    pub(crate) fn connection(&self) -> Option<Connection> {
        self.connection.get()?.upgrade()
    }

    /// The user, once there is one.
    pub(crate) fn user(&self) -> Option<Arc<str>> {
        self.lock().login.user().cloned()
    }

    pub(crate) fn calls_in_flight(&self) -> usize {
        self.lock().calls.len()
    }

    /// Whether nothing of the client is under way.
    fn is_idle(&self) -> bool {
        let state = self.lock();
        state.calls.len() == 0 && state.kept == 0
    }

    /// What it has seen so far.
    pub(crate) fn totals(&self) -> TrafficTotals {
        let traffic = &self.traffic;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TrafficTotals {
            calls: count(&traffic.calls),
            in_flight: self.calls_in_flight() as u64,
            refused: count(&traffic.refused),
            pushes: count(&traffic.pushes),
            bytes_in: count(&traffic.bytes_in),
            bytes_out: count(&traffic.bytes_out),
        }
    }

    /// Ends the connection, once what waits for the client is sent.
    pub(crate) fn end(&self, reason: &'static str) {
        metrics::counter!(metric::ENDED, "reason" => reason).increment(1);
        tracing::info!(session = self.number, address = %self.address, reason, "ends a connection");
        self.is_ending.store(true, Ordering::Release);
        if let Some(connection) = self.connection() {
            connection.close();
        }
    }

    /// Takes a call that ends.
    fn take_call(&self, sequence: u32) -> Option<Call> {
        let call = self.lock().calls.take(sequence);
        if self.is_held.load(Ordering::Acquire) {
            self.changed.notify_one();
        }
        call
    }

    /// Answers one call with an error.
    fn fail_call(&self, sequence: u32, code: ErrorCode, text: &str) {
        self.answer(self.take_call(sequence), code, text);
    }

    /// Answers the calls that have waited too long, or that `is_lost` says are
    /// lost, with an error.
    pub(crate) fn fail_calls(&self, code: ErrorCode, text: &str, is_lost: impl Fn(&Call) -> bool) {
        let lost = self.lock().calls.take_where(is_lost);
        if !lost.is_empty() {
            self.changed.notify_one();
            self.answer(lost, code, text);
        }
    }

    /// Answers calls that were taken with an error.
    fn answer(&self, calls: impl IntoIterator<Item = Call>, code: ErrorCode, text: &str) {
        let Some(connection) = self.connection() else {
            return;
        };
        for call in calls {
            call.meter.count_failure(code);
            connection.refuse(call.header, code, text);
        }
    }

    /// Looks at what the client may not: be silent, or idle, for too long.
    pub(crate) fn look_after(&self, now: Instant) {
        let properties = &self.core.properties;
        let (is_awaited, silent) = {
            let state = self.lock();
            let silent = now.saturating_duration_since(state.heard_at);
            (state.login.is_awaited(), silent)
        };
        let is_over = |limit: Option<Duration>| limit.is_some_and(|limit| silent > limit);
        if is_awaited && is_over(properties.first_message_time) {
            self.end("first_message_time");
        } else if !is_awaited && is_over(properties.idle_time) && self.is_idle() {
            self.end("idle_time");
        }
        let late = properties.call_time;
        self.fail_calls(
            ErrorCode::Timeout,
            "no server has answered the gateway in time",
            |call| now.saturating_duration_since(call.since) > late,
        );
    }
}
