//! Sending the clients elsewhere before the gateway ends, evenly over a time.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::session::{Session, SessionContext};

/// How often it is checked which clients have to go.
const TICK: Duration = Duration::from_millis(50);
/// How long a client may take, from its turn on, to connect elsewhere and to close its
/// connection here.
const HANDOVER_TIME: Duration = Duration::from_secs(5);

/// Sends all clients elsewhere within `time`, and waits until they have gone, or until
/// the last one has had [`HANDOVER_TIME`]. New connections are refused before.
pub(super) async fn drain(context: &SessionContext, time: Duration) {
    let began = Instant::now();
    let registry = &context.registry;
    let mut schedule = Schedule::new(began, time, registry.connections());
    tracing::info!(
        clients = schedule.clients,
        ?time,
        "sending the clients elsewhere"
    );
    let ends_at = began + time + HANDOVER_TIME;
    loop {
        let now = Instant::now();
        registry.for_each(|session| schedule.visit(session, now));
        if registry.connections() == 0 || now >= ends_at {
            break;
        }
        sleep(TICK).await;
    }
    let left = registry.connections();
    tracing::info!(left, took = ?began.elapsed(), "the clients have gone elsewhere");
}

/// When each client goes.
struct Schedule {
    /// How many had to go at the beginning.
    clients: usize,
    /// The time between two clients.
    interval: Duration,
    /// When the next client goes that has no turn yet.
    next: Instant,
    /// By the number of the session.
    turns: HashMap<u64, Turn>,
}

/// When a client goes.
#[derive(Debug, Clone, Copy)]
enum Turn {
    At(Instant),
    /// It knows when, or is going.
    Told,
}

impl Schedule {
    fn new(began: Instant, time: Duration, clients: usize) -> Self {
        let count = u32::try_from(clients.max(1)).unwrap_or(u32::MAX);
        Self {
            clients,
            interval: time / count,
            next: began,
            turns: HashMap::new(),
        }
    }

    /// Gives the session its turn, and tells its client: at once if it can wait by
    /// itself, else when it is its turn.
    fn visit(&mut self, session: &Session, now: Instant) {
        let (next, interval) = (&mut self.next, self.interval);
        let turn = self.turns.entry(session.number).or_insert_with(|| {
            let at = *next;
            *next += interval;
            Turn::At(at)
        });
        let Turn::At(at) = *turn else {
            return;
        };
        let delay = at.saturating_duration_since(now);
        if session.send_away(delay) {
            *turn = Turn::Told;
        } else if delay.is_zero() {
            session.drain();
            *turn = Turn::Told;
        }
    }
}
