//! The embedded queue: tasks in a file or in memory, within this process.

mod file;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

pub use file::StoreError;
use file::{Store, Tables};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use super::{Filter, MAX_ROWS, QueueError, readers::Readers};
use crate::{
    clock::now_ms,
    idl::tasks::{Lease, Outcome, Record, Task},
    model::{AbortAnswer, Begin, Entry, FinishAnswer, Phase, Turns, parse_id},
};

/// How often ended leases and records are looked for. A lease or record ends at most this late.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// Leases and records that one change ends.
const SWEEP_BATCH: usize = 256;

/// The queue of this process. Clones are the same queue.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddedQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    /// Notified when a task is queued.
    queued: Notify,
    /// Whose turn it is, by group. Only groups that had a task that was due are in it.
    turns: Arc<Mutex<HashMap<String, Turns>>>,
    readers: Readers,
}

impl EmbeddedQueue {
    /// Opens a file, or a queue in memory. Tasks that ran when the process of the file ended are
    /// queued again. Must run within a tokio runtime.
    pub(crate) async fn open(path: Option<&Path>) -> Result<Self, StoreError> {
        let queue = Self(Arc::new(Shared {
            store: Store::open(path)?,
            queued: Notify::new(),
            turns: Arc::default(),
            readers: Readers::default(),
        }));
        // Leases without an end were those of the process that has ended.
        while queue.end(i64::MAX, i64::MAX).await? == SWEEP_BATCH {}
        tokio::spawn(sweep(Arc::downgrade(&queue.0)));
        Ok(queue)
    }

