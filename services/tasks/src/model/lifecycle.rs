//! What may happen to a task, and what follows from it.

use std::{cmp::Ordering, fmt};

use tce_runtime::wire::{DecodeError, Marshal, Reader, Unmarshal, Writer};
use uuid::Uuid;

use super::{
    OptionError, Priority, Status, TaskOptions, WorkflowStep,
    workflow::{MAX_NAME, is_name},
};
use crate::idl::tasks::{Lease, Outcome, Record, Step, Task};

/// The largest body of a task: 1 MiB.
pub const MAX_BODY: usize = 1 << 20;
/// The most bytes of the options.
const MAX_OPTIONS: usize = 64 << 10;
/// The most bytes of an error and of a note that are kept.
const MAX_TEXT: usize = 8 << 10;
/// A task that has ended its workers this often is dead.
pub const MAX_DEATHS: i32 = 3;
/// How long an entry is kept after its task has ended, even if no reader may see it: so long a task
/// that is sent or delivered again runs no second time.
const FENCE_MS: i64 = 3_600_000;
/// How long a unique key is held after its task was due or began an attempt.
const CLAIM_MS: i64 = 3_600_000;
/// The options that a task keeps in all its steps.
const KEPT_OPTIONS: [&str; 2] = ["steps", "unique"];

/// The status of a step that has not begun.
const WAITING: &str = "waiting";
/// The status of a step whose servant has returned.
const SUCCESS: &str = "success";
/// The body after a step that returns nothing, and its content type.
const NO_ARGUMENTS: (&str, &[u8]) = ("application/json", b"[]");

/// Why a task is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The id is not a UUID.
    #[error("`{0}` is not the id of a task: expected a UUID")]
    Id(String),
    /// A name is empty or too long.
    #[error("the name of the {0} must have 1 to {MAX_NAME} bytes")]
    Name(&'static str),
    /// Body or options are too large: what, its size, its limit, in bytes.
    #[error("the {0} of the task has {1} bytes: the limit is {2}")]
    TooLarge(&'static str, usize, usize),
    /// An option is wrong.
    #[error("{0}")]
    Option(#[from] OptionError),
}

/// Parses the id of a task.
///
/// # Errors
/// The text is not a UUID.
pub fn parse_id(text: &str) -> Result<u128, Refusal> {
    let parsed = Uuid::try_parse(text).map_err(|_| Refusal::Id(text.to_owned()))?;
    Ok(parsed.as_u128())
}

/// Where the queue holds a task. Times are Unix time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waits in its group until `due_ms`; tasks that are due at the same time run in the order of
    /// `sequence`.
    Queued {
        /// When an attempt may begin.
        due_ms: i64,
        /// The order of arrival.
        sequence: u64,
    },
    /// A worker has it until `until_ms`; `i64::MAX` as long as the process of the queue lives.
    Leased {
        /// When the lease ends.
        until_ms: i64,
    },
    /// It has ended; the record is kept until `until_ms`.
    Ended {
        /// When the entry is removed; readers may see the record for a shorter time.
        until_ms: i64,
    },
    /// It has ended as dead; it is kept, with its arguments, until it is requeued.
    Dead,
}

/// A task with its record, as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The task as it was sent. Its body is emptied when the task ends.
    pub task: Task,
    /// What readers see.
    pub record: Record,
    /// Where the queue holds it.
    pub phase: Phase,
    /// The step of a workflow that runs or waits, from 0.
    pub step: i32,
    /// Attempts of the step that have ended and count as such.
    pub attempt: i32,
    /// Retries in all; a servant may change it.
    pub retries: i32,
    /// Leases so far.
    pub delivery: i32,
    /// Until when an abort is requested; 0 if it is not.
    pub abort_until_ms: i64,
}

/// What follows when a worker is about to begin an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Begin {
    /// The worker runs it.
    Run(Box<Lease>),
    /// The task has ended instead: expired, or aborted.
    Ended,
}

