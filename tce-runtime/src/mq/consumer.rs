//! An endpoint's consumer task: from the broker to servants and pending calls.

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{MessageQueues, QueueReceiver};
use crate::{
    busy_poll::{BusyPoll, bytes_received},
    connection::{Connection, Inbound, InboundSource, ReadClock, ReadOutput, WriteBatch},
    in_flight::{InFlightCounter, millis, unix_millis},
    shutdown::{DRAIN_EVERY, ShutdownPhase, reached},
    transport::{
        batch::Batch,
        broker::Consumer,
        delivery::{AckBatcher, AckGuard, Delivery, DeliveryTracker},
    },
};

/// How many times [`Options::busy_poll_time`](crate::config::Options) a client of
/// a queue polls: a RETURN passes the broker, as does its CALL. With one call in
/// flight RabbitMQ answers within 200 µs, and polling gains 1.5 times the calls.
const POLL_FACTOR: u32 = 4;

/// How long all deliveries that the prefetch allows are served without an end
/// before the prefetch is extended. A servant that answers at once ends sooner.
const FULL_TIME: Duration = Duration::from_millis(10);

/// The prefetch of a consumer, extended while servants hold all of it.
///
/// Without that, as few slow calls as the prefetch allows would keep the broker
/// from delivering any other; and a prefetch that is large from the start would
/// give one of several servers calls that another could serve at once.
#[derive(Debug)]
struct Prefetch {
    base: usize,
    /// What the consumer has now; after a reconnect it is `base` again.
    current: usize,
    /// `served_calls`; `base` if it is fixed.
    max: usize,
    /// Since when `current` calls or more are served.
    full_since: Option<Instant>,
}

impl Prefetch {
    /// A `base` of 0 means no limit; one that is not less than `most` is not
    /// extended.
    fn new(base: u16, most: usize) -> Self {
        let base = usize::from(base);
        Self {
            base,
            current: base,
            max: most.clamp(base, u16::MAX.into()),
            full_since: None,
        }
    }

    /// Notes how many calls are served. Returns when the prefetch is due to be
    /// extended.
    fn served(&mut self, count: usize, now: impl FnOnce() -> Instant) -> Option<Instant> {
        if count < self.current || self.current == 0 || self.current >= self.max {
            self.full_since = None;
            return None;
        }
        let since = *self.full_since.get_or_insert_with(now);
        Some(since + FULL_TIME)
    }

    /// Doubles the prefetch.
    fn extend(&mut self) -> u16 {
        self.full_since = None;
        self.current = self.current.saturating_mul(2).min(self.max);
        u16::try_from(self.current).unwrap_or(u16::MAX)
    }

    /// Returns the original prefetch once at most half of it is used.
    fn shrink(&mut self, count: usize) -> Option<u16> {
        if self.current == self.base || count > self.base / 2 {
            return None;
        }
        self.current = self.base;
        u16::try_from(self.base).ok()
    }
}

/// What the consumer task of an endpoint works with.
#[derive(Debug)]
pub(super) struct ConsumerTask {
    pub(super) queues: Arc<MessageQueues>,
    pub(super) endpoint: String,
    pub(super) receiver: Arc<QueueReceiver>,
    /// Whether RETURNs of our calls arrive by this endpoint.
    pub(super) brings_returns: bool,
    /// The messages of this endpoint that are not done.
    pub(super) unfinished: InFlightCounter,
    pub(super) acks: Arc<AckBatcher>,
    pub(super) is_prefetch_fixed: bool,
}

impl ConsumerTask {
    /// Consumes until the program ends.
    pub(super) async fn run(self, mut consumer: Consumer, phase: watch::Receiver<ShutdownPhase>) {
        let longest = self.queues.settings.options.busy_poll_time;
        let longest = longest.filter(|_| self.brings_returns);
        let _polling =
            longest.and_then(|longest| BusyPoll::begin(longest.saturating_mul(POLL_FACTOR)));
        let (mut draining, mut terminating) = (phase.clone(), phase);
        tokio::select! {
            () = self.consume(&mut consumer, &mut draining) => {}
            () = reached(&mut terminating, ShutdownPhase::Terminating) => {}
        }
    }

    /// Consumes until a shutdown drains and everything that was begun is done.
    async fn consume(&self, consumer: &mut Consumer, phase: &mut watch::Receiver<ShutdownPhase>) {
        let (mut is_draining, mut is_open) = (false, true);
        let served_calls = self.queues.settings.options.connection.served_calls;
        let most = if self.is_prefetch_fixed {
            0
        } else {
            served_calls
        };
        let mut prefetch = Prefetch::new(consumer.prefetch(), most);
        // The connection to callers whose RETURNs can't leave now.
        let mut congested: Option<Connection> = None;
        loop {
            let served = self.unfinished.count();
            prefetch.current = consumer.extended_prefetch().into();
            let extended_at = prefetch.served(served, Instant::now);
            if let Some(base) = prefetch.shrink(served) {
                consumer.set_prefetch(base);
            }
            if is_draining && self.is_done(is_open) {
                // The last message to end has left its acknowledgement here.
                consumer.tell(&self.acks.take_ready());
                return consumer.close().await;
            }
            tokio::select! {
                biased;
                ready = self.acks.take() => consumer.tell(&ready),
                () = reached(phase, ShutdownPhase::Draining), if !is_draining => {
                    is_draining = true;
                    if !self.brings_returns {
                        consumer.cancel().await;
                    }
                }
                () = tokio::time::sleep(DRAIN_EVERY), if is_draining => {}
                () = sleep_until(extended_at), if extended_at.is_some() && !is_draining => {
                    consumer.set_prefetch(prefetch.extend());
                }
                () = until_uncongested(congested.as_ref()), if congested.is_some() => congested = None,
                delivery = consumer.next(), if is_open && congested.is_none() => match delivery {
                    Some(delivery) => congested = self.receive_and_poll(&delivery, is_draining),
                    None => is_open = false,
                },
            }
        }
    }

