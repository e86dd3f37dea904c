//! Tasks in quorum queues of RabbitMQ, their records in Redis.
//!
//! The model decides what follows from a delivery or an outcome, as in the embedded queue. The order
//! is: publish the follow-up, confirmed; write the record; acknowledge. A crash between two of them
//! repeats work and loses none.

mod topology;

mod message;

mod link;

mod consumer;

mod records;

mod config;

mod outcomes;

mod attempt;

mod dead;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use lapin::{
    message::Delivery,
    options::{BasicAckOptions, BasicNackOptions, QueueDeclareOptions},
    types::FieldTable,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use attempt::Running;
pub use config::AmqpConfig;
use consumer::{Queue, QueueConsumer};
pub use link::BrokerError;
use link::{Link, request};
use message::Message;
pub use records::RecordsError;
use records::{Changed, Records};
use topology::{GroupQueue, Topology, short};

use super::{Filter, MAX_ROWS, QueueError};
use crate::{
    clock::now_ms,
    idl::tasks::{Lease, Record, Task},
    model::{AbortAnswer, Entry, PRIORITIES, Phase, Priority, parse_id},
};

/// How often a reader looks for a change that it was not told of, after Redis was away.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often the leases of other processes are checked.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// What waits in memory for the workers of other processes, for each group.
const SERVED_PREFETCH: u16 = 256;
/// After this time without a worker of another process what waits for them is given back.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Outcomes that wait for the store in one worker.
const OUTCOMES_PREFETCH: u16 = 64;
/// How often a message returns to the head of its queue because a worker is busy; then it is published
/// again, behind the others. Far below the broker's limit of deliveries.
const MAX_RETURNS: i32 = 20;
/// How long a worker that stops waits for what it has been delivered.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// The queue at RabbitMQ. Clones share the connections.
#[derive(Debug, Clone)]
pub(crate) struct AmqpQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    topology: Topology,
    publishing: Link,
    consuming: Arc<Link>,
    records: Option<Records>,
    consumer_timeout: Duration,
    consumers: Mutex<HashMap<String, GroupConsumer>>,
    /// The attempts that run, by id and delivery.
    running: Mutex<HashMap<(u128, i32), Running>>,
    /// Writes outcomes that the store could not take; started with the first consumer.
    outcomes: Mutex<Option<tokio::task::AbortHandle>>,
}

/// The consumer of a group.
#[derive(Debug, Default)]
struct GroupConsumer {
    /// `None` while the worker is busy.
    consumer: Option<Arc<QueueConsumer>>,
    /// Tasks that the worker runs at once.
    slots: usize,
    /// When workers of other processes asked for tasks last; `None` for those of this process, which
    /// say when they leave.
    asked_at: Option<Instant>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(task) = self.outcomes.get_mut().take() {
            task.abort();
        }
    }
}

fn not_found(id: &str) -> QueueError {
    QueueError::NotFound(id.to_owned())
}

fn group_queue(group: &str, priority: Priority) -> GroupQueue {
    GroupQueue {
        group: group.to_owned(),
        priority,
    }
}

/// The delay until a time, in milliseconds.
fn delay(due_ms: i64) -> u64 {
    u64::try_from(due_ms.saturating_sub(now_ms())).unwrap_or(0)
}

impl AmqpQueue {
    /// Connects to the broker. Redis is connected to when it is needed.
    pub(crate) async fn open(config: &AmqpConfig) -> Result<Self, QueueError> {
        let topology = Topology::new(&config.prefix);
        if !topology.fits("") {
            return Err(BrokerError::Refused("the prefix of the names is too long".into()).into());
        }
        let records = config.store.as_ref();
        let records = records.map(|url| Records::new(url, &config.prefix));
        let shared = Arc::new(Shared {
            publishing: Link::new(&config.uri, &topology)?,
            consuming: Arc::new(Link::new(&config.uri, &topology)?),
            topology,
            records: records.transpose()?,
            consumer_timeout: config.consumer_timeout,
            consumers: Mutex::default(),
            running: Mutex::default(),
            outcomes: Mutex::default(),
        });
        shared.publishing.channel().await?;
        tokio::spawn(end_leases(Arc::downgrade(&shared)));
        Ok(Self(shared))
    }