    pub(crate) async fn send(&self, task: Task) -> Result<String, QueueError> {
        let id = parse_id(&task.id)?;
        let text = task.id.clone();
        let mut entry = Entry::new(task, now_ms(), 0)?;
        let change = move |tables: &mut Tables<'_>| {
            if tables.contains(id)? {
                return Ok(id);
            }
            if let Some((key, _)) = entry.claim() {
                let holder = tables.claim(key, id, now_ms())?;
                if holder != id {
                    return Ok(holder);
                }
            }
            if let Phase::Queued { sequence, .. } = &mut entry.phase {
                *sequence = tables.next_sequence()?;
            }
            tables.put(id, None, &entry)?;
            Ok(id)
        };
        let sent = self.0.store.write(change).await?;
        self.0.queued.notify_waiters();
        Ok(match sent == id {
            true => text,
            false => Uuid::from_u128(sent).to_string(),
        })
    }

    pub(crate) async fn record(
        &self,
        id: &str,
        wait: Duration,
        finished: bool,
    ) -> Result<Record, QueueError> {
        let key = parse_id(id)?;
        let deadline = Instant::now() + wait;
        loop {
            let reader = self.0.readers.watch(key);
            let mut changed = std::pin::pin!(reader.notified());
            changed.as_mut().enable();
            let mut entry = self.0.store.read(key)?;
            let is_enough = entry
                .as_ref()
                .is_some_and(|entry| entry.status().ends_wait(finished));
            if !is_enough {
                if timeout_at(deadline, changed).await.is_ok() {
                    continue;
                }
                entry = self.0.store.read(key)?;
            }
            let readable = entry.filter(|entry| entry.is_readable(now_ms()));
            let record = readable.map(|entry| entry.record);
            return record.ok_or_else(|| QueueError::NotFound(id.to_owned()));
        }
    }

    pub(crate) async fn abort(&self, id: &str, expires_ms: i64) -> Result<AbortAnswer, QueueError> {
        let key = parse_id(id)?;
        let answer = self.change(key, move |entry, _, now| entry.abort(now, expires_ms));
        answer
            .await?
            .ok_or_else(|| QueueError::NotFound(id.to_owned()))
    }

    pub(crate) async fn list(&self, filter: Filter) -> Result<Vec<Record>, QueueError> {
        let (after, limit) = (filter.after()?, filter.limit.min(MAX_ROWS));
        self.scan(after, move |rows| {
            let now = now_ms();
            let listed = rows.filter(|entry| filter.admits(entry, now));
            listed.take(limit).map(|entry| entry.record).collect()
        })
        .await
    }

    pub(crate) async fn stats(&self, group: &str) -> Result<BTreeMap<String, i64>, QueueError> {
        let group = group.to_owned();
        self.scan(None, move |rows| {
            let now = now_ms();
            let mut counts = BTreeMap::new();
            for entry in rows {
                if (group.is_empty() || entry.task.group == group) && entry.is_readable(now) {
                    *counts.entry(entry.state(now)).or_default() += 1;
                }
            }
            counts
        })
        .await
    }

    /// Reads the entries after an id, in the order of ids, on a thread that may block.
    async fn scan<T: Send + 'static>(
        &self,
        after: Option<u128>,
        visit: impl FnOnce(&mut dyn Iterator<Item = Entry>) -> T + Send + 'static,
    ) -> Result<T, QueueError> {
        let store = self.0.store.clone();
        let scanned = tokio::task::spawn_blocking(move || store.scan(after, visit)).await;
        Ok(scanned.map_err(|_| StoreError::Closed)??)
    }

    pub(crate) async fn requeue_dead(&self, ids: &[String]) -> Result<i32, QueueError> {
        let mut count = 0;
        for id in ids {
            let requeued = self.change(parse_id(id)?, |entry, sequence, now| {
                entry.requeue(now, sequence)
            });
            count += i32::from(requeued.await? == Some(true));
        }
        Ok(count)
    }

    pub(crate) async fn drop_dead(&self, ids: &[String]) -> Result<i32, QueueError> {
        let keys: Result<Vec<u128>, _> = ids.iter().map(|id| parse_id(id)).collect();
        let keys = keys?;
        let change = move |tables: &mut Tables<'_>| {
            let mut count = 0;
            for id in keys {
                if let Some(entry) = tables.get(id)?
                    && entry.phase == Phase::Dead
                {
                    tables.remove(id, &entry)?;
                    count += 1;
                }
            }
            Ok(count)
        };
        Ok(self.0.store.write(change).await?)
    }

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
                if !leases.is_empty() || max == 0 {
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
        let turns = Arc::clone(&self.0.turns);
        let change = move |tables: &mut Tables<'_>| {
            let now = now_ms();
            let mut turns = turns.lock();
            let turns = turns.entry(group.clone()).or_default();
            let (mut leases, mut changed) = (Vec::new(), Vec::new());
            while leases.len() < max
                && changed.len() < MAX_ROWS
                && let Some((priority, row)) = tables.next_row(&group, now, turns)?
            {
                changed.push(row.id);
                let Some(mut entry) = tables.get_intact(row.id)? else {
                    // The bytes are kept; without its row the entry does not block its group.
                    tables.remove_row(&group, priority, &row)?;
                    continue;
                };
                let before = entry.phase;
                if let Begin::Run(lease) = entry.begin(now, lease_ms) {
                    leases.push(*lease);
                }
                tables.put(row.id, Some(before), &entry)?;
            }
            Ok((leases, changed))
        };
        let (leases, changed) = self.0.store.write(change).await?;
        for id in changed {
            self.0.readers.notify(id);
        }
        Ok(leases)
    }

    pub(crate) async fn extend(
        &self,
        lease: &Lease,
        percent: i32,
        note: &str,
    ) -> Result<bool, QueueError> {
        let key = parse_id(&lease.task.id)?;
        if percent < 0 && lease.lease_ms == 0 {
            // Nothing to write.
            let entry = self.0.store.read(key)?;
            return Ok(entry.is_some_and(|it| it.should_go_on(lease, now_ms())));
        }
        let (lease, note) = (lease.clone(), note.to_owned());
        let extended = self.change(key, move |entry, _, now| {
            entry.extend(&lease, percent, &note, now)
        });
        Ok(extended.await?.unwrap_or(false))
    }

    /// The record, the follow-up and the removal are one transaction.
    pub(crate) async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
    ) -> Result<FinishAnswer, QueueError> {
        let key = parse_id(&lease.task.id)?;
        let (lease, outcome) = (lease.clone(), outcome.clone());
        let random = fastrand::u32(..);
        let answer = self.change(key, move |entry, sequence, now| {
            entry.finish(&lease, outcome, now, sequence, random)
        });
        let answer = answer.await?.unwrap_or(FinishAnswer::Stale);
        if answer == FinishAnswer::Again {
            self.0.queued.notify_waiters();
        }
        Ok(answer)
    }

    /// Changes an entry, and tells its readers. `None` if there is no entry.
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
            let is_queued_again = entry.phase != before.phase && entry.is_queued();
            Ok(Some((output, is_queued_again)))
        };
        let output = self.0.store.write(change).await?;
        self.0.readers.notify(id);
        Ok(output.map(|(output, is_queued_again)| {
            if is_queued_again {
                self.0.queued.notify_waiters();
            }
            output
        }))
    }

    /// Ends leases and removes entries that ended between two times. Returns how many.
    async fn end(&self, from_ms: i64, until_ms: i64) -> Result<usize, StoreError> {
        let change = move |tables: &mut Tables<'_>| {
            let rows = tables.ended(from_ms, until_ms, SWEEP_BATCH)?;
            let now = now_ms();
            for (end_ms, id) in &rows {
                let Some(mut entry) = tables.get_intact(*id)? else {
                    tables.remove_end(*end_ms, *id)?;
                    continue;
                };
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
            Ok(rows)
        };
        let rows = self.0.store.write(change).await?;
        for (_, id) in &rows {
            self.0.readers.notify(*id);
        }
        if !rows.is_empty() {
            self.0.queued.notify_waiters();
        }
        Ok(rows.len())
    }
}

/// Ends leases and records in time, as long as the queue is open.
async fn sweep(queue: Weak<Shared>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(queue) = queue.upgrade().map(EmbeddedQueue) else {
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