/// What follows when a broker delivers the message of a task.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrival {
    /// The worker runs it.
    Run(Box<Lease>),
    /// The task has ended instead: expired, aborted, or dead.
    Ended,
    /// The attempt has begun or ended before, or the task has ended: the message is dropped.
    Stale,
}

/// What follows from the outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishAnswer {
    /// The lease has ended before: the outcome is dropped.
    Stale,
    /// The task has ended.
    Ended,
    /// The task is queued again.
    Again,
}

/// What an abort has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortAnswer {
    /// No attempt had begun: the task is aborted and never runs.
    Done,
    /// The running attempt is told, and no further one begins.
    Requested,
    /// The task had ended with this status.
    Finished(Status),
}

impl FinishAnswer {
    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let answers = [Self::Stale, Self::Ended, Self::Again];
        answers.into_iter().find(|it| it.to_string() == text)
    }
}

impl fmt::Display for FinishAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stale => "stale",
            Self::Ended => "ended",
            Self::Again => "queued",
        })
    }
}

impl AbortAnswer {
    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "done" => Some(Self::Done),
            "requested" => Some(Self::Requested),
            text => {
                let number = text.strip_prefix("finished ")?.parse().ok()?;
                Status::from_number(number).map(Self::Finished)
            }
        }
    }
}

impl fmt::Display for AbortAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Requested => f.write_str("requested"),
            Self::Finished(status) => write!(f, "finished {}", status.number()),
        }
    }
}

impl Entry {
    /// The entry of a task that is sent at `now_ms`.
    ///
    /// # Errors
    /// The task breaks a limit, or an option is wrong.
    pub fn new(task: Task, now_ms: i64, sequence: u64) -> Result<Self, Refusal> {
        parse_id(&task.id)?;
        for (what, name) in [("group", &task.group), ("operation", &task.operation)] {
            if !is_name(name) {
                return Err(Refusal::Name(what));
            }
        }
        if task.body.len() > MAX_BODY {
            return Err(Refusal::TooLarge("body", task.body.len(), MAX_BODY));
        }
        let size = task
            .options
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        if size > MAX_OPTIONS {
            return Err(Refusal::TooLarge("options", size, MAX_OPTIONS));
        }
        let options = TaskOptions::from_pairs(&task.options)?;
        let due_ms = signed(options.run_at_ms).max(now_ms);
        let steps = options.steps.iter().map(|step| Step {
            group: step.group.clone(),
            operation: step.operation.clone(),
            status: WAITING.to_owned(),
        });
        let record = Record {
            id: task.id.clone(),
            group: task.group.clone(),
            operation: task.operation.clone(),
            changed_ms: now_ms,
            steps: steps.collect(),
            ..Record::default()
        };
        Ok(Self {
            task,
            record,
            phase: Phase::Queued { due_ms, sequence },
            step: 0,
            attempt: 0,
            retries: i32::try_from(options.retries).unwrap_or(i32::MAX),
            delivery: 0,
            abort_until_ms: 0,
        })
    }

    /// The status in the record.
    #[must_use]
    pub fn status(&self) -> Status {
        // A stored record has a status that this module has written.
        Status::from_number(self.record.status).unwrap_or(Status::Failure)
    }

