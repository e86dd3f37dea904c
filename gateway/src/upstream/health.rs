//! The health of a server that is connected directly: whether it takes calls, and
//! which part of the sessions it is given after a failure. Each thread of the gateway
//! judges its own connection, since one thread of a server alone may be stuck; a server
//! that one of them finds unhealthy gets no calls of any.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Identifies the connection of a thread to a server. Unique in the process; a reload
/// that replaces the server gives it another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UpstreamId(u64);

impl UpstreamId {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The share of a server that takes all its sessions.
const WHOLE_SHARE: u32 = 1 << 16;
/// How long a server that has recovered takes a growing share of its sessions.
const SLOW_START: Duration = Duration::from_secs(10);
/// The pings in a row that a server may miss. One alone may be late on a busy
/// machine.
const MISSED_PINGS: u32 = 2;
/// The pings in a row that a sick server has to answer.
const ANSWERED_PINGS: u32 = 2;
/// The pings after which a server that has answered none is not asked again on
/// this connection: a TCE server without the built-in interface never answers.
const UNKNOWN_PINGS: u32 = 3;
/// The calls that may time out while the server answers no other.
const TIMEOUTS: u32 = 5;
/// A connection that ends before this time did not last.
const SHORT_CONNECTION: Duration = Duration::from_secs(5);
/// How long a connection has to last after a short one, and how long a server
/// whose calls time out gets none. Each further failure doubles it.
const PENALTY: Duration = Duration::from_secs(5);
const MAX_PENALTY: Duration = Duration::from_secs(300);

/// Why a server that does not answer pings is unhealthy.
pub(super) const SILENT: &str = "it does not answer pings";

/// Whether a server is given calls; the worst state first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HostState {
    /// Not connected.
    Down,
    /// Connected and not given calls while another server is up, for this
    /// reason.
    Unhealthy(&'static str),
    /// It has recovered, and takes a growing share of its sessions.
    Recovering,
    Up,
}

impl HostState {
    /// Whether a server in this state is given calls.
    pub(crate) fn takes_calls(self) -> bool {
        !matches!(self, Self::Down | Self::Unhealthy(_))
    }
}

/// The health of one server. Its monitor writes the state; handlers of messages
/// report what they see.
#[derive(Debug)]
pub(crate) struct HostHealth {
    pub(crate) id: UpstreamId,
    /// The part of its sessions that the server takes, of [`WHOLE_SHARE`].
    share: AtomicU32,
    state: Mutex<HostState>,
    /// Whether a message for a client has arrived since the last check.
    has_answered: AtomicBool,
    /// The calls that have timed out since the last check.
    timeouts: AtomicU32,
    /// Whether a connection has ended since the last check.
    has_disconnected: AtomicBool,
}

impl HostHealth {
    pub(super) fn new() -> Self {
        Self {
            id: UpstreamId::new(),
            share: AtomicU32::new(0),
            state: Mutex::new(HostState::Down),
            has_answered: AtomicBool::new(false),
            timeouts: AtomicU32::new(0),
            has_disconnected: AtomicBool::new(false),
        }
    }

    pub(crate) fn state(&self) -> HostState {
        *self.state.lock()
    }

    /// A message of the server for a client has arrived.
    pub(crate) fn answered(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }

    /// Its connection has ended. It gets no calls until the next check.
    pub(crate) fn disconnected(&self) {
        self.share.store(0, Ordering::Relaxed);
        self.has_disconnected.store(true, Ordering::Relaxed);
    }

