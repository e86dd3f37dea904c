//! The embedded queue: tasks in a file or in memory, within this process.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{
    idl::tasks::{Lease, Record, Task},
    model::{AbortAnswer, Begin, Entry, FinishAnswer, Phase, Refusal, Status, parse_id},
    store::{Store, StoreError, Tables},
};

/// How long a worker of another process has a task before it must extend its lease.
pub(crate) const LEASE_MS: i32 = 30_000;
/// How often ended leases and records are looked for. A lease or record ends at most this late.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// Leases and records that one change ends.
const SWEEP_BATCH: usize = 256;
/// The most records that `list` returns, and tasks that `lease` returns.
const MAX_ROWS: usize = 1000;

/// Why a queue did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// The task breaks a rule; a repetition does not help.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// No record has this id: it was never sent, or its record has expired.
    #[error("there is no task {0}")]
    NotFound(String),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The queue is in another process, and the call to it failed.
    #[error("{0}")]
    Remote(String),
}

/// The queue of this process.
#[derive(Debug, Clone)]
pub(crate) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    /// Told when a task is queued.
    queued: Notify,
    /// Told when the record of an id changes; entries of readers that have gone are replaced.
    readers: Mutex<HashMap<u128, Weak<Notify>>>,
}

/// What a change has to tell after its commit.
#[derive(Default)]
struct Changed(Vec<u128>);

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default().as_millis();
    i64::try_from(since).unwrap_or(i64::MAX)
}

impl Queue {
    /// Opens a file, or a queue in memory. Tasks that ran when the process of the file ended are
    /// queued again. Must run within a tokio runtime.
    pub(crate) async fn open(path: Option<&Path>) -> Result<Self, StoreError> {
        let queue = Self(Arc::new(Shared {
            store: Store::open(path)?,
            queued: Notify::new(),
            readers: Mutex::default(),
        }));
        // Leases without an end were those of the process that has ended.
        while queue.end(i64::MAX, i64::MAX).await? == SWEEP_BATCH {}
        tokio::spawn(sweep(Arc::downgrade(&queue.0)));
        Ok(queue)
    }