    fn is_done(&self, is_open: bool) -> bool {
        let has_all_returns = if self.brings_returns {
            self.queues.calls.waiting() == 0
        } else {
            !is_open
        };
        has_all_returns && self.unfinished.count() == 0
    }

    /// Handles a delivery. The thread polls for the next one only after the
    /// RETURN of a lone call: with more in flight, lapin's I/O thread and the
    /// broker need the core.
    ///
    /// Returns the connection to a caller if too many RETURNs wait there for the
    /// broker: no further CALL is to be taken meanwhile. RETURNs of our own calls
    /// are taken always.
    fn receive_and_poll(&self, delivery: &Delivery, is_draining: bool) -> Option<Connection> {
        let calls = &self.queues.calls;
        let was_alone = self.brings_returns && calls.waiting() == 1;
        let caller = self.receive(delivery, is_draining);
        if was_alone && calls.waiting() == 0 {
            bytes_received();
        }
        caller.filter(|caller| !self.brings_returns && caller.inner.channel.is_congested())
    }

    /// Handles the messages of a delivery; returns the connection to the last caller.
    fn receive(&self, delivery: &Delivery, is_draining: bool) -> Option<Connection> {
        let caller = Cell::new(None);
        let reply_connection = |queue: Option<&str>| {
            let connection = self
                .queues
                .reply_connection(queue, &self.endpoint, &self.receiver);
            caller.set(Some(connection.clone()));
            connection
        };
        let handler = self.receiver.handler.get();
        let inbound = Inbound {
            source: InboundSource::Queue {
                endpoint: &self.endpoint,
                reply_connection: &reply_connection,
                member: self.receiver.member.get().map(|member| &**member),
            },
            calls: &self.queues.calls,
            servants: self.receiver.servants.view(),
            handler,
            limits: &self.queues.settings.options.limits,
            deadline_tolerance: self.queues.settings.options.deadline_tolerance,
            is_draining,
            clock: ReadClock::default(),
        };
        // Forwarded messages leave when the whole delivery is handled.
        let mut output = ReadOutput::forwarding(handler.map(|_| WriteBatch::new()));
        let mut handle = |message: &[u8], guard: AckGuard| {
            inbound.handle(message, Some(guard), &mut output);
            inbound.complete_calls(&mut output);
        };
        let Delivery {
            ref body,
            expires_in,
            is_batch,
            ..
        } = *delivery;
        let tracker = |count| DeliveryTracker::of(count, delivery, &self.acks);
        if !is_batch {
            handle(body, tracker(1).ack_guard(&self.unfinished, expires_in));
            return caller.take();
        }
        let Some(batch) = Batch::parse(body) else {
            let guard = tracker(1).ack_guard(&self.unfinished, expires_in);
            inbound.drop_message("undecodable", "it is not a batch", Some(guard));
            return None;
        };
        let tracker = tracker(batch.count());
        // The sender's clock may differ from this one.
        let tolerance = millis(inbound.deadline_tolerance);
        let now = unix_millis();
        for entry in batch.entries() {
            let expires_at = entry.expires_at;
            let left = expires_at.map(|at| Duration::from_millis(at.saturating_sub(now)));
            let guard = tracker.ack_guard(&self.unfinished, left.or(expires_in));
            if expires_at.is_some_and(|at| at.saturating_add(tolerance) <= now) {
                let why = "its deadline in the batch has passed";
                inbound.drop_message("expired", why, Some(guard));
            } else {
                handle(entry.message, guard);
            }
        }
        caller.take()
    }
}

async fn until_uncongested(connection: Option<&Connection>) {
    if let Some(connection) = connection {
        connection.inner.channel.until_uncongested().await;
    }
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at.into()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefetch_that_servants_hold_is_doubled_up_to_the_calls_served_at_once() {
        let mut prefetch = Prefetch::new(64, 200);
        let start = Instant::now();
        assert_eq!(prefetch.served(63, || start), None);
        assert_eq!(prefetch.served(64, || start), Some(start + FULL_TIME));
        let later = start + FULL_TIME / 2;
        assert_eq!(prefetch.served(64, || later), Some(start + FULL_TIME));
        assert_eq!(prefetch.extend(), 128);
        assert_eq!(prefetch.served(64, || later), None);
        assert_eq!(prefetch.served(128, || later), Some(later + FULL_TIME));
        assert_eq!(prefetch.extend(), 200);
        assert_eq!(prefetch.served(200, || later), None);
    }

    #[test]
    fn an_extended_prefetch_returns_to_its_base_when_servants_have_ended() {
        let mut prefetch = Prefetch::new(64, 200);
        assert_eq!(prefetch.shrink(0), None);
        prefetch.extend();
        assert_eq!(prefetch.shrink(33), None);
        assert_eq!(prefetch.shrink(32), Some(64));
        assert_eq!(prefetch.shrink(0), None);
    }

    #[test]
    fn an_unlimited_prefetch_is_not_extended() {
        let mut prefetch = Prefetch::new(0, 200);
        assert_eq!(prefetch.served(5000, Instant::now), None);
        assert_eq!(prefetch.shrink(0), None);
    }
}
