//! An endpoint's publisher task: from the publish queue to the broker.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::watch;

use super::MessageQueues;
use crate::{
    config::MqEndpoint,
    connection::{Completion, LostReason, OutgoingMessage, PendingCalls, PublishQueue},
    error::ErrorCode,
    in_flight::{InFlightCounter, InFlightGuard, count_dropped, now},
    shutdown::{DRAIN_EVERY, ShutdownPhase, reached},
    transport::{
        batch::{self, Batch},
        broker::Publisher,
        delivery::{Publication, PublishError},
    },
    wire::{ExtraPart, KeySet, Limits, Marshal, PatchedExtra, Raw, RawMessage, Writer, reserved},
};

/// How many MQ messages may be unconfirmed at once.
const WINDOW: usize = 256;
/// The same for batches: one gathers while another is on its way.
const BATCH_WINDOW: usize = 2;
/// How many unconfirmed oneway calls are published before one round trip shows
/// that the broker has read them. A few hundred would make its
/// queue grow, and a message that waits in a queue costs the broker several times
/// what one costs that goes straight to a consumer.
const UNACKNOWLEDGED: usize = 32;
/// The size at which a batch is sent, in bytes.
const BATCH_SIZE: usize = 256 << 10;

/// How an endpoint publishes.
#[derive(Debug)]
struct PublishOptions {
    is_persistent: bool,
    in_batches: bool,
    /// The user whom each message names.
    user_id: Option<Arc<str>>,
}

impl MessageQueues {
    /// Spawns the publisher task of an endpoint; it begins once `opening` is
    /// ready.
    pub(super) fn spawn_publisher(
        &self,
        endpoint: &MqEndpoint,
        opening: impl Future<Output = Publisher> + Send + 'static,
    ) -> Arc<PublishQueue> {
        let limit = self.settings.options.connection.send_buffer;
        let names_user = self.settings.options.names_broker_user;
        let queue = Arc::new(PublishQueue::new(limit));
        let task = PublisherTask {
            queue: Arc::clone(&queue),
            calls: Arc::clone(&self.calls),
            served: self.served.clone(),
            options: PublishOptions {
                is_persistent: endpoint.address.durable,
                in_batches: endpoint.batch,
                user_id: names_user.then(|| endpoint.user.as_str().into()),
            },
            _running: self.publishers.begin(),
        };
        tokio::spawn(task.run(opening, self.phase.subscribe()));
        queue
    }
}

/// Fails calls at their deadlines. When it is dropped, as its runtime ends, the
/// calls that are left fail: also if its task has never run.
pub(super) struct DeadlineTask {
    pub(super) calls: Arc<PendingCalls>,
    pub(super) publishers: InFlightCounter,
}

impl DeadlineTask {
    /// Runs until the program ends and no task is left that could complete a call.
    pub(super) async fn run(self, phase: watch::Receiver<ShutdownPhase>) {
        let watching = async {
            loop {
                self.calls.await_deadline(None).await;
            }
        };
        let is_done = || self.calls.waiting() == 0 && self.publishers.count() == 0;
        tokio::select! {
            () = watching => {}
            () = until_drained(phase, is_done) => {}
        }
        self.publishers.fewer_than(1).await;
    }
}

impl Drop for DeadlineTask {
    fn drop(&mut self) {
        let reason = "the message queues of this communicator were closed".to_owned();
        self.calls.lose_all(LostReason::Ended(reason));
    }
}

/// Waits until a shutdown terminates, or drains and `is_done`.
async fn until_drained(phase: watch::Receiver<ShutdownPhase>, is_done: impl Fn() -> bool) {
    let mut draining = phase.clone();
    let drained = async {
        reached(&mut draining, ShutdownPhase::Draining).await;
        while !is_done() {
            tokio::time::sleep(DRAIN_EVERY).await;
        }
    };
    let mut terminating = phase;
    tokio::select! {
        () = drained => {}
        () = reached(&mut terminating, ShutdownPhase::Terminating) => {}
    }
}

/// The publisher task of an endpoint.
struct PublisherTask {
    queue: Arc<PublishQueue>,
    calls: Arc<PendingCalls>,
    served: InFlightCounter,
    options: PublishOptions,
    _running: InFlightGuard,
}

impl PublisherTask {
    /// Publishes until the program ends.
    async fn run(
        self,
        opening: impl Future<Output = Publisher>,
        phase: watch::Receiver<ShutdownPhase>,
    ) {
        // A servant that still runs has a RETURN to send.
        let is_done = || self.served.count() == 0 && self.queue.is_empty();
        tokio::select! {
            () = async { self.publish_all(opening.await).await } => {}
            () = until_drained(phase, is_done) => {}
        }
    }

