//! Attempts: from a delivery to its acknowledgement.

use std::time::Duration;

use lapin::{BasicProperties, message::Delivery};
use tce_runtime::wire::{Marshal, Writer};
use tokio::time::{Instant, sleep};

use super::{
    AmqpQueue, acknowledge,
    consumer::Arrived,
    delay, give_back,
    message::Message,
    records::{Changed, Stored},
};
use crate::{
    broker::QueueError,
    clock::now_ms,
    idl::tasks::{Lease, Outcome, Task},
    model::{Arrival, Entry, FinishAnswer, MAX_DEATHS, Phase, Status, parse_id},
};

/// A message that arrives sooner than this before it is due is delayed again; else it is waited for.
const EARLY_MS: i64 = 1000;

/// An attempt that has begun and not ended.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) arrived: Arrived,
    task: Task,
    /// The entry with the lease, and as it is stored, if it could be.
    entry: Entry,
    stored: Option<Stored>,
    /// When a worker of another process must have extended its lease.
    pub(super) until: Option<Instant>,
}

impl AmqpQueue {
    /// Begins the attempt that a message asks for. `None` if it is not due, or begins no more.
    pub(super) async fn admit(
        &self,
        arrived: Arrived,
        group: &str,
        lease_ms: i32,
    ) -> Option<Lease> {
        let delivery = &arrived.delivery;
        let (message, redeliveries) = Message::read(delivery, group);
        let early_ms = message.due_ms.saturating_sub(now_ms());
        if early_ms > EARLY_MS {
            match self
                .0
                .publishing
                .send(&message, delay(message.due_ms))
                .await
            {
                Ok(()) => acknowledge(delivery).await,
                Err(error) => {
                    tracing::warn!("can't delay a task again: {error}");
                    give_back(delivery).await;
                }
            }
            return None;
        }
        sleep(Duration::from_millis(u64::try_from(early_ms).unwrap_or(0))).await;
        match self.begin(delivery, &message, redeliveries, lease_ms).await {
            Ok(Some((lease, entry, stored))) => {
                let until = u64::try_from(lease_ms).ok().filter(|ms| *ms > 0);
                let until = until.map(|ms| Instant::now() + Duration::from_millis(ms));
                let running = Running {
                    arrived,
                    task: message.task,
                    entry,
                    stored,
                    until,
                };
                let key = (parse_id(&lease.task.id).ok()?, lease.delivery);
                self.0.running.lock().insert(key, running);
                Some(lease)
            }
            Ok(None) => {
                acknowledge(delivery).await;
                None
            }
            Err(error) => {
                tracing::warn!("can't begin a task: {error}");
                give_back(delivery).await;
                None
            }
        }
    }

    /// The lease of the attempt, the entry with it, and as it is stored. `None` if the message is done
    /// with.
    async fn begin(
        &self,
        delivery: &Delivery,
        message: &Message,
        redeliveries: i32,
        lease_ms: i32,
    ) -> Result<Option<(Lease, Entry, Option<Stored>)>, QueueError> {
        let fresh = match fresh(message) {
            Ok(fresh) => fresh,
            Err(error) => {
                self.bury_undecodable(delivery, &error.to_string()).await?;
                return Ok(None);
            }
        };
        let id = parse_id(&message.task.id)?;
        let number = message
            .delivery
            .saturating_add(redeliveries)
            .saturating_add(1);
        // The store may be away: attempts begin without it.
        let mut present = match &self.0.records {
            Some(records) => records.read(id).await.ok(),
            None => None,
        };
        let mut is_buried = false;
        loop {
            let stored = present.as_ref().and_then(Option::as_ref);
            let mut entry = stored.map_or_else(|| fresh.clone(), |stored| stored.entry.clone());
            if self.0.records.is_none() {
                entry.record.deaths = redeliveries.min(MAX_DEATHS - 1);
                // The broker has counted the death of the last one.
                if redeliveries >= MAX_DEATHS {
                    entry.phase = Phase::Leased { until_ms: i64::MAX };
                }
            }
            let arrival = entry.arrive(&fresh, number, now_ms(), lease_ms);
            if arrival == Arrival::Stale {
                return Ok(None);
            }
            if entry.phase == Phase::Dead && !is_buried {
                self.bury(message.task.clone(), &entry).await?;
                is_buried = true;
            }
            let changed = match (&self.0.records, &present) {
                (Some(records), Some(_)) => {
                    let stored = records.change(id, stored, &entry, now_ms()).await;
                    stored.ok()
                }
                _ => None,
            };
            let stored = match changed {
                Some(Changed::Conflict(other)) => {
                    present = Some(other);
                    continue;
                }
                Some(Changed::Done(stored)) => Some(stored),
                None => None,
            };
            return match arrival {
                Arrival::Run(mut lease) => {
                    lease.task = message.task.clone();
                    Ok(Some((*lease, entry, stored)))
                }
                _ if stored.is_none() => {
                    self.defer(&entry).await?;
                    Ok(None)
                }
                _ => Ok(None),
            };
        }
    }

