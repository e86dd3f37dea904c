//! An endpoint's publisher: from the outlet to the broker.

use std::{
    collections::VecDeque,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::{
    connection::{Calls, Outgoing, Outlet, Purpose},
    error::ErrorCode,
    transport::mq::{Parcel, PublishError, Publisher, batch},
};

/// The MQ messages that may be under way to the broker at once.
const WINDOW: usize = 256;
/// The same for batches: one gathers while another is under way.
const BATCH_WINDOW: usize = 2;
/// The messages that may leave with neither a confirmation nor a RETURN to come
/// before the broker has said that it has read them. A few hundred already make
/// its queue grow, and what waits in a queue costs it several times what goes
/// straight on to a reader.
const UNHEARD: usize = 32;
/// The size at which a batch is full.
const BATCH_SIZE: usize = 256 << 10;

/// How an endpoint publishes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) is_persistent: bool,
    pub(super) in_batches: bool,
}

/// One MQ message under way, with who waits for each message in it.
struct Flight {
    parcel: Parcel,
    purposes: Vec<Purpose>,
    bytes: usize,
    expires_at: Option<Instant>,
    /// Whether its queue was declared again once.
    is_second_try: bool,
}

/// Publishes what comes through `outlet`, for ever.
pub(super) async fn run(outlet: &Outlet, mut publisher: Publisher, calls: &Calls, manner: Manner) {
    let mut again = Vec::new();
    loop {
        outlet.up();
        let lost = publish(outlet, &publisher, calls, manner, again).await;
        for purpose in outlet.away() {
            let text = "the broker went away before the call was sent";
            purpose.fail(calls, ErrorCode::SendFailed, text);
        }
        let survivors = |flights: Vec<Flight>| -> Vec<_> {
            let flights = flights.into_iter();
            flights
                .filter_map(|flight| survive(outlet, calls, flight))
                .collect()
        };
        again = survivors(lost);
        publisher.recovered().await;
        // Callers may have given up in the meantime.
        again = survivors(again);
    }
}

/// What of a lost flight is sent again. A twoway call in it fails now: whether
/// it will be answered nobody knows.
fn survive(outlet: &Outlet, calls: &Calls, mut flight: Flight) -> Option<Flight> {
    for purpose in flight
        .purposes
        .extract_if(.., |purpose| purpose.is_answered())
    {
        let text = "the broker went away while the call was sent";
        purpose.fail(calls, ErrorCode::ConnectionLost, text);
    }
    if flight.purposes.iter().any(Purpose::is_wanted) {
        return Some(flight);
    }
    outlet.settled(flight.bytes);
    None
}

/// Publishes until the broker is lost; returns what was not confirmed.
async fn publish(
    outlet: &Outlet,
    publisher: &Publisher,
    calls: &Calls,
    manner: Manner,
    again: Vec<Flight>,
) -> Vec<Flight> {
    let window = if manner.in_batches {
        BATCH_WINDOW
    } else {
        WINDOW
    };
    // New ones are polled in the order in which they are pushed, and a poll
    // gives them their place in the channel: calls leave in order.
    let mut flights: FuturesUnordered<_> = again
        .into_iter()
        .map(|flight| fly(publisher, flight))
        .collect();
    let mut lost = Vec::new();
    let mut gone = pin!(publisher.lost());
    let mut unheard = 0;
    loop {
        tokio::select! {
            biased;
            Some((flight, result)) = flights.next() => match result {
                Err(PublishError::Lost(reason)) => {
                    tracing::warn!("the broker was lost: {reason}");
                    lost.push(flight);
                    break;
                }
                Err(PublishError::Unroutable(_) | PublishError::Refused(_))
                    if !flight.is_second_try && publisher.redeclare().await =>
                {
                    flights.push(fly(publisher, Flight { is_second_try: true, ..flight }));
                }
                settled => settle(outlet, calls, flight, settled),
            },
            () = &mut gone => break,
            () = publisher.heard(), if unheard >= UNHEARD && flights.is_empty() => unheard = 0,
            taken = outlet.take(), if flights.len() < window && unheard < UNHEARD => {
                let mut waiting = taken;
                while flights.len() < window && unheard < UNHEARD
                    && let Some(flight) = next_flight(&mut waiting, outlet, manner)
                {
                    unheard += usize::from(!publisher.is_confirmed() && !flight.is_answered());
                    flights.push(fly(publisher, flight));
                }
                if !waiting.is_empty() {
                    outlet.put_back(waiting);
                }
            }
        }
    }
    while let Some((flight, result)) = flights.next().await {
        match result {
            Err(PublishError::Lost(_)) => lost.push(flight),
            // What the broker has against one message ends the channel for all.
            Err(PublishError::Refused(_)) if !flight.is_second_try => lost.push(Flight {
                is_second_try: true,
                ..flight
            }),
            settled => settle(outlet, calls, flight, settled),
        }
    }
    lost
}