    /// Publishes all that comes through the queue, over any number of
    /// connections to the broker. Never returns.
    async fn publish_all(&self, mut publisher: Publisher) {
        let mut again = Vec::new();
        loop {
            self.queue.set_connected();
            let lost = self.publish(&publisher, again).await;
            for completion in self.queue.set_reconnecting() {
                let text = "the broker went away before the call was sent";
                completion.fail(&self.calls, ErrorCode::SendFailed, text);
            }
            let survivors = |messages: Vec<InFlight>| -> Vec<_> {
                let messages = messages.into_iter();
                messages.filter_map(|it| self.keep_lost(it)).collect()
            };
            again = survivors(lost);
            publisher.recovered().await;
            // Callers may have given up in the meantime.
            again = survivors(again);
        }
    }

    /// What of a lost MQ message is sent again. Twoway calls in it fail now:
    /// whether they will be answered is unknown.
    fn keep_lost(&self, message: InFlight) -> Option<InFlight> {
        let text = "the broker went away while the call was sent";
        let code = ErrorCode::ConnectionLost;
        self.keep(message, code, text, Completion::is_answered)
    }

    /// What of an MQ message is sent once the broker accepts messages again. It was
    /// not sent: the calls in it whose callers wait fail now.
    fn keep_blocked(&self, message: InFlight, text: &str) -> Option<InFlight> {
        self.keep(message, ErrorCode::SendFailed, text, Completion::is_awaited)
    }

    /// Fails the calls of an MQ message that `fails` selects; returns the rest if it
    /// is to be sent again.
    fn keep(
        &self,
        mut message: InFlight,
        code: ErrorCode,
        text: &str,
        fails: impl Fn(&Completion) -> bool,
    ) -> Option<InFlight> {
        let failed = message.completions.extract_if(.., |it| fails(it));
        for completion in failed {
            completion.fail(&self.calls, code, text);
        }
        let is_expired = message.expires_at.is_some_and(|at| at <= now());
        if message.completions.iter().any(Completion::is_wanted) && !is_expired {
            return Some(message);
        }
        if is_expired {
            message
                .completions
                .iter()
                .for_each(|_| count_dropped("late_return"));
        }
        self.queue.settled(message.bytes);
        None
    }

    /// Publishes until the broker is lost; returns what was not confirmed.
    async fn publish(&self, publisher: &Publisher, again: Vec<InFlight>) -> Vec<InFlight> {
        let window = if self.options.in_batches {
            BATCH_WINDOW
        } else {
            WINDOW
        };
        // New futures are polled in the order in which they are pushed, and the
        // first poll writes the message: calls leave in order.
        let mut unconfirmed: FuturesUnordered<_> = again
            .into_iter()
            .map(|message| message.publish(publisher))
            .collect();
        let mut lost = Vec::new();
        // What the broker did not take because it accepts no messages.
        let mut held: Vec<InFlight> = Vec::new();
        let mut broker_lost = pin!(publisher.lost());
        let mut is_blocked = false;
        let mut unacknowledged = 0;
        loop {
            tokio::select! {
                biased;
                Some((message, result)) = unconfirmed.next() => match result {
                    Err(PublishError::Lost(reason)) => {
                        tracing::warn!("the broker was lost: {reason}");
                        lost.push(message);
                        break;
                    }
                    Err(error @ PublishError::Blocked(_)) => {
                        held.extend(self.keep_blocked(message, &error.to_string()));
                    }
                    Err(PublishError::Unroutable(_))
                        if !message.is_second_try && publisher.redeclare().await =>
                    {
                        // No queue has it.
                        let message = InFlight { is_second_try: true, was_sent: false, ..message };
                        unconfirmed.push(message.publish(publisher));
                    }
                    // The broker refuses one message by ending the channel for all,
                    // some of which it may have taken.
                    Err(PublishError::Refused(text))
                        if message.is_second_try || !publisher.redeclare().await =>
                    {
                        let is_certain = unconfirmed.is_empty() && lost.is_empty();
                        self.refused(message, &text, is_certain);
                        if !is_certain {
                            break;
                        }
                    }
                    Err(PublishError::Refused(_)) => {
                        lost.push(InFlight { is_second_try: true, ..message });
                        break;
                    }
                    result => self.settle(message, result),
                },
                () = &mut broker_lost => break,
                reason = publisher.blocked(), if !is_blocked => {
                    is_blocked = true;
                    self.blocked(&PublishError::Blocked(reason).to_string());
                }
                () = publisher.unblocked(), if is_blocked => {
                    is_blocked = false;
                    tracing::info!("the broker accepts messages again");
                    self.queue.set_connected();
                    unconfirmed.extend(held.drain(..).map(|message| message.publish(publisher)));
                }
                () = publisher.heard(),
                    if !is_blocked && unacknowledged >= UNACKNOWLEDGED && unconfirmed.is_empty() =>
                {
                    unacknowledged = 0;
                }
                taken = self.queue.take(),
                    if !is_blocked && unconfirmed.len() < window && unacknowledged < UNACKNOWLEDGED =>
                {
                    let mut waiting = taken;
                    while unconfirmed.len() < window && unacknowledged < UNACKNOWLEDGED
                        && let Some(message) = self.next_message(&mut waiting)
                    {
                        let is_oneway = !publisher.is_confirmed() && message.is_oneway();
                        unacknowledged += usize::from(is_oneway);
                        unconfirmed.push(message.publish(publisher));
                    }
                    if !waiting.is_empty() {
                        self.queue.put_back(waiting);
                    }
                }
            }
        }
        while let Some((message, result)) = unconfirmed.next().await {
            match result {
                Err(PublishError::Lost(_)) => lost.push(message),
                Err(PublishError::Refused(text)) if message.is_second_try => {
                    self.refused(message, &text, false);
                }
                Err(PublishError::Refused(_)) => lost.push(InFlight {
                    is_second_try: true,
                    ..message
                }),
                Err(error @ PublishError::Blocked(_)) => {
                    held.extend(self.keep_blocked(message, &error.to_string()));
                }
                result => self.settle(message, result),
            }
        }
        lost.extend(held);
        lost
    }