    /// The time within which an attempt must end.
    pub(crate) fn consumer_timeout(&self) -> Duration {
        self.0.consumer_timeout
    }

    fn records(&self) -> Result<&Records, QueueError> {
        self.0.records.as_ref().ok_or(QueueError::NoStore)
    }

    pub(crate) async fn send(&self, task: Task) -> Result<String, QueueError> {
        let id = parse_id(&task.id)?;
        if !self.0.topology.fits(&task.group) {
            return Err(BrokerError::Refused("the name of the group is too long".into()).into());
        }
        let mut entry = Entry::new(task.clone(), now_ms(), 0)?;
        entry.task.body = Vec::new();
        if entry.has_next_step() {
            // The record says how far a workflow has come.
            self.records()?;
        }
        if entry.claim().is_some() {
            let holder = self.claim(id, &entry).await?;
            if holder.as_ref() != Some(&entry.task.id) {
                return Ok(holder.unwrap_or(entry.task.id));
            }
        }
        let due_ms = match entry.phase {
            Phase::Queued { due_ms, .. } => due_ms,
            _ => 0,
        };
        let text = task.id.clone();
        let message = Message::first(task, due_ms);
        let recorded = async {
            // Where a record exists the task was sent before. Without the store the task is sent, too.
            if let Some(records) = &self.0.records {
                let _ = records.change(id, None, &entry, now_ms()).await;
            }
        };
        let sent = self.0.publishing.send(&message, delay(due_ms));
        let (sent, ()) = tokio::join!(sent, recorded);
        if let (Err(error), Some(records)) = (&sent, &self.0.records)
            && !matches!(error, BrokerError::Unknown)
        {
            // Otherwise the key is free an hour after the task would have been due.
            let _ = records.release(&entry).await;
        }
        sent?;
        Ok(text)
    }

    /// Gives its unique key to a task that is about to be sent. Returns the holder; `None` if the task
    /// was sent before and has ended.
    async fn claim(&self, id: u128, entry: &Entry) -> Result<Option<String>, QueueError> {
        let records = self.records()?;
        let stored = records.read(id).await?;
        if stored.is_some_and(|stored| stored.entry.status().is_final()) {
            return Ok(None);
        }
        Ok(Some(records.claim(entry, now_ms()).await?))
    }

    pub(crate) async fn record(
        &self,
        id: &str,
        wait: Duration,
        finished: bool,
    ) -> Result<Record, QueueError> {
        let (key, records) = (parse_id(id)?, self.records()?);
        let deadline = Instant::now() + wait;
        let watch = records.watch(key).await?;
        loop {
            let mut changed = std::pin::pin!(watch.changed.notified());
            changed.as_mut().enable();
            let stored = records.read(key).await?;
            let is_enough = stored
                .as_ref()
                .is_some_and(|stored| stored.entry.status().ends_wait(finished));
            if is_enough || Instant::now() >= deadline {
                let entry = stored.map(|stored| stored.entry);
                let readable = entry.filter(|entry| entry.is_readable(now_ms()));
                return readable
                    .map(|entry| entry.record)
                    .ok_or_else(|| not_found(id));
            }
            let look_at = deadline.min(Instant::now() + LOOK_INTERVAL);
            let _ = timeout_at(look_at, changed).await;
        }
    }

    /// Changes a stored entry. `None` if there is no entry.
    async fn change<T>(
        &self,
        id: u128,
        change: impl Fn(&mut Entry) -> T,
    ) -> Result<Option<T>, QueueError> {
        let records = self.records()?;
        let mut present = records.read(id).await?;
        loop {
            let Some(stored) = present else {
                return Ok(None);
            };
            let mut entry = stored.entry.clone();
            let output = change(&mut entry);
            if entry == stored.entry {
                return Ok(Some(output));
            }
            match records.change(id, Some(&stored), &entry, now_ms()).await? {
                Changed::Done(_) => return Ok(Some(output)),
                Changed::Conflict(other) => present = other,
            }
        }
    }

