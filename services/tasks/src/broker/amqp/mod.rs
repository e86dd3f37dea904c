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

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use lapin::{
    BasicProperties,
    message::Delivery,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions},
    types::FieldTable,
};
use parking_lot::Mutex;
use tce_runtime::wire::{Marshal, Writer};
use tokio::time::{Instant, sleep, timeout_at};

use consumer::QueueConsumer;
pub use link::BrokerError;
use link::{Link, request};
use message::Message;
pub use records::RecordsError;
use records::{Changed, Records, Stored};
use topology::{Topology, short};

use super::{Filter, MAX_ROWS, QueueError};
use crate::{
    clock::now_ms,
    idl::tasks::{Lease, Outcome, Record, Task},
    model::{AbortAnswer, Arrival, Entry, FinishAnswer, MAX_DEATHS, Phase, Status, parse_id},
};

/// A message that arrives sooner than this before it is due is delayed again; else it is waited for.
const EARLY_MS: i64 = 1000;
/// How often a reader looks for a change that it was not told of, after Redis was away.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often the leases of other processes are checked.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// What waits in memory for the workers of other processes, for each group.
const SERVED_PREFETCH: u16 = 256;
/// After this time without a worker of another process what waits for them is given back.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// Dead tasks that are looked at.
const MAX_DEAD: usize = 10_000;
/// Outcomes that wait for the store in one worker.
const OUTCOMES_PREFETCH: u16 = 64;
/// How long a worker that stops waits for what it has been delivered.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// Where tasks are queued and recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpConfig {
    pub(crate) uri: String,
    pub(crate) store: Option<String>,
    pub(crate) prefix: String,
    pub(crate) consumer_timeout: Duration,
}

impl fmt::Debug for AmqpConfig {
    /// Without the URIs, which may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConfig")
            .field("prefix", &self.prefix)
            .field("has_store", &self.store.is_some())
            .finish_non_exhaustive()
    }
}

impl AmqpConfig {
    /// A broker by its URI, `amqp://user:password@host:5672/vhost`; without a store of results.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            store: None,
            prefix: "tce.tasks.".to_owned(),
            consumer_timeout: Duration::from_secs(30 * 60),
        }
    }

    /// Keeps the records in Redis, `redis://user:password@host:6379/0`. Without it there are no
    /// results, statuses and aborts, and the broker's counter of deliveries decides when a task is
    /// dead.
    #[must_use]
    pub fn store(mut self, url: impl Into<String>) -> Self {
        self.store = Some(url.into());
        self
    }

    /// What all names at the broker and keys in Redis begin with; `tce.tasks.` by default.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The broker's `consumer_timeout`, 30 min by default: after it the broker delivers a task that
    /// still runs to a second worker. AMQP does not tell it. A worker whose time limit of an attempt is
    /// not below it does not start.
    #[must_use]
    pub fn broker_consumer_timeout(mut self, timeout: Duration) -> Self {
        self.consumer_timeout = timeout;
        self
    }
}

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
#[derive(Debug)]
struct GroupConsumer {
    consumer: Arc<QueueConsumer>,
    /// When workers of other processes asked for tasks last; `None` for those of this process, which
    /// say when they leave.
    asked_at: Option<Instant>,
}

/// An attempt that has begun and not ended.
#[derive(Debug)]
struct Running {
    delivery: Delivery,
    task: Task,
    /// The entry with the lease, and as it is stored, if it could be.
    entry: Entry,
    stored: Option<Stored>,
    /// When a worker of another process must have extended its lease.
    until: Option<Instant>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(task) = self.outcomes.get_mut().take() {
            task.abort();
        }
    }
}

/// What happens to a dead task.
#[derive(Debug, Clone, Copy)]
enum DeadAction {
    Requeue,
    Drop,
}