    /// Stores a task; durable when this returns. A second send of an id has no effect.
    pub(crate) async fn send(&self, task: Task) -> Result<String, QueueError> {
        let id = parse_id(&task.id)?;
        let text = task.id.clone();
        let mut entry = Entry::new(task, now_ms(), 0)?;
        let change = move |tables: &mut Tables<'_>| {
            if tables.get(id)?.is_none() {
                if let Phase::Queued { sequence, .. } = &mut entry.phase {
                    *sequence = tables.next_sequence()?;
                }
                tables.put(id, None, &entry)?;
            }
            Ok(())
        };
        self.0.store.write(change).await?;
        self.0.queued.notify_waiters();
        Ok(text)
    }

    /// The record of a task, after at most `wait`: once it has ended if `finished`, else once its
    /// first attempt has begun.
    pub(crate) async fn result(
        &self,
        id: &str,
        wait: Duration,
        finished: bool,
    ) -> Result<Record, QueueError> {
        let key = parse_id(id)?;
        let deadline = Instant::now() + wait;
        loop {
            let changed = self.reader(key);
            let mut changed = std::pin::pin!(changed.notified());
            changed.as_mut().enable();
            let entry = self.0.store.read(key)?;
            let is_enough = entry.as_ref().is_some_and(|entry| match finished {
                true => entry.status().is_final(),
                false => entry.status() != Status::Sent,
            });
            if is_enough || timeout_at(deadline, changed).await.is_err() {
                let entry = match is_enough {
                    true => entry,
                    false => self.0.store.read(key)?,
                };
                return entry
                    .map(|entry| entry.record)
                    .ok_or_else(|| QueueError::NotFound(id.to_owned()));
            }
        }
    }

    /// A notification of the changes of one record.
    fn reader(&self, id: u128) -> Arc<Notify> {
        let mut readers = self.0.readers.lock();
        if let Some(reader) = readers.get(&id).and_then(Weak::upgrade) {
            return reader;
        }
        // Amortized: readers that have gone are removed when the map would grow.
        if readers.len() == readers.capacity() {
            readers.retain(|_, reader| reader.strong_count() > 0);
        }
        let reader = Arc::new(Notify::new());
        readers.insert(id, Arc::downgrade(&reader));
        reader
    }

    /// Aborts a task. The request lasts `expires_ms`, and for ever if it is negative.
    pub(crate) async fn abort(&self, id: &str, expires_ms: i64) -> Result<AbortAnswer, QueueError> {
        let key = parse_id(id)?;
        let answer = self.change(key, move |entry, _, now| entry.abort(now, expires_ms));
        answer
            .await?
            .ok_or_else(|| QueueError::NotFound(id.to_owned()))
    }

    /// Records after an id in the order of ids. The status is any if it is `None`.
    pub(crate) fn list(
        &self,
        group: &str,
        status: Option<u8>,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Record>, QueueError> {
        let after = (!after.is_empty()).then(|| parse_id(after)).transpose()?;
        let limit = limit.min(MAX_ROWS);
        let mut records = Vec::new();
        self.0.store.scan(after, |entry| {
            let is_listed = (group.is_empty() || entry.task.group == group)
                && status.is_none_or(|status| entry.record.status == status);
            if is_listed && records.len() < limit {
                records.push(entry.record);
            }
            records.len() < limit
        })?;
        Ok(records)
    }

    /// Numbers of the tasks of a group by state; of all groups if it is empty.
    pub(crate) fn stats(&self, group: &str) -> Result<HashMap<String, u64>, QueueError> {
        let now = now_ms();
        let mut counts = HashMap::new();
        self.0.store.scan(None, |entry| {
            if group.is_empty() || entry.task.group == group {
                let state = match entry.phase {
                    Phase::Queued { due_ms, .. } if due_ms > now => "delayed".to_owned(),
                    Phase::Queued { .. } => "queued".to_owned(),
                    Phase::Leased { .. } => "running".to_owned(),
                    Phase::Ended { .. } => entry.status().to_string(),
                    Phase::Dead => "dead".to_owned(),
                };
                *counts.entry(state).or_default() += 1;
            }
            true
        })?;
        Ok(counts)
    }

    /// Queues a dead task again. Returns whether it was dead.
    pub(crate) async fn requeue_dead(&self, id: &str) -> Result<bool, QueueError> {
        let key = parse_id(id)?;
        let requeued = self.change(key, |entry, sequence, now| entry.requeue(now, sequence));
        Ok(requeued.await?.unwrap_or(false))
    }

    /// Leases at most `max` tasks that are due; waits at most `wait` for the first one. With
    /// `lease_ms` 0 a lease lasts as long as this process.
    pub(crate) async fn lease(
        &self,
        group: &str,
        max: usize,
        wait: Duration,
        lease_ms: i32,
    ) -> Result<Vec<Lease>, QueueError> {
        let deadline = Instant::now() + wait;
        loop {
            let mut queued = std::pin::pin!(self.0.queued.notified());
            queued.as_mut().enable();
            let now = now_ms();
            let next_due = self.0.store.next_due(group)?;
            if next_due.is_some_and(|due| due <= now) {
                let leases = self.begin(group, max.min(MAX_ROWS), lease_ms).await?;
                if !leases.is_empty() {
                    return Ok(leases);
                }
                continue;
            }
            let until_due = next_due.and_then(|due| u64::try_from(due - now).ok());
            // A timer beyond the deadline is not needed, and a very distant one would overflow.
            let due = until_due
                .map(Duration::from_millis)
                .filter(|left| *left < wait);
            let due = due.map_or(deadline, |left| deadline.min(Instant::now() + left));
            if timeout_at(due, queued).await.is_err() && due == deadline {
                return Ok(Vec::new());
            }
        }
    }

    async fn begin(
        &self,
        group: &str,
        max: usize,
        lease_ms: i32,
    ) -> Result<Vec<Lease>, QueueError> {
        let group = group.to_owned();
        let change = move |tables: &mut Tables<'_>| {
            let now = now_ms();
            let (mut leases, mut changed) = (Vec::new(), Changed::default());
            while leases.len() < max
                && changed.0.len() < MAX_ROWS
                && let Some(id) = tables.first_due(&group, now)?
            {
                let mut entry = tables.get(id)?.ok_or(StoreError::Damaged(id))?;
                let before = entry.phase;
                if let Begin::Run(lease) = entry.begin(now, lease_ms) {
                    leases.push(*lease);
                }
                tables.put(id, Some(before), &entry)?;
                changed.0.push(id);
            }
            Ok((leases, changed))
        };
        let (leases, changed) = self.0.store.write(change).await?;
        self.0.tell(changed);
        Ok(leases)
    }

    /// Extends a lease. Returns whether the worker should go on.
    pub(crate) async fn extend(
        &self,
        lease: Lease,
        percent: i32,
        note: String,
    ) -> Result<bool, QueueError> {
        let key = parse_id(&lease.task.id)?;
        let extended = self.change(key, move |entry, _, now| {
            entry.extend(&lease, percent, &note, now)
        });
        Ok(extended.await?.unwrap_or(false))
    }

    /// Ends an attempt: the record, the follow-up and the removal are one transaction.
    pub(crate) async fn finish(
        &self,
        lease: Lease,
        outcome: Record,
    ) -> Result<FinishAnswer, QueueError> {
        let key = parse_id(&lease.task.id)?;
        let random = u32::from_be_bytes(last_bytes(uuid::Uuid::now_v7()));
        let answer = self.change(key, move |entry, sequence, now| {
            entry.finish(&lease, outcome, now, sequence, random)
        });
        Ok(answer.await?.unwrap_or(FinishAnswer::Stale))
    }

    /// Changes an entry, and tells its readers and the workers. `None` if there is no entry.
    async fn change<T: Send + 'static>(
        &self,
        id: u128,
        change: impl FnOnce(&mut Entry, u64, i64) -> T + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let change = move |tables: &mut Tables<'_>| {
            let Some(mut entry) = tables.get(id)? else {
                return Ok(None);
            };
            let before = entry.clone();
            let output = change(&mut entry, tables.next_sequence()?, now_ms());
            if entry != before {
                tables.put(id, Some(before.phase), &entry)?;
            }
            Ok(Some(output))
        };
        let output = self.0.store.write(change).await?;
        self.0.tell(Changed(vec![id]));
        Ok(output)
    }

    /// Ends leases and removes records that ended between two times. Returns how many.
    async fn end(&self, from_ms: i64, until_ms: i64) -> Result<usize, StoreError> {
        let change = move |tables: &mut Tables<'_>| {
            let ids = tables.ended(from_ms, until_ms, SWEEP_BATCH)?;
            let now = now_ms();
            for id in &ids {
                let mut entry = tables.get(*id)?.ok_or(StoreError::Damaged(*id))?;
                let before = entry.phase;
                match before {
                    Phase::Leased { .. } => {
                        entry.lose_lease(now, tables.next_sequence()?);
                        tables.put(*id, Some(before), &entry)?;
                    }
                    Phase::Ended { until_ms } if until_ms <= now => tables.remove(*id, &entry)?,
                    _ => {}
                }
            }
            Ok(Changed(ids))
        };
        let changed = self.0.store.write(change).await?;
        let count = changed.0.len();
        self.0.tell(changed);
        Ok(count)
    }
}

impl Shared {
    fn tell(&self, changed: Changed) {
        let mut readers = self.readers.lock();
        for id in changed.0 {
            if let Some(reader) = readers.remove(&id).and_then(|reader| reader.upgrade()) {
                reader.notify_waiters();
            }
        }
        drop(readers);
        self.queued.notify_waiters();
    }
}

/// The last bytes of a UUIDv7, which are random.
fn last_bytes(id: uuid::Uuid) -> [u8; 4] {
    let [.., a, b, c, d] = id.into_bytes();
    [a, b, c, d]
}

/// Ends leases and records in time, as long as the queue is open.
async fn sweep(queue: Weak<Shared>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(queue) = queue.upgrade().map(Queue) else {
            return;
        };
        let now = now_ms();
        let swept = match queue.0.store.next_end() {
            Ok(Some(end)) if end <= now => queue.end(0, now).await.map(|_| ()),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = swept {
            tracing::error!("{error}");
        }
    }
}