    /// The broker accepts no messages: callers that wait are told.
    fn blocked(&self, text: &str) {
        tracing::warn!("{text}");
        for completion in self.queue.set_blocked(text.into()) {
            completion.fail(&self.calls, ErrorCode::SendFailed, text);
        }
    }

    /// Fails the calls in a message that the broker refused; `is_certain` if it is
    /// the one that was refused.
    fn refused(&self, message: InFlight, text: &str, is_certain: bool) {
        let error = PublishError::Refused(text.to_owned());
        match is_certain {
            true => self.settle(message, Err(error)),
            false => {
                let text = error.to_string();
                let code = ErrorCode::ConnectionLost;
                if let Some(message) = self.keep(message, code, &text, Completion::is_awaited) {
                    self.settle(message, Err(error));
                }
            }
        }
    }

    /// The next MQ message: one message as it is, or several in a batch.
    fn next_message(&self, waiting: &mut VecDeque<OutgoingMessage>) -> Option<InFlight> {
        let mut message = InFlight::new(self.next_wanted(waiting)?, &self.options);
        if !self.options.in_batches {
            return Some(message);
        }
        // The broker returns a mandatory message as a whole.
        while message.bytes < BATCH_SIZE
            && !message.publication.is_mandatory
            && waiting
                .front()
                .is_some_and(|next| next.queue == message.publication.queue && !next.is_mandatory)
            && let Some(next) = self.next_wanted(waiting)
        {
            message.add(next);
        }
        Some(message)
    }

    /// The next message whose caller has not given it up, and whose time has not
    /// passed.
    fn next_wanted(&self, waiting: &mut VecDeque<OutgoingMessage>) -> Option<OutgoingMessage> {
        loop {
            let next = waiting.pop_front()?;
            let is_expired = next.expires_at.is_some_and(|at| at <= now());
            if !is_expired && next.completion.take() {
                return Some(next);
            }
            self.queue.settled(next.body.len());
            if is_expired {
                let is_return = matches!(next.completion, Completion::Return);
                count_dropped(if is_return { "late_return" } else { "expired" });
                let text = "the deadline passed before the broker took the call";
                next.completion.fail(&self.calls, ErrorCode::Timeout, text);
            }
        }
    }

    /// Reports the result of an MQ message to the callers of the messages in it.
    fn settle(&self, message: InFlight, result: Result<(), PublishError>) {
        self.queue.settled(message.bytes);
        let failure = result.err().map(|error| error.to_string());
        for completion in message.completions {
            match (completion, &failure) {
                (Completion::Confirmed(call), None) => call.complete(Ok(())),
                (Completion::Unconfirmed | Completion::Return, Some(text)) => {
                    count_dropped("unpublished");
                    tracing::warn!("a message was dropped: {text}");
                }
                (completion, Some(text)) => {
                    completion.fail(&self.calls, ErrorCode::SendFailed, text);
                }
                (_, None) => {}
            }
        }
    }
}