    /// Keeps an entry that the store could not take until it can.
    async fn defer(&self, entry: &Entry) -> Result<(), QueueError> {
        if self.0.records.is_none() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        entry.marshal(&mut Writer::new(&mut bytes));
        let properties = BasicProperties::default().with_delivery_mode(2);
        let outcomes = self.0.topology.outcomes();
        Ok(self
            .0
            .publishing
            .send_to(outcomes, properties, &bytes)
            .await?)
    }

    pub(crate) async fn extend(
        &self,
        lease: &Lease,
        percent: i32,
        note: &str,
    ) -> Result<bool, QueueError> {
        let id = parse_id(&lease.task.id)?;
        {
            let mut running = self.0.running.lock();
            let Some(running) = running.get_mut(&(id, lease.delivery)) else {
                return Ok(false);
            };
            let length = u64::try_from(lease.lease_ms).ok().filter(|ms| *ms > 0);
            running.until = length.map(|ms| Instant::now() + Duration::from_millis(ms));
        }
        if self.0.records.is_none() {
            return Ok(true);
        }
        let extended = self.change(id, |entry| match percent {
            ..0 => entry.should_go_on(lease, now_ms()),
            percent => entry.extend(lease, percent, note, now_ms()),
        });
        // Without a record the attempt began while the store was away.
        Ok(extended.await?.unwrap_or(true))
    }

    pub(crate) async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
    ) -> Result<FinishAnswer, QueueError> {
        let key = (parse_id(&lease.task.id)?, lease.delivery);
        let Some(running) = self.0.running.lock().remove(&key) else {
            return Ok(FinishAnswer::Stale);
        };
        match self.conclude(&running, lease, outcome).await {
            Ok(answer) => {
                acknowledge(&running.arrived.delivery).await;
                Ok(answer)
            }
            Err(error) => {
                // The caller repeats it.
                self.0.running.lock().insert(key, running);
                Err(error)
            }
        }
    }

    /// Publishes what follows, and writes the record.
    async fn conclude(
        &self,
        running: &Running,
        lease: &Lease,
        outcome: &Outcome,
    ) -> Result<FinishAnswer, QueueError> {
        let id = parse_id(&lease.task.id)?;
        let random = fastrand::u32(..);
        let mut present = running.stored.clone();
        let has_follow_up =
            outcome.status != Status::Success.number() || running.entry.has_next_step();
        if let (Some(records), true) = (&self.0.records, has_follow_up || present.is_none()) {
            // A stale outcome must publish nothing.
            present = records.read(id).await.unwrap_or(present);
        }
        let mut is_published = false;
        loop {
            let mut entry = match &present {
                Some(stored) if stored.entry.has_lease(lease) => stored.entry.clone(),
                Some(stored) if running.entry.is_older_than(&stored.entry) => {
                    return Ok(FinishAnswer::Stale);
                }
                // The attempt began while the store was away.
                _ => running.entry.clone(),
            };
            let answer = entry.finish(lease, outcome.clone(), now_ms(), 0, random);
            let task = match entry.step > lease.step {
                true => entry.task.clone(),
                false => running.task.clone(),
            };
            // The messages hold the arguments.
            entry.task.body = Vec::new();
            if !is_published {
                match entry.phase {
                    Phase::Queued { due_ms, .. } => {
                        let message = Message::follow_up(task, &entry);
                        self.0.publishing.send(&message, delay(due_ms)).await?;
                    }
                    Phase::Dead => self.bury(task, &entry).await?,
                    _ => {}
                }
                is_published = true;
            }
            let Some(records) = &self.0.records else {
                return Ok(answer);
            };
            match records.change(id, present.as_ref(), &entry, now_ms()).await {
                Ok(Changed::Done(_)) => return Ok(answer),
                Ok(Changed::Conflict(other)) => present = other,
                Err(_) => {
                    self.defer(&entry).await?;
                    return Ok(answer);
                }
            }
        }
    }
}

/// The entry of a task whose record is not known, as if the message were its first one.
fn fresh(message: &Message) -> Result<Entry, QueueError> {
    let mut entry = Entry::new(message.task.clone(), now_ms(), 0)?;
    entry.task.body = Vec::new();
    entry.step = message.step;
    entry.attempt = message.attempt;
    entry.record.retries = message.attempt;
    entry.delivery = message.delivery;
    Ok(entry)
}