    pub(crate) async fn abort(&self, id: &str, expires_ms: i64) -> Result<AbortAnswer, QueueError> {
        let aborted = self.change(parse_id(id)?, |entry| entry.abort(now_ms(), expires_ms));
        aborted.await?.ok_or_else(|| not_found(id))
    }

    pub(crate) async fn list(&self, filter: Filter) -> Result<Vec<Record>, QueueError> {
        let records = self.records()?;
        let after = filter.after()?;
        let mut ids = records.ids().await?;
        ids.retain(|id| after.is_none_or(|after| *id > after));
        let (now, limit) = (now_ms(), filter.limit.min(MAX_ROWS));
        let mut listed = Vec::new();
        let visit = |entry: Entry| {
            if filter.admits(&entry, now) && listed.len() < limit {
                listed.push(entry.record);
            }
            listed.len() < limit
        };
        records.visit(&ids, visit).await?;
        Ok(listed)
    }

    pub(crate) async fn stats(&self, group: &str) -> Result<BTreeMap<String, i64>, QueueError> {
        let mut counts = BTreeMap::new();
        match &self.0.records {
            Some(records) => {
                let now = now_ms();
                let visit = |entry: Entry| {
                    if (group.is_empty() || entry.task.group == group) && entry.is_readable(now) {
                        *counts.entry(entry.state(now)).or_default() += 1;
                    }
                    true
                };
                records.visit(&records.ids().await?, visit).await?;
            }
            None if group.is_empty() => {}
            None => {
                let mut queued = 0;
                for priority in PRIORITIES {
                    queued += self.depth(&group_queue(group, priority)).await?;
                }
                counts.insert("queued".to_owned(), queued);
            }
        }
        Ok(counts)
    }