fn not_found(id: &str) -> QueueError {
    QueueError::NotFound(id.to_owned())
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

/// The delay until a time, in milliseconds.
fn delay(due_ms: i64) -> u64 {
    u64::try_from(due_ms.saturating_sub(now_ms())).unwrap_or(0)
}

impl AmqpQueue {
    /// Connects to the broker. Redis is connected to when it is needed.
    pub(crate) async fn open(config: &AmqpConfig) -> Result<Self, QueueError> {
        let topology = Topology::new(&config.prefix);
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
        sent?;
        Ok(text)
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
            let is_enough = stored.as_ref().is_some_and(|stored| match finished {
                true => stored.entry.status().is_final(),
                false => stored.entry.status() != Status::Sent,
            });
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
        let after = match filter.after.as_str() {
            "" => None,
            after => Some(parse_id(after)?),
        };
        let mut ids = records.ids().await?;
        ids.retain(|id| after.is_none_or(|after| *id > after));
        let (now, limit) = (now_ms(), filter.limit.min(MAX_ROWS));
        let mut listed = Vec::new();
        let visit = |entry: Entry| {
            let is_listed = (filter.group.is_empty() || entry.task.group == filter.group)
                && filter.status.is_none_or(|it| entry.record.status == it)
                && entry.is_readable(now);
            if is_listed && listed.len() < limit {
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
                let channel = self.0.publishing.channel().await?;
                let options = QueueDeclareOptions {
                    passive: true,
                    ..QueueDeclareOptions::default()
                };
                let name = short(&self.0.topology.group(group)).map_err(BrokerError::from)?;
                let queue = channel.queue_declare(name, options, FieldTable::default());
                let queued = request(queue).await?.message_count();
                counts.insert("queued".to_owned(), i64::from(queued));
            }
        }
        Ok(counts)
    }

    /// Takes dead tasks from their queue, and requeues or drops them. The others return to it.
    async fn settle_dead(&self, ids: &[String], action: DeadAction) -> Result<i32, QueueError> {
        let ids: Result<Vec<u128>, _> = ids.iter().map(|id| parse_id(id)).collect();
        let ids = ids?;
        // What is not acknowledged returns when the channel is closed.
        let channel = self.0.publishing.channel().await?;
        let (mut count, mut left) = (0, ids.len());
        for _ in 0..MAX_DEAD {
            if left == 0 {
                break;
            }
            let queue = short(&self.0.topology.dead()).map_err(BrokerError::from)?;
            let getting = channel.basic_get(queue, BasicGetOptions::default());
            let Some(got) = request(getting).await? else {
                break;
            };
            let (message, _) = Message::read(&got.delivery, "");
            let id = parse_id(&message.task.id);
            if let Some(id) = id.ok().filter(|id| ids.contains(id)) {
                let is_settled = match action {
                    DeadAction::Requeue => self.requeue(id, message).await?,
                    DeadAction::Drop => self.forget(id).await?,
                };
                count += i32::from(is_settled);
                acknowledge(&got.delivery).await;
                left -= 1;
            }
        }
        // Dropping a channel does not close it at once.
        let _ = request(channel.close(200, "done".into())).await;
        Ok(count)
    }

    pub(crate) async fn requeue_dead(&self, ids: &[String]) -> Result<i32, QueueError> {
        self.settle_dead(ids, DeadAction::Requeue).await
    }

    pub(crate) async fn drop_dead(&self, ids: &[String]) -> Result<i32, QueueError> {
        self.settle_dead(ids, DeadAction::Drop).await
    }

    async fn forget(&self, id: u128) -> Result<bool, QueueError> {
        if let Some(records) = &self.0.records {
            records.remove(id).await?;
        }
        Ok(true)
    }

    async fn requeue(&self, id: u128, message: Message) -> Result<bool, QueueError> {
        let mut again = Message::first(message.task, 0);
        again.delivery = message.delivery;
        again.task.options.remove("run_at");
        if self.0.records.is_some() {
            let delivery = self.change(id, |entry| {
                // A task that no queue received, or that was delivered too often, has not ended.
                let is_again = entry.requeue(now_ms(), 0) || !entry.status().is_final();
                (is_again, entry.delivery)
            });
            match delivery.await? {
                Some((false, _)) => return Ok(false),
                Some((true, delivery)) => again.delivery = delivery,
                None => {}
            }
        }
        self.0.publishing.send(&again, 0).await?;
        Ok(true)
    }

    /// The consumer of a group, which begins with the first call.
    fn consumer(&self, group: &str, max: usize, lease_ms: i32) -> Arc<QueueConsumer> {
        let mut consumers = self.0.consumers.lock();
        let is_served = lease_ms > 0;
        let known = consumers.entry(group.to_owned()).or_insert_with(|| {
            let prefetch = match is_served {
                true => SERVED_PREFETCH,
                false => u16::try_from(max.saturating_mul(2)).unwrap_or(u16::MAX),
            };
            let (link, queue) = (&self.0.consuming, self.0.topology.group(group));
            let (link, group) = (Arc::clone(link), Some(group.to_owned()));
            GroupConsumer {
                consumer: Arc::new(QueueConsumer::start(link, queue, group, prefetch.max(1))),
                asked_at: None,
            }
        });
        known.asked_at = is_served.then(Instant::now);
        let consumer = Arc::clone(&known.consumer);
        if let Some(records) = &self.0.records {
            self.0.outcomes.lock().get_or_insert_with(|| {
                let (link, queue) = (&self.0.consuming, self.0.topology.outcomes());
                let link = Arc::clone(link);
                let outcomes = QueueConsumer::start(link, queue, None, OUTCOMES_PREFETCH);
                tokio::spawn(write_outcomes(records.clone(), outcomes)).abort_handle()
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
            let admitted = admitted.map(|delivery| self.admit(delivery, group, lease_ms));
            let admitted = join_all(admitted).await.into_iter();
            let leases: Vec<_> = admitted.flatten().collect();
            if !leases.is_empty() {
                return Ok(leases);
            }
        }
    }

    /// Begins the attempt that a message asks for. `None` if it is not due, or begins no more.
    async fn admit(&self, delivery: Delivery, group: &str, lease_ms: i32) -> Option<Lease> {
        let (message, redeliveries) = Message::read(&delivery, group);
        let early_ms = message.due_ms.saturating_sub(now_ms());
        if early_ms > EARLY_MS {
            match self
                .0
                .publishing
                .send(&message, delay(message.due_ms))
                .await
            {
                Ok(()) => acknowledge(&delivery).await,
                Err(error) => {
                    tracing::warn!("can't delay a task again: {error}");
                    give_back(&delivery).await;
                }
            }
            return None;
        }
        sleep(Duration::from_millis(u64::try_from(early_ms).unwrap_or(0))).await;
        match self
            .begin(&delivery, &message, redeliveries, lease_ms)
            .await
        {
            Ok(Some((lease, entry, stored))) => {
                let until = u64::try_from(lease_ms).ok().filter(|ms| *ms > 0);
                let until = until.map(|ms| Instant::now() + Duration::from_millis(ms));
                let running = Running {
                    delivery,
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
                acknowledge(&delivery).await;
                None
            }
            Err(error) => {
                tracing::warn!("can't begin a task: {error}");
                give_back(&delivery).await;
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
            let arrival = entry.arrive(message.attempt, number, now_ms(), lease_ms);
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

    /// Moves a message that is no task to the dead ones.
    async fn bury_undecodable(&self, delivery: &Delivery, reason: &str) -> Result<(), QueueError> {
        let (mut message, _) = Message::read(delivery, "");
        message.reason = Some(reason.to_owned());
        let properties = message.properties().unwrap_or_default();
        let dead = self.0.topology.dead();
        Ok(self
            .0
            .publishing
            .send_to(dead, properties, &delivery.data)
            .await?)
    }

    /// Moves a task to the dead ones.
    async fn bury(&self, task: Task, entry: &Entry) -> Result<(), QueueError> {
        let message = Message::follow_up(task, entry);
        let properties = message.properties().unwrap_or_default();
        let dead = self.0.topology.dead();
        Ok(self
            .0
            .publishing
            .send_to(dead, properties, &message.task.body)
            .await?)
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
                acknowledge(&running.delivery).await;
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
        let has_follow_up = outcome.status != Status::Success.number();
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
            if !is_published {
                match entry.phase {
                    Phase::Queued { due_ms, .. } => {
                        let message = Message::follow_up(running.task.clone(), &entry);
                        self.0.publishing.send(&message, delay(due_ms)).await?;
                    }
                    Phase::Dead => self.bury(running.task.clone(), &entry).await?,
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

    /// Stops consuming a group, and publishes what was delivered and not begun again.
    pub(crate) async fn leave(&self, group: &str) {
        let Some(left) = self.0.consumers.lock().remove(group) else {
            return;
        };
        let deadline = Instant::now() + LEAVE_TIME;
        for delivery in left.consumer.stop(deadline).await {
            let (mut message, redeliveries) = Message::read(&delivery, group);
            message.delivery = message.delivery.saturating_add(redeliveries);
            let sending = self.0.publishing.send(&message, delay(message.due_ms));
            // Otherwise the broker delivers it again once the connection ends.
            if let Ok(Ok(())) = timeout_at(deadline, sending).await {
                acknowledge(&delivery).await;
            }
        }
    }
}

/// The entry of a task whose record is not known, as if the message were its first one.
fn fresh(message: &Message) -> Result<Entry, QueueError> {
    let mut entry = Entry::new(message.task.clone(), now_ms(), 0)?;
    entry.task.body = Vec::new();
    entry.attempt = message.attempt;
    entry.record.retries = message.attempt;
    entry.delivery = message.delivery;
    Ok(entry)
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
            give_back(&running.delivery).await;
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

/// Writes the outcomes that the store could not take, once it can.
async fn write_outcomes(records: Records, outcomes: QueueConsumer) {
    loop {
        let until = Instant::now() + Duration::from_secs(3600);
        for delivery in outcomes.take(1, until).await {
            let Some(entry) = Entry::decode(&delivery.data) else {
                tracing::error!("an outcome is damaged, or from a later version");
                acknowledge(&delivery).await;
                continue;
            };
            while let Err(error) = write_outcome(&records, &entry).await {
                tracing::warn!("an outcome waits for the store: {error}");
                sleep(SWEEP_INTERVAL).await;
            }
            acknowledge(&delivery).await;
        }
    }
}

async fn write_outcome(records: &Records, entry: &Entry) -> Result<(), QueueError> {
    let id = parse_id(&entry.task.id)?;
    let mut present = records.read(id).await?;
    loop {
        if present
            .as_ref()
            .is_some_and(|it| entry.is_older_than(&it.entry))
        {
            return Ok(());
        }
        match records
            .change(id, present.as_ref(), entry, now_ms())
            .await?
        {
            Changed::Done(_) => return Ok(()),
            Changed::Conflict(other) => present = other,
        }
    }
}