    /// Whether it waits in its group.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        matches!(self.phase, Phase::Queued { .. })
    }

    /// How statistics count it: `queued`, `delayed`, `running`, `dead`, or its final status.
    #[must_use]
    pub fn state(&self, now_ms: i64) -> String {
        match self.phase {
            Phase::Queued { due_ms, .. } if due_ms > now_ms => "delayed".to_owned(),
            Phase::Queued { .. } => "queued".to_owned(),
            Phase::Leased { .. } => "running".to_owned(),
            Phase::Ended { .. } => self.status().to_string(),
            Phase::Dead => "dead".to_owned(),
        }
    }

    /// The options, which were checked when the task was sent.
    fn options(&self) -> TaskOptions {
        TaskOptions::from_pairs(&self.task.options).unwrap_or_default()
    }

    /// A worker is about to begin an attempt, with a lease of `lease_ms` (0: no end).
    pub fn begin(&mut self, now_ms: i64, lease_ms: i32) -> Begin {
        if self.is_abort_requested(now_ms) {
            self.end(Status::Aborted, "aborted before it began", now_ms);
            return Begin::Ended;
        }
        let expires_at = self.options().expires_at_ms.map_or(i64::MAX, signed);
        if now_ms > expires_at {
            self.end(Status::Expired, "expired before it began", now_ms);
            return Begin::Ended;
        }
        self.delivery = self.delivery.saturating_add(1);
        self.phase = Phase::Leased {
            until_ms: lease_end(now_ms, lease_ms),
        };
        let status = match (self.step, self.attempt) {
            (0, 0) => Status::FirstRunning,
            _ => Status::Running,
        };
        self.set_status(status, now_ms);
        Begin::Run(Box::new(Lease {
            task: self.task.clone(),
            step: self.step,
            attempt: self.attempt,
            delivery: self.delivery,
            lease_ms,
        }))
    }

    /// A broker that counts deliveries itself has delivered the message of an attempt, which `message`
    /// is the entry of: its delivery number grows, over all messages of the task.
    pub fn arrive(&mut self, message: &Self, delivery: i32, now_ms: i64, lease_ms: i32) -> Arrival {
        let is_later = (message.step, message.attempt, delivery) > self.fence();
        if self.status().is_final() || !is_later {
            return Arrival::Stale;
        }
        if (message.step, message.attempt) == (self.step, self.attempt) {
            self.lose_lease(now_ms, 0);
        } else {
            // The end of the attempt before it was not stored: its worker died after it had published
            // this message.
            if message.step > self.step {
                self.enter(message.step, message.task.clone());
            }
            self.attempt = message.attempt;
            self.record.retries = message.attempt;
        }
        // `begin` counts this delivery.
        self.delivery = delivery.saturating_sub(1);
        if self.phase == Phase::Dead {
            return Arrival::Ended;
        }
        match self.begin(now_ms, lease_ms) {
            Begin::Run(lease) => Arrival::Run(lease),
            Begin::Ended => Arrival::Ended,
        }
    }

    /// What grows with each lease: an outcome of another lease is stale.
    fn fence(&self) -> (i32, i32, i32) {
        (self.step, self.attempt, self.delivery)
    }

    /// Whether the stored entry `other` says more than this one: a later step, attempt or delivery, or
    /// the end of the task.
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        other.status().is_final() || other.fence() > self.fence()
    }

    /// Whether a lease is the present one.
    #[must_use]
    pub fn has_lease(&self, lease: &Lease) -> bool {
        matches!(self.phase, Phase::Leased { .. })
            && (lease.step, lease.attempt, lease.delivery) == self.fence()
    }

    /// Extends the present lease and sets the progress, unless `percent` is negative. Returns whether the worker should go on.
    pub fn extend(&mut self, lease: &Lease, percent: i32, note: &str, now_ms: i64) -> bool {
        if !self.has_lease(lease) {
            return false;
        }
        if let Phase::Leased { until_ms } = &mut self.phase
            && *until_ms != i64::MAX
        {
            *until_ms = lease_end(now_ms, lease.lease_ms.max(1));
        }
        if percent >= 0 {
            self.record.percent = percent.min(100);
            truncated(note).clone_into(&mut self.record.note);
        }
        self.should_go_on(lease, now_ms)
    }

    /// Whether the attempt with this lease should go on: no other worker has the task, and no abort is
    /// requested.
    #[must_use]
    pub fn should_go_on(&self, lease: &Lease, now_ms: i64) -> bool {
        self.has_lease(lease) && !self.is_abort_requested(now_ms)
    }

    /// The outcome of an attempt; `random` is between 0 and `u32::MAX`.
    pub fn finish(
        &mut self,
        lease: &Lease,
        outcome: Outcome,
        now_ms: i64,
        sequence: u64,
        random: u32,
    ) -> FinishAnswer {
        if !self.has_lease(lease) {
            return FinishAnswer::Stale;
        }
        if outcome.retries >= 0 {
            self.retries = outcome.retries;
        }
        match Status::from_number(outcome.status) {
            Some(Status::Success) => {
                if let Some(next) = self.next_step() {
                    return self.advance(next, outcome, now_ms, sequence);
                }
                self.record.content_type = outcome.content_type;
                self.record.result = outcome.result;
                self.end(Status::Success, "", now_ms);
            }
            Some(Status::Sent) => {
                // Handed back: the attempt does not count.
                let status = match (self.step, self.attempt) {
                    (0, 0) => Status::Sent,
                    (_, 0) => Status::Running,
                    _ => Status::WaitingRetry,
                };
                self.queue(status, now_ms, outcome.pause_ms.max(0), sequence);
                return FinishAnswer::Again;
            }
            Some(Status::Aborted) => self.end(Status::Aborted, &outcome.error, now_ms),
            Some(Status::WaitingRetry) if self.attempt < self.retries => {
                let retry = u32::try_from(self.attempt).unwrap_or(0);
                let pause_ms = match outcome.pause_ms {
                    ..0 => signed(self.options().backoff.pause_ms(retry, random)),
                    pause_ms => pause_ms,
                };
                self.attempt += 1;
                self.record.retries = self.attempt;
                truncated(&outcome.error).clone_into(&mut self.record.error);
                self.queue(Status::WaitingRetry, now_ms, pause_ms, sequence);
                return FinishAnswer::Again;
            }
            Some(Status::WaitingRetry) => self.end(Status::Failure, &outcome.error, now_ms),
            _ => self.die(&outcome.error, now_ms),
        }
        FinishAnswer::Ended
    }

    /// The step after the present one.
    fn next_step(&self) -> Option<WorkflowStep> {
        let next = usize::try_from(self.step).ok()? + 1;
        // Most tasks have one step: their options are not parsed.
        if next >= self.record.steps.len() {
            return None;
        }
        self.options().steps.into_iter().nth(next)
    }

    /// Whether a step follows the present one.
    #[must_use]
    pub fn has_next_step(&self) -> bool {
        self.next_step().is_some()
    }

    /// Queues the next step; its body is the result of this one.
    fn advance(
        &mut self,
        next: WorkflowStep,
        outcome: Outcome,
        now_ms: i64,
        sequence: u64,
    ) -> FinishAnswer {
        let size = outcome.result.len();
        if size > MAX_BODY {
            let error = format!("the result has {size} bytes: a step takes at most {MAX_BODY}");
            self.end(Status::Failure, &error, now_ms);
            return FinishAnswer::Ended;
        }
        let mut options = next.options;
        let kept = KEPT_OPTIONS
            .iter()
            .map(|key| self.task.options.get_key_value(*key));
        options.extend(
            kept.flatten()
                .map(|(key, value)| (key.clone(), value.clone())),
        );
        let (content_type, body) = match outcome.result.is_empty() {
            true => (NO_ARGUMENTS.0.to_owned(), NO_ARGUMENTS.1.to_vec()),
            false => (outcome.content_type, outcome.result),
        };
        let task = Task {
            id: self.task.id.clone(),
            group: next.group,
            operation: next.operation,
            content_type,
            body,
            options,
        };
        self.enter(self.step + 1, task);
        self.queue(Status::Running, now_ms, signed(next.run_after_ms), sequence);
        FinishAnswer::Again
    }

    /// Makes a later step the present one.
    fn enter(&mut self, step: i32, task: Task) {
        self.task = task;
        self.step = step;
        self.attempt = 0;
        let retries = self.options().retries;
        self.retries = i32::try_from(retries).unwrap_or(i32::MAX);
        self.record = Record {
            id: self.task.id.clone(),
            group: self.task.group.clone(),
            operation: self.task.operation.clone(),
            status: self.record.status,
            steps: std::mem::take(&mut self.record.steps),
            changed_ms: self.record.changed_ms,
            ..Record::default()
        };
    }

    /// The worker that had the lease has ended without an outcome: another one runs the attempt
    /// again, unless the task has now ended [`MAX_DEATHS`] workers.
    pub fn lose_lease(&mut self, now_ms: i64, sequence: u64) {
        if !matches!(self.phase, Phase::Leased { .. }) {
            return;
        }
        self.record.deaths += 1;
        if self.record.deaths >= MAX_DEATHS {
            self.die(&format!("worker died {MAX_DEATHS} times"), now_ms);
        } else {
            // The status stays: readers saw the attempt begin.
            self.phase = Phase::Queued {
                due_ms: now_ms,
                sequence,
            };
        }
    }

    /// Aborts the task, or asks its running attempt to end. The request lasts `expires_ms`, or for
    /// ever if that is negative.
    pub fn abort(&mut self, now_ms: i64, expires_ms: i64) -> AbortAnswer {
        match self.status() {
            Status::Sent => {
                self.end(Status::Aborted, "aborted before it began", now_ms);
                AbortAnswer::Done
            }
            status if status.is_final() => AbortAnswer::Finished(status),
            _ => {
                self.abort_until_ms = match expires_ms {
                    ..0 => i64::MAX,
                    expires_ms => now_ms.saturating_add(expires_ms),
                };
                AbortAnswer::Requested
            }
        }
    }

    /// Queues a dead task again, with a new count of attempts and deaths. Returns whether it was
    /// dead.
    pub fn requeue(&mut self, now_ms: i64, sequence: u64) -> bool {
        if self.phase != Phase::Dead {
            return false;
        }
        self.attempt = 0;
        self.record.deaths = 0;
        self.abort_until_ms = 0;
        self.record.retries = 0;
        self.record.error.clear();
        self.record.dead = false;
        let status = match self.step {
            0 => Status::Sent,
            _ => Status::Running,
        };
        self.queue(status, now_ms, 0, sequence);
        true
    }

    /// How long readers may see the record after the end of the task; `i64::MAX` for ever.
    fn result_expires_ms(&self) -> i64 {
        let kept = self.options().result_expires;
        kept.map_or(i64::MAX, |kept| {
            i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)
        })
    }

    /// Whether readers may see the record.
    #[must_use]
    pub fn is_readable(&self, now_ms: i64) -> bool {
        let kept_ms = || self.result_expires_ms();
        !matches!(self.phase, Phase::Ended { .. })
            || now_ms < self.record.changed_ms.saturating_add(kept_ms())
    }

    /// Whether an abort is requested.
    #[must_use]
    pub fn is_abort_requested(&self, now_ms: i64) -> bool {
        now_ms < self.abort_until_ms
    }

    /// Which tasks of the group are taken first.
    #[must_use]
    pub(crate) fn priority(&self) -> Priority {
        let priority = self.task.options.get("priority");
        priority
            .and_then(|it| Priority::parse(it))
            .unwrap_or_default()
    }

    /// The unique key that the task holds until it ends, and until when at most.
    #[must_use]
    pub(crate) fn claim(&self) -> Option<(&str, i64)> {
        let key = self.task.options.get("unique")?;
        let since_ms = match self.phase {
            Phase::Queued { due_ms, .. } => due_ms,
            Phase::Leased { .. } => self.record.changed_ms,
            Phase::Ended { .. } | Phase::Dead => return Some((key, 0)),
        };
        Some((key, since_ms.saturating_add(CLAIM_MS)))
    }

    fn set_status(&mut self, status: Status, now_ms: i64) {
        self.record.status = status.number();
        self.record.changed_ms = now_ms;
        let present = match self.phase {
            Phase::Leased { .. } => "running".to_owned(),
            _ if status.is_final() => status.to_string(),
            _ => WAITING.to_owned(),
        };
        let step = usize::try_from(self.step).unwrap_or(0);
        for (index, shown) in self.record.steps.iter_mut().enumerate() {
            match index.cmp(&step) {
                Ordering::Less => SUCCESS.clone_into(&mut shown.status),
                Ordering::Equal => present.clone_into(&mut shown.status),
                Ordering::Greater => {}
            }
        }
    }

    fn queue(&mut self, status: Status, now_ms: i64, pause_ms: i64, sequence: u64) {
        let due_ms = now_ms.saturating_add(pause_ms);
        self.phase = Phase::Queued { due_ms, sequence };
        self.set_status(status, now_ms);
    }

    fn end(&mut self, status: Status, error: &str, now_ms: i64) {
        let kept_ms = self.result_expires_ms();
        let until_ms = now_ms.saturating_add(kept_ms.max(FENCE_MS));
        self.phase = Phase::Ended { until_ms };
        truncated(error).clone_into(&mut self.record.error);
        self.task.body = Vec::new();
        if kept_ms == 0 {
            self.record.result = Vec::new();
        }
        self.set_status(status, now_ms);
    }

    fn die(&mut self, error: &str, now_ms: i64) {
        self.phase = Phase::Dead;
        self.record.dead = true;
        truncated(error).clone_into(&mut self.record.error);
        self.set_status(Status::Failure, now_ms);
    }
}