async fn fly(publisher: &Publisher, mut flight: Flight) -> (Flight, Result<(), PublishError>) {
    flight.parcel.expires_in = flight.expires_at.map(time_left);
    let result = publisher.publish(&flight.parcel).await;
    (flight, result)
}

/// At least a millisecond: zero would mean "now or never" to a broker.
fn time_left(at: Instant) -> Duration {
    at.saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

/// The next MQ message: one message as it is, or several in a batch.
fn next_flight(
    waiting: &mut VecDeque<Outgoing>,
    outlet: &Outlet,
    manner: Manner,
) -> Option<Flight> {
    let first = next_wanted(waiting, outlet)?;
    let mut flight = Flight {
        bytes: first.body.len(),
        expires_at: first.expires_at,
        purposes: vec![first.purpose],
        parcel: Parcel {
            body: first.body,
            queue: first.queue,
            is_persistent: manner.is_persistent,
            expires_in: None,
            is_batch: false,
        },
        is_second_try: false,
    };
    if !manner.in_batches {
        return Some(flight);
    }
    while flight.bytes < BATCH_SIZE
        && waiting
            .front()
            .is_some_and(|next| next.queue == flight.parcel.queue)
        && let Some(next) = next_wanted(waiting, outlet)
    {
        flight.add(next);
    }
    Some(flight)
}

/// The next message whose caller has not given it up.
fn next_wanted(waiting: &mut VecDeque<Outgoing>, outlet: &Outlet) -> Option<Outgoing> {
    loop {
        let next = waiting.pop_front()?;
        if !matches!(&next.purpose, Purpose::Confirmed(caller) if caller.is_closed()) {
            return Some(next);
        }
        outlet.settled(next.body.len());
    }
}

impl Flight {
    /// Whether all of it are twoway calls, of which callers have only so many
    /// under way.
    fn is_answered(&self) -> bool {
        self.purposes.iter().all(Purpose::is_answered)
    }

    /// Adds a message; the first one becomes an entry of the batch then.
    fn add(&mut self, message: Outgoing) {
        if !self.parcel.is_batch {
            let mut body =
                Vec::with_capacity(BATCH_SIZE.min(2 * (self.bytes + message.body.len())));
            batch::append(&mut body, &self.parcel.body, self.expires_at.map(time_left));
            self.parcel.body = body;
            self.parcel.is_batch = true;
        }
        batch::append(
            &mut self.parcel.body,
            &message.body,
            message.expires_at.map(time_left),
        );
        self.bytes += message.body.len();
        self.purposes.push(message.purpose);
        // The batch lives as long as its longest-lived message.
        self.expires_at = match (self.expires_at, message.expires_at) {
            (Some(one), Some(other)) => Some(one.max(other)),
            _ => None,
        };
    }
}

/// Tells everyone who waits what became of a flight.
fn settle(outlet: &Outlet, calls: &Calls, flight: Flight, result: Result<(), PublishError>) {
    outlet.settled(flight.bytes);
    let failure = result.err().map(|error| error.to_string());
    for purpose in flight.purposes {
        match (purpose, &failure) {
            (Purpose::Confirmed(caller), None) => {
                // Who no longer waits does not care.
                let _ = caller.send(Ok(()));
            }
            (Purpose::Unconfirmed, Some(text)) => {
                metrics::counter!("tce_messages_dropped_total", "reason" => "unpublished")
                    .increment(1);
                tracing::warn!("a message was dropped: {text}");
            }
            (purpose, Some(text)) => purpose.fail(calls, ErrorCode::SendFailed, text),
            (_, None) => {}
        }
    }
}
