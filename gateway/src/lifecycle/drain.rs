//! Sending the clients elsewhere before the gateway ends, evenly over a time.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    config::DrainTime,
    session::{Session, SessionContext},
};

/// How often it is checked which clients have to go.
const TICK: Duration = Duration::from_millis(50);
/// How long a client may take, from its turn on, to connect elsewhere and to close its
/// connection here.
const HANDOVER_TIME: Duration = Duration::from_secs(5);
/// The time per client with `drain_time` auto: 250 go in a second.
const AUTO_TIME_OF_ONE: Duration = Duration::from_millis(4);
/// The longest time for all with `drain_time` auto.
const MAX_AUTO_TIME: Duration = Duration::from_secs(10);

/// How long the clients that are connected now may take to go elsewhere; `None` to close
/// all connections at once.
pub(super) fn drain_time(context: &SessionContext) -> Option<Duration> {
    match context.properties.drain_time {
        DrainTime::Fixed(time) => (!time.is_zero()).then_some(time),
        DrainTime::Auto => {
            let mut can_go = false;
            let registry = &context.registry;
            registry.for_each(|session| can_go |= session.can_be_sent_away());
            let time = AUTO_TIME_OF_ONE.saturating_mul(count(registry.connections()));
            can_go.then_some(time.min(MAX_AUTO_TIME))
        }
    }
}

/// Sends all clients elsewhere within `time` and a tenth of it, and waits until they have
/// gone, or until the last one has had [`HANDOVER_TIME`]. New connections are refused before.
pub(super) async fn drain(context: &SessionContext, time: Duration) {
    let began = Instant::now();
    let registry = &context.registry;
    let clients = registry.connections();
    let mut schedule = Schedule::new(began, time, clients);
    tracing::info!(clients, ?time, "sending the clients elsewhere");
    let ends_at = schedule.end() + HANDOVER_TIME;
    loop {
        registry.for_each(|session| schedule.visit(session));
        if registry.connections() == 0 || Instant::now() >= ends_at {
            break;
        }
        sleep(TICK).await;
    }
    let left = registry.connections();
    tracing::info!(left, took = ?began.elapsed(), "the clients have gone elsewhere");
}

/// When each client goes.
///
/// At most `clients / time` go in any second: the turns are a tenth further apart than
/// that, for clients that are late by up to a tenth of a second, and connections that are
/// closed here late do not make up for it.
struct Schedule {
    /// The time between two clients.
    interval: Duration,
    clients: u32,
    began: Instant,
    /// When the next client goes that has no turn yet.
    next: Instant,
    /// From when on the next connection may be closed here.
    next_close: Instant,
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
        let clients = count(clients.max(1));
        Self {
            interval: (time + time / 10) / clients,
            clients,
            began,
            next: began,
            next_close: began,
            turns: HashMap::new(),
        }
    }

    /// After the last turn.
    fn end(&self) -> Instant {
        self.began + self.interval * self.clients
    }

    /// Gives the session its turn, and tells its client: at once if it can wait by
    /// itself, else when it is its turn.
    fn visit(&mut self, session: &Session) {
        let Turn::At(at) = self.turn(session.number) else {
            return;
        };
        // The time may pass while many sessions are visited.
        let now = Instant::now();
        let is_told = if session.can_be_sent_away() {
            session.send_away(at.saturating_duration_since(now))
        } else {
            let may_close = self.may_close(at, now);
            if may_close {
                session.drain();
            }
            may_close
        };
        if is_told {
            self.turns.insert(session.number, Turn::Told);
        }
    }

    /// When a session goes. A new one goes after all others.
    fn turn(&mut self, session: u64) -> Turn {
        *self.turns.entry(session).or_insert_with(|| {
            let at = self.next;
            self.next += self.interval;
            Turn::At(at)
        })
    }

    /// Whether a connection whose turn is at `at` may be closed now. Those that one tick
    /// finds may be closed together, but not those of a longer delay.
    fn may_close(&mut self, at: Instant, now: Instant) -> bool {
        if now < at || now < self.next_close {
            return false;
        }
        let earliest = now.checked_sub(TICK).unwrap_or(now);
        self.next_close = self.next_close.max(earliest) + self.interval;
        true
    }
}

/// A number of clients, as a factor.
fn count(clients: usize) -> u32 {
    u32::try_from(clients).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENTS: usize = 5_000;
    const TIME: Duration = Duration::from_secs(20);
    const A_SECOND: usize = 250;

    /// The most instants within any second; they are sorted.
    fn most_a_second(times: &[Instant]) -> usize {
        let counts = times.iter().enumerate().map(|(position, at)| {
            let end = times.partition_point(|later| *later - *at < Duration::from_secs(1));
            end - position
        });
        counts.max().unwrap_or_default()
    }

    fn turns(schedule: &mut Schedule) -> Vec<Instant> {
        let turns = (0..CLIENTS).map(|number| match schedule.turn(number as u64) {
            Turn::At(at) => at,
            Turn::Told => unreachable!(),
        });
        turns.collect()
    }

    #[test]
    fn clients_that_are_late_by_a_tenth_of_a_second_do_not_exceed_the_rate() {
        let began = Instant::now();
        let mut schedule = Schedule::new(began, TIME, CLIENTS);
        let turns = turns(&mut schedule);
        assert_eq!(turns[0], began);
        let last = turns[CLIENTS - 1];
        assert!(last > began + TIME && last < schedule.end());
        // At each time all clients of a tenth of a second may go together.
        for stall in (0..50).map(|step| TIME * step / 50) {
            let (from, to) = (began + stall, began + stall + Duration::from_millis(100));
            let is_late = |at: &Instant| (from..to).contains(at);
            let go = turns.iter().map(|at| if is_late(at) { to } else { *at });
            let go: Vec<_> = go.collect();
            assert!(most_a_second(&go) <= A_SECOND, "{}", most_a_second(&go));
        }
    }

    /// Whatever the delays of the gateway are.
    #[test]
    fn connections_that_are_closed_late_do_not_exceed_the_rate() {
        let began = Instant::now();
        let mut schedule = Schedule::new(began, TIME, CLIENTS);
        let turns = turns(&mut schedule);
        let (mut now, mut closed) = (began, Vec::new());
        while closed.len() < CLIENTS {
            for at in &turns[closed.len()..] {
                if !schedule.may_close(*at, now) {
                    break;
                }
                closed.push(now);
            }
            // A tick in ten comes late, by up to two seconds.
            let delay = match fastrand::u8(..10) {
                0 => Duration::from_millis(fastrand::u64(..2_000)),
                _ => Duration::from_millis(fastrand::u64(..5)),
            };
            now += TICK + delay;
        }
        assert!(most_a_second(&closed) <= A_SECOND);
    }
}
