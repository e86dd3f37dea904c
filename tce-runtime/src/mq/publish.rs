//! An endpoint's publisher: from the publish_queue to the broker.

use std::{
    collections::VecDeque,
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::{
    connection::{Completion, OutgoingMessage, PendingCalls, PublishQueue},
    error::ErrorCode,
    transport::{
        batch,
        broker::Publisher,
        delivery::{Publication, PublishError},
    },
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
pub(super) struct PublishOptions {
    pub(super) is_persistent: bool,
    pub(super) in_batches: bool,
}

/// One MQ message under way, with who waits for each message in it.
struct InFlight {
    parcel: Publication,
    purposes: Vec<Completion>,
    bytes: usize,
    expires_at: Option<Instant>,
    /// Whether its queue was declared again once.
    is_second_try: bool,
}

/// Publishes what comes through `publish_queue`, for ever.
pub(super) async fn run(
    publish_queue: &PublishQueue,
    mut publisher: Publisher,
    calls: &PendingCalls,
    manner: PublishOptions,
) {
    let mut again = Vec::new();
    loop {
        publish_queue.up();
        let lost = publish(publish_queue, &publisher, calls, manner, again).await;
        for completion in publish_queue.away() {
            let text = "the broker went away before the call was sent";
            completion.fail(calls, ErrorCode::SendFailed, text);
        }
        let survivors = |flights: Vec<InFlight>| -> Vec<_> {
            let flights = flights.into_iter();
            flights
                .filter_map(|flight| survive(publish_queue, calls, flight))
                .collect()
        };
        again = survivors(lost);
        publisher.recovered().await;
        // ReplyRoutes may have given up in the meantime.
        again = survivors(again);
    }
}

/// What of a lost flight is sent again. A twoway call in it fails now: whether
/// it will be answered nobody knows.
fn survive(
    publish_queue: &PublishQueue,
    calls: &PendingCalls,
    mut flight: InFlight,
) -> Option<InFlight> {
    for completion in flight
        .purposes
        .extract_if(.., |completion| completion.is_answered())
    {
        let text = "the broker went away while the call was sent";
        completion.fail(calls, ErrorCode::ConnectionLost, text);
    }
    if flight.purposes.iter().any(Completion::is_wanted) {
        return Some(flight);
    }
    publish_queue.settled(flight.bytes);
    None
}

/// Publishes until the broker is lost; returns what was not confirmed.
async fn publish(
    publish_queue: &PublishQueue,
    publisher: &Publisher,
    calls: &PendingCalls,
    manner: PublishOptions,
    again: Vec<InFlight>,
) -> Vec<InFlight> {
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
                    flights.push(fly(publisher, InFlight { is_second_try: true, ..flight }));
                }
                settled => settle(publish_queue, calls, flight, settled),
            },
            () = &mut gone => break,
            () = publisher.heard(), if unheard >= UNHEARD && flights.is_empty() => unheard = 0,
            taken = publish_queue.take(), if flights.len() < window && unheard < UNHEARD => {
                let mut waiting = taken;
                while flights.len() < window && unheard < UNHEARD
                    && let Some(flight) = next_flight(&mut waiting, publish_queue, manner)
                {
                    unheard += usize::from(!publisher.is_confirmed() && !flight.is_answered());
                    flights.push(fly(publisher, flight));
                }
                if !waiting.is_empty() {
                    publish_queue.put_back(waiting);
                }
            }
        }
    }
    while let Some((flight, result)) = flights.next().await {
        match result {
            Err(PublishError::Lost(_)) => lost.push(flight),
            // What the broker has against one message ends the channel for all.
            Err(PublishError::Refused(_)) if !flight.is_second_try => lost.push(InFlight {
                is_second_try: true,
                ..flight
            }),
            settled => settle(publish_queue, calls, flight, settled),
        }
    }
    lost
}

async fn fly(publisher: &Publisher, mut flight: InFlight) -> (InFlight, Result<(), PublishError>) {
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
    waiting: &mut VecDeque<OutgoingMessage>,
    publish_queue: &PublishQueue,
    manner: PublishOptions,
) -> Option<InFlight> {
    let first = next_wanted(waiting, publish_queue)?;
    let mut flight = InFlight {
        bytes: first.body.len(),
        expires_at: first.expires_at,
        purposes: vec![first.completion],
        parcel: Publication {
            body: first.body,
            queue: first.queue,
            is_persistent: manner.is_persistent,
            expires_in: None,
            is_batch: false,
            user_id: None,
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
        && let Some(next) = next_wanted(waiting, publish_queue)
    {
        flight.add(next);
    }
    Some(flight)
}

/// The next message whose caller has not given it up.
fn next_wanted(
    waiting: &mut VecDeque<OutgoingMessage>,
    publish_queue: &PublishQueue,
) -> Option<OutgoingMessage> {
    loop {
        let next = waiting.pop_front()?;
        if !matches!(&next.completion, Completion::Confirmed(caller) if caller.is_closed()) {
            return Some(next);
        }
        publish_queue.settled(next.body.len());
    }
}

impl InFlight {
    /// Whether all of it are twoway calls, of which callers have only so many
    /// under way.
    fn is_answered(&self) -> bool {
        self.purposes.iter().all(Completion::is_answered)
    }

    /// Adds a message; the first one becomes an entry of the batch then.
    fn add(&mut self, message: OutgoingMessage) {
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
        self.purposes.push(message.completion);
        // The batch lives as long as its longest-lived message.
        self.expires_at = match (self.expires_at, message.expires_at) {
            (Some(one), Some(other)) => Some(one.max(other)),
            _ => None,
        };
    }
}

/// Tells everyone who waits what became of a flight.
fn settle(
    publish_queue: &PublishQueue,
    calls: &PendingCalls,
    flight: InFlight,
    result: Result<(), PublishError>,
) {
    publish_queue.settled(flight.bytes);
    let failure = result.err().map(|error| error.to_string());
    for completion in flight.purposes {
        match (completion, &failure) {
            (Completion::Confirmed(caller), None) => {
                // Who no longer waits does not care.
                let _ = caller.send(Ok(()));
            }
            (Completion::Unconfirmed, Some(text)) => {
                metrics::counter!("tce_messages_dropped_total", "reason" => "unpublished")
                    .increment(1);
                tracing::warn!("a message was dropped: {text}");
            }
            (completion, Some(text)) => completion.fail(calls, ErrorCode::SendFailed, text),
            (_, None) => {}
        }
    }
}