impl Drop for PublisherTask {
    /// Also when the runtime ends under the task: later calls fail at once.
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// One MQ message on its way, with the completions of the messages in it.
struct InFlight {
    publication: Publication,
    completions: Vec<Completion>,
    bytes: usize,
    expires_at: Option<Instant>,
    /// Whether its queue was declared again since it was refused.
    is_second_try: bool,
    /// Whether the broker may have it.
    was_sent: bool,
}

impl InFlight {
    fn new(message: OutgoingMessage, options: &PublishOptions) -> Self {
        Self {
            bytes: message.body.len(),
            expires_at: message.expires_at,
            completions: vec![message.completion],
            publication: Publication {
                body: message.body,
                queue: message.queue,
                is_persistent: options.is_persistent,
                expires_in: None,
                is_batch: false,
                is_mandatory: message.is_mandatory,
                user_id: options.user_id.clone(),
                deliveries: 0,
            },
            is_second_try: false,
            was_sent: false,
        }
    }

    /// Whether a oneway call is in it. The number of twoway calls and RETURNs is
    /// bounded by their callers; that of oneway calls is not.
    fn is_oneway(&self) -> bool {
        let mut completions = self.completions.iter();
        completions.any(|it| matches!(it, Completion::Unconfirmed))
    }

    /// Adds a message; the first one becomes an entry of the batch then.
    fn add(&mut self, message: OutgoingMessage) {
        if !self.publication.is_batch {
            let capacity = BATCH_SIZE.min(2 * (self.bytes + message.body.len()));
            let mut body = Vec::with_capacity(capacity);
            let left = self.expires_at.map(time_left);
            batch::append(&mut body, &self.publication.body, left);
            self.publication.body = body;
            self.publication.is_batch = true;
        }
        let left = message.expires_at.map(time_left);
        batch::append(&mut self.publication.body, &message.body, left);
        self.bytes += message.body.len();
        self.completions.push(message.completion);
        // The batch lives as long as its longest-lived message.
        self.expires_at = match (self.expires_at, message.expires_at) {
            (Some(one), Some(other)) => Some(one.max(other)),
            _ => None,
        };
    }

    async fn publish(mut self, publisher: &Publisher) -> (Self, Result<(), PublishError>) {
        self.publication.expires_in = self.expires_at.map(time_left);
        if self.was_sent {
            self.mark_redelivered();
        }
        let result = publisher.publish(&self.publication).await;
        self.was_sent |= !matches!(result, Err(PublishError::Blocked(_)));
        (self, result)
    }

    /// Marks the CALLs in it: the broker may deliver them twice.
    fn mark_redelivered(&mut self) {
        let body = &mut self.publication.body;
        let mut marked = Vec::with_capacity(body.len() + REDELIVERED_SIZE);
        if !self.publication.is_batch {
            append_redelivered(&mut marked, body);
        } else if let Some(batch) = Batch::parse(body) {
            for entry in batch.entries() {
                let mut message = Vec::with_capacity(entry.message.len() + REDELIVERED_SIZE);
                append_redelivered(&mut message, entry.message);
                batch::append_at(&mut marked, &message, entry.expires_at);
            }
        }
        *body = marked;
    }
}

/// What the mark of a redelivered CALL takes, in bytes.
const REDELIVERED_SIZE: usize = 4 + reserved::REDELIVERED.len() + 4 + 1;

/// Appends a message; a CALL with `__redelivered__`.
fn append_redelivered(out: &mut Vec<u8>, message: &[u8]) {
    // This program has marshalled it, within its own limits.
    let limits = Limits {
        max_extra_entries: usize::MAX,
        max_extra_bytes: usize::MAX,
        ..Limits::default()
    };
    match RawMessage::parse(message, &limits) {
        Ok(raw) if raw.header.calltype.is_call() => {
            let mut out = Writer::new(out);
            raw.header.marshal(&mut out);
            let extra = PatchedExtra {
                of: raw.extra,
                without: KeySet::REDELIVERED,
                with: &[ExtraPart::Pair(reserved::REDELIVERED, "1")],
            };
            extra.marshal(&mut out);
            Raw(raw.params).marshal(&mut out);
        }
        _ => out.extend_from_slice(message),
    }
}

/// The time until `at`, at least a millisecond: a broker drops a message that
/// expires after 0 unless a consumer is ready for it.
fn time_left(at: Instant) -> Duration {
    at.saturating_duration_since(now())
        .max(Duration::from_millis(1))
}