    /// A call that was sent to the server has timed out.
    pub(crate) fn timed_out(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the server takes calls of a session that prefers it.
    pub(super) fn takes(&self, session: u64) -> bool {
        let share = self.share.load(Ordering::Relaxed);
        share == WHOLE_SHARE || position(session) < share
    }

    /// Whether the server takes calls at all.
    pub(super) fn is_usable(&self) -> bool {
        self.share.load(Ordering::Relaxed) > 0
    }

    pub(super) fn set(&self, state: HostState, share: u32) {
        self.share.store(share, Ordering::Relaxed);
        *self.state.lock() = state;
    }
}

/// The position of a session among those that return to a server one after the
/// other: less than [`WHOLE_SHARE`]. Multiplies by the golden ratio, which spreads
/// consecutive numbers.
fn position(session: u64) -> u32 {
    let spread = session.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    u32::try_from(spread).unwrap_or_default()
}

/// What was seen of a server since the last check.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Observation {
    pub(super) is_connected: bool,
    /// The outcome of a ping that has ended.
    pub(super) ping: Option<bool>,
}

/// Derives the state of a server from what is seen of it.
#[derive(Debug)]
pub(super) struct HealthMonitor {
    state: HostState,
    /// When the state was entered.
    since: Instant,
    /// Before that time an unhealthy server does not recover.
    until: Option<Instant>,
    connected_at: Option<Instant>,
    was_connected: bool,
    /// Whether the server has ever answered a ping.
    answers_pings: bool,
    missed: u32,
    answered: u32,
    timeouts: u32,
    /// Failures in a row, which double the penalty.
    failures: u32,
}

impl HealthMonitor {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: HostState::Down,
            since: now,
            until: None,
            connected_at: None,
            was_connected: false,
            answers_pings: false,
            missed: 0,
            answered: 0,
            timeouts: 0,
            failures: 0,
        }
    }

    /// Whether to send the next ping.
    pub(super) fn wants_ping(&self) -> bool {
        self.connected_at.is_some() && (self.answers_pings || self.missed < UNKNOWN_PINGS)
    }

    /// Takes what was seen, and updates the health. Returns the reason if the
    /// server has become unhealthy.
    pub(super) fn check(
        &mut self,
        health: &HostHealth,
        seen: Observation,
        now: Instant,
    ) -> Option<&'static str> {
        let before = self.state;
        let has_answered = health.has_answered.swap(false, Ordering::Relaxed);
        let timeouts = health.timeouts.swap(0, Ordering::Relaxed);
        // It may be connected again by now.
        let has_disconnected = health.has_disconnected.swap(false, Ordering::Relaxed);
        if let Some(since) = self.connected_at
            && (has_disconnected || !seen.is_connected)
        {
            self.disconnected(since, now);
        }
        if self.connected_at.is_none() && seen.is_connected {
            self.connected(now);
        }
        if self.connected_at.is_some() {
            if let Some(is_answered) = seen.ping {
                self.pinged(is_answered, now);
            }
            if has_answered {
                self.answered_call(now);
            } else {
                self.timeouts += timeouts;
            }
            self.judge(now);
        }
        health.set(self.state, self.share(now));
        match (before, self.state) {
            (HostState::Unhealthy(_), _) => None,
            (_, HostState::Unhealthy(reason)) => Some(reason),
            _ => None,
        }
    }

    fn enter(&mut self, state: HostState, now: Instant) {
        self.state = state;
        self.since = now;
    }

    fn connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
        (self.missed, self.answered, self.timeouts) = (0, 0, 0);
        let is_first = !std::mem::replace(&mut self.was_connected, true);
        if is_first {
            self.enter(HostState::Up, now);
        } else if self.failures > 0 {
            self.fail("its connections do not last", now);
        } else {
            self.enter(HostState::Recovering, now);
        }
    }

    fn disconnected(&mut self, since: Instant, now: Instant) {
        self.connected_at = None;
        self.failures = match now.duration_since(since) < SHORT_CONNECTION {
            true => self.failures.saturating_add(1),
            false => 0,
        };
        self.enter(HostState::Down, now);
    }

    fn pinged(&mut self, is_answered: bool, now: Instant) {
        if is_answered {
            self.answers_pings = true;
            (self.missed, self.answered) = (0, self.answered + 1);
            if self.answered >= ANSWERED_PINGS && self.is_over_penalty(now) {
                self.recover(now);
            }
        } else {
            (self.missed, self.answered) = (self.missed + 1, 0);
        }
    }

    fn answered_call(&mut self, now: Instant) {
        self.timeouts = 0;
        self.missed = 0;
        if self.is_over_penalty(now) {
            self.recover(now);
        }
    }

    fn recover(&mut self, now: Instant) {
        if matches!(self.state, HostState::Unhealthy(_)) {
            self.enter(HostState::Recovering, now);
        }
    }

    fn is_over_penalty(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    fn judge(&mut self, now: Instant) {
        let is_on_trial = self.state == HostState::Recovering;
        match self.state {
            // Without pings, calls have to show whether it has recovered.
            HostState::Unhealthy(_) if !self.answers_pings && self.is_over_penalty(now) => {
                self.recover(now);
            }
            HostState::Unhealthy(_) => {}
            _ if self.answers_pings && self.missed >= MISSED_PINGS => {
                self.until = None;
                self.enter(HostState::Unhealthy(SILENT), now);
            }
            _ if self.timeouts >= if is_on_trial { 1 } else { TIMEOUTS } => {
                self.failures = self.failures.saturating_add(1);
                self.fail("its calls time out", now);
            }
            HostState::Recovering if now.duration_since(self.since) >= SLOW_START => {
                self.failures = 0;
                self.enter(HostState::Up, now);
            }
            _ => {}
        }
    }

    /// Takes no calls for a time that doubles with each failure in a row.
    fn fail(&mut self, reason: &'static str, now: Instant) {
        let doubled = 1_u32.checked_shl(self.failures.saturating_sub(1));
        let penalty = PENALTY.saturating_mul(doubled.unwrap_or(u32::MAX));
        self.until = now.checked_add(penalty.min(MAX_PENALTY));
        self.timeouts = 0;
        self.enter(HostState::Unhealthy(reason), now);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the product is from 1 to WHOLE_SHARE"
    )]
    fn share(&self, now: Instant) -> u32 {
        match self.state {
            HostState::Down | HostState::Unhealthy(_) => 0,
            HostState::Up => WHOLE_SHARE,
            HostState::Recovering => {
                let time = now.duration_since(self.since).as_secs_f64();
                let part = (time / SLOW_START.as_secs_f64()).clamp(0.05, 1.0);
                (part * f64::from(WHOLE_SHARE)) as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server, and the time that passes for its monitor.
    struct Watched {
        health: HostHealth,
        monitor: HealthMonitor,
        now: Instant,
        is_connected: bool,
    }

    const SECOND: Duration = Duration::from_secs(1);

    impl Watched {
        fn connected() -> Self {
            let now = Instant::now();
            let mut watched = Self {
                health: HostHealth::new(),
                monitor: HealthMonitor::new(now),
                now,
                is_connected: true,
            };
            watched.after(Duration::ZERO, None);
            assert_eq!(watched.state(), HostState::Up);
            watched
        }

        fn after(&mut self, time: Duration, ping: Option<bool>) -> Option<&'static str> {
            self.now += time;
            let seen = Observation {
                is_connected: self.is_connected,
                ping,
            };
            self.monitor.check(&self.health, seen, self.now)
        }

        fn state(&self) -> HostState {
            self.health.state()
        }

        /// The part of 1,000 sessions that it takes, in percent.
        fn percent(&self) -> usize {
            (0..1000).filter(|it| self.health.takes(*it)).count() / 10
        }

        fn reconnects(&mut self, after: Duration) {
            self.is_connected = false;
            self.after(after, None);
            assert_eq!((self.state(), self.percent()), (HostState::Down, 0));
            self.is_connected = true;
            self.after(SECOND, None);
        }
    }

    #[test]
    fn a_silent_server_gets_no_calls_until_it_answers_pings() {
        let mut server = Watched::connected();
        server.after(SECOND, Some(true));
        assert_eq!(server.after(SECOND, Some(false)), None);
        assert_eq!(server.after(SECOND, Some(false)), Some(SILENT));
        assert!(!server.health.is_usable());
        server.after(SECOND, Some(true));
        assert!(!server.health.is_usable());
        server.after(SECOND, Some(true));
        assert_eq!(server.state(), HostState::Recovering);
        let first = server.percent();
        assert!((1..10).contains(&first), "{first}");
        server.after(SLOW_START / 2, None);
        let half = server.percent();
        assert!((45..55).contains(&half), "{half}");
        server.after(SLOW_START / 2, None);
        assert_eq!((server.state(), server.percent()), (HostState::Up, 100));
    }

    /// A server without the built-in interface never answers a ping.
    #[test]
    fn a_server_that_has_never_answered_a_ping_is_judged_by_its_calls() {
        let mut server = Watched::connected();
        for _ in 0..UNKNOWN_PINGS {
            assert!(server.monitor.wants_ping());
            server.after(SECOND, Some(false));
        }
        assert!(!server.monitor.wants_ping());
        assert_eq!(server.state(), HostState::Up);
        for _ in 0..2 * TIMEOUTS {
            server.health.timed_out();
            server.health.answered();
            server.after(SECOND, None);
        }
        assert_eq!(server.state(), HostState::Up);
        for _ in 0..TIMEOUTS {
            server.health.timed_out();
        }
        assert_eq!(server.after(SECOND, None), Some("its calls time out"));
        server.after(PENALTY - SECOND, None);
        assert!(!server.health.is_usable());
        server.after(SECOND, None);
        assert_eq!(server.state(), HostState::Recovering);
        // On trial, one call is enough, and the next pause is longer.
        server.health.timed_out();
        assert_eq!(server.after(SECOND, None), Some("its calls time out"));
        server.after(PENALTY, None);
        assert!(!server.health.is_usable());
        server.after(PENALTY, None);
        server.health.answered();
        server.after(SLOW_START, None);
        assert_eq!(server.state(), HostState::Up);
    }

    #[test]
    fn a_server_that_restarts_is_taken_back_slowly() {
        let mut server = Watched::connected();
        server.reconnects(SHORT_CONNECTION);
        assert_eq!(server.state(), HostState::Recovering);
        assert!(server.percent() < 10);
    }

    /// For example a server of another protocol, which closes each connection.
    #[test]
    fn connections_that_do_not_last_get_no_calls() {
        let mut server = Watched::connected();
        for failures in 1..=3 {
            server.reconnects(SECOND);
            let unstable = HostState::Unhealthy("its connections do not last");
            assert_eq!(server.state(), unstable);
            assert_eq!(server.monitor.failures, failures);
            server.after(SHORT_CONNECTION - 2 * SECOND, None);
            assert_eq!(server.state(), unstable);
        }
        server.after(PENALTY * 3, None);
        assert!(!server.health.is_usable());
        server.after(PENALTY, None);
        assert_eq!(server.state(), HostState::Recovering);
    }
}