fn lease_end(now_ms: i64, lease_ms: i32) -> i64 {
    match lease_ms {
        ..=0 => i64::MAX,
        lease_ms => now_ms.saturating_add(lease_ms.into()),
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn truncated(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The version of the stored form.
const VERSION: u8 = 2;

impl Marshal for Entry {
    fn marshal(&self, out: &mut Writer<'_>) {
        let (kind, time, sequence) = match self.phase {
            Phase::Queued { due_ms, sequence } => (0_u8, due_ms, sequence),
            Phase::Leased { until_ms } => (1, until_ms, 0),
            Phase::Ended { until_ms } => (2, until_ms, 0),
            Phase::Dead => (3, 0, 0),
        };
        VERSION.marshal(out);
        kind.marshal(out);
        time.marshal(out);
        sequence.cast_signed().marshal(out);
        self.step.marshal(out);
        self.attempt.marshal(out);
        self.retries.marshal(out);
        self.delivery.marshal(out);
        self.abort_until_ms.marshal(out);
        self.task.marshal(out);
        self.record.marshal(out);
    }
}

impl Entry {
    /// Reads the stored form; `None` if the bytes are not one of this version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::new(bytes);
        let (version, kind, time, sequence) = <(u8, u8, i64, i64)>::unmarshal(&mut input).ok()?;
        let phase = match (version, kind) {
            (VERSION, 0) => Phase::Queued {
                due_ms: time,
                sequence: sequence.cast_unsigned(),
            },
            (VERSION, 1) => Phase::Leased { until_ms: time },
            (VERSION, 2) => Phase::Ended { until_ms: time },
            (VERSION, 3) => Phase::Dead,
            _ => return None,
        };
        let read = |input: &mut Reader<'_>| -> Result<Self, DecodeError> {
            Ok(Self {
                phase,
                step: i32::unmarshal(input)?,
                attempt: i32::unmarshal(input)?,
                retries: i32::unmarshal(input)?,
                delivery: i32::unmarshal(input)?,
                abort_until_ms: i64::unmarshal(input)?,
                task: Task::unmarshal(input)?,
                record: Record::unmarshal(input)?,
            })
        };
        read(&mut input).ok()
    }
}

#[cfg(test)]
mod tests;