    /// Messages that wait in a queue, 0 if it does not exist.
    async fn depth(&self, queue: &GroupQueue) -> Result<i64, BrokerError> {
        // A refusal closes the channel.
        let channel = self.0.publishing.channel().await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let name = short(&self.0.topology.queue(queue));
        let declaring = channel.queue_declare(name, options, FieldTable::default());
        match request(declaring).await {
            Ok(declared) => Ok(declared.message_count().into()),
            Err(BrokerError::Refused(_)) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// The consumer of a group, which begins with the first call.
    fn consumer(&self, group: &str, max: usize, lease_ms: i32) -> Arc<QueueConsumer> {
        let mut consumers = self.0.consumers.lock();
        let is_served = lease_ms > 0;
        let known = consumers.entry(group.to_owned()).or_default();
        known.asked_at = is_served.then(Instant::now);
        known.slots = known.slots.max(max);
        let slots = u16::try_from(known.slots).unwrap_or(u16::MAX);
        let started = known.consumer.get_or_insert_with(|| {
            let queues = PRIORITIES.map(|priority| {
                // With a prefetch of the slots a worker runs 0.5 to 0.85 as many short tasks a second:
                // each slot waits for a delivery after its acknowledgement.
                let prefetch = match is_served {
                    true => SERVED_PREFETCH,
                    false => slots.saturating_mul(2),
                };
                (Queue::Group(group_queue(group, priority)), prefetch.max(1))
            });
            Arc::new(QueueConsumer::start(&self.0.consuming, queues.into()))
        });
        let consumer = Arc::clone(started);
        if let Some(records) = &self.0.records {
            self.0.outcomes.lock().get_or_insert_with(|| {
                let queue = Queue::Shared(self.0.topology.outcomes());
                let queues = vec![(queue, OUTCOMES_PREFETCH)];
                let consumer = QueueConsumer::start(&self.0.consuming, queues);
                tokio::spawn(outcomes::write_outcomes(records.clone(), consumer)).abort_handle()
            });
        }
        consumer
    }

    pub(crate) async fn lease(
        &self,
        group: &str,
        max: usize,
        wait: Duration,
        lease_ms: i32,
    ) -> Result<Vec<Lease>, QueueError> {
        let deadline = Instant::now() + wait;
        let consumer = self.consumer(group, max, lease_ms);
        loop {
            let taken = consumer.take(max.min(MAX_ROWS), deadline).await;
            if taken.is_empty() {
                return Ok(Vec::new());
            }
            let admitted = taken.into_iter();
            let admitted = admitted.map(|arrived| self.admit(arrived, group, lease_ms));
            let admitted = join_all(admitted).await.into_iter();
            let leases: Vec<_> = admitted.flatten().collect();
            if !leases.is_empty() {
                return Ok(leases);
            }
        }
    }

    /// Stops consuming a group, and publishes what was delivered and not begun again.
    pub(crate) async fn leave(&self, group: &str) {
        let left = self.0.consumers.lock().remove(group);
        if let Some(consumer) = left.and_then(|left| left.consumer) {
            self.empty(&consumer, group, Emptying::Leave).await;
        }
    }

    /// All slots of a worker have been taken for some time: what waits for it runs elsewhere. The
    /// next lease consumes the group again.
    pub(crate) async fn rest(&self, group: &str) {
        let waiting = {
            let mut consumers = self.0.consumers.lock();
            let known = consumers.get_mut(group);
            known.and_then(|known| known.consumer.take_if(|it| it.has_waiting()))
        };
        if let Some(consumer) = waiting {
            self.empty(&consumer, group, Emptying::Rest).await;
        }
    }

    /// Ends a consumer, and gives away what was delivered and not begun.
    async fn empty(&self, consumer: &QueueConsumer, group: &str, reason: Emptying) {
        let deadline = Instant::now() + LEAVE_TIME;
        for arrived in consumer.stop(deadline).await {
            let (mut message, redeliveries) = Message::read(&arrived.delivery, group);
            // Without a store the broker's counter is that of the deaths.
            let keeps_place =
                reason == Emptying::Rest && redeliveries < MAX_RETURNS && self.0.records.is_some();
            if keeps_place {
                give_back(&arrived.delivery).await;
                continue;
            }
            message.delivery = message.delivery.saturating_add(redeliveries);
            let sending = self.0.publishing.send(&message, delay(message.due_ms));
            // Otherwise the broker delivers it again once the connection ends.
            if let Ok(Ok(())) = timeout_at(deadline, sending).await {
                acknowledge(&arrived.delivery).await;
            }
        }
    }
}

/// Why a consumer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Emptying {
    /// The worker stops.
    Leave,
    /// The worker is busy, and consumes again later.
    Rest,
}

async fn acknowledge(delivery: &Delivery) {
    // Without it the broker delivers the message again, which is stale then.
    if let Err(error) = request(delivery.ack(BasicAckOptions::default())).await {
        tracing::debug!("can't acknowledge a task: {error}");
    }
}

async fn give_back(delivery: &Delivery) {
    let options = BasicNackOptions {
        requeue: true,
        ..BasicNackOptions::default()
    };
    if let Err(error) = request(delivery.nack(options)).await {
        tracing::debug!("can't give a task back: {error}");
    }
}

/// Gives the tasks back whose workers, in other processes, have not extended their leases.
async fn end_leases(shared: Weak<Shared>) {
    loop {
        sleep(SWEEP_INTERVAL).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let now = Instant::now();
        let is_over = |running: &mut Running| running.until.is_some_and(|until| until <= now);
        let over: Vec<_> = {
            let mut running = shared.running.lock();
            running.extract_if(|_, running| is_over(running)).collect()
        };
        for (_, running) in over {
            give_back(&running.arrived.delivery).await;
        }
        let idle: Vec<String> = {
            let consumers = shared.consumers.lock();
            let is_idle = |it: &GroupConsumer| it.asked_at.is_some_and(|at| now - at > IDLE_TIME);
            let idle = consumers.iter().filter(|(_, it)| is_idle(it));
            idle.map(|(group, _)| group.clone()).collect()
        };
        let queue = AmqpQueue(shared);
        for group in idle {
            queue.leave(&group).await;
        }
    }
}
