//! The redb file: entries, the order in which they are due, and when leases and records end.

use std::{path::Path, sync::Arc, thread};

use redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, Table, TableDefinition,
    backends::InMemoryBackend,
};
use tce_runtime::wire::{Marshal, Writer};
use tokio::sync::{mpsc, oneshot};

use crate::model::{Entry, PRIORITIES, Phase, Priority, Turns};

/// By id.
const ENTRIES: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("entries");
/// By group, time and order of arrival; a table for each priority.
const QUEUES: [TableDefinition<'_, QueueKey<'_>, u128>; PRIORITIES.len()] = [
    TableDefinition::new("queue.high"),
    TableDefinition::new("queue"),
    TableDefinition::new("queue.low"),
];
type QueueKey<'a> = (&'a str, i64, u64);
/// By the time when the lease or the record ends.
const ENDS: TableDefinition<'_, (i64, u128), ()> = TableDefinition::new("ends");
/// The task that holds a unique key, by key.
const CLAIMS: TableDefinition<'_, &str, u128> = TableDefinition::new("claims");
const COUNTERS: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");

/// redb's default of 1 GiB is far more than a queue needs.
const CACHE_BYTES: usize = 32 << 20;
/// Changes that wait for a commit.
const QUEUED_CHANGES: usize = 1024;
/// Changes in one commit.
const MAX_BATCH: usize = 256;

/// Why the file can't be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file.
    #[error(
        "{0} is open in another process: let that process serve its queue, and use the endpoint"
    )]
    InUse(String),
    /// The file can't be opened, read or written.
    #[error("the task store failed: {0}")]
    Failed(Arc<redb::Error>),
    /// A stored entry does not decode.
    #[error("the stored task {0:032x} is damaged, or from a later version")]
    Damaged(u128),
    /// The store has been closed.
    #[error("the task store is closed")]
    Closed,
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Failed(Arc::new(error.into()))
}

/// A change to the tables; it returns what runs after the commit, or if that failed.
type Change = Box<dyn FnOnce(&mut Tables<'_>) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Option<&StoreError>) + Send>;

/// The tables in a file or in memory. Dropping the last clone closes it.
#[derive(Debug, Clone)]
pub(super) struct Store {
    database: Arc<Database>,
    changes: mpsc::Sender<Change>,
}

impl Store {
    /// Opens or creates a file; `None`: in memory.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, StoreError> {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = match path {
            Some(path) => builder.create(path),
            None => builder.create_with_backend(InMemoryBackend::new()),
        };
        let database = database.map_err(|error| match (error, path) {
            (DatabaseError::DatabaseAlreadyOpen, Some(path)) => {
                StoreError::InUse(path.display().to_string())
            }
            (error, _) => failed(error),
        })?;
        let database = Arc::new(database);
        // A first transaction, so that readers find all tables.
        let transaction = database.begin_write().map_err(failed)?;
        Tables::open(&transaction)?;
        transaction.commit().map_err(failed)?;
        let (changes, receiver) = mpsc::channel(QUEUED_CHANGES);
        let writer = Arc::clone(&database);
        let thread = thread::Builder::new().name("tce-tasks-store".to_owned());
        let spawned = thread.spawn(move || write_all(&writer, receiver));
        spawned.map_err(|error| failed(redb::Error::Io(error)))?;
        Ok(Self { database, changes })
    }

    /// Makes a change; it is durable when this returns. Changes that arrive during a commit share
    /// the next one.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let change: Change = Box::new(move |tables| {
            let result = change(tables);
            Box::new(move |error| {
                let result = error.map_or(result, |error| Err(error.clone()));
                // The caller may have gone.
                let _ = sender.send(result);
            })
        });
        let sent = self.changes.send(change).await;
        sent.map_err(|_| StoreError::Closed)?;
        receiver.await.map_err(|_| StoreError::Closed)?
    }

    /// The entry of an id.
    pub(super) fn read(&self, id: u128) -> Result<Option<Entry>, StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let entries = transaction.open_table(ENTRIES).map_err(failed)?;
        let bytes = entries.get(id).map_err(failed)?;
        bytes.map(|bytes| decode(id, bytes.value())).transpose()
    }

    /// When the next task of a group is due.
    pub(super) fn next_due(&self, group: &str) -> Result<Option<i64>, StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let mut next = None;
        for table in QUEUES {
            let queue = transaction.open_table(table).map_err(failed)?;
            let first = first_row(&queue, group, i64::MAX)?;
            next = next.into_iter().chain(first.map(|row| row.due_ms)).min();
        }
        Ok(next)
    }

    /// When the next lease or record ends.
    pub(super) fn next_end(&self) -> Result<Option<i64>, StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let ends = transaction.open_table(ENDS).map_err(failed)?;
        let first = ends.first().map_err(failed)?;
        Ok(first
            .map(|(key, _)| key.value().0)
            .filter(|end| *end != i64::MAX))
    }

    /// Visits the entries after an id, in the order of ids. Damaged ones are logged and left out.
    pub(super) fn scan<T>(
        &self,
        after: Option<u128>,
        visit: impl FnOnce(&mut dyn Iterator<Item = Entry>) -> T,
    ) -> Result<T, StoreError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let entries = transaction.open_table(ENTRIES).map_err(failed)?;
        let first = match after.map(|id| id.checked_add(1)) {
            None => 0,
            Some(Some(first)) => first,
            Some(None) => return Ok(visit(&mut std::iter::empty())),
        };
        let mut failure = None;
        let rows = entries.range(first..).map_err(failed)?;
        let mut rows = rows.map_while(|row| {
            let row = row.map_err(|error| failure = Some(failed(error))).ok()?;
            Some(intact(row.0.value(), row.1.value()))
        });
        let output = visit(&mut rows.by_ref().flatten());
        drop(rows);
        failure.map_or(Ok(output), Err)
    }
}

fn decode(id: u128, bytes: &[u8]) -> Result<Entry, StoreError> {
    Entry::decode(bytes).ok_or(StoreError::Damaged(id))
}

/// The entry, or `None` and a line in the log if it is damaged.
fn intact(id: u128, bytes: &[u8]) -> Option<Entry> {
    decode(id, bytes)
        .inspect_err(|error| tracing::error!("{error}"))
        .ok()
}

/// The first task of a group that is due at a time.
fn first_row(
    queue: &impl ReadableTable<QueueKey<'static>, u128>,
    group: &str,
    until_ms: i64,
) -> Result<Option<Row>, StoreError> {
    let range = (group, i64::MIN, 0)..=(group, until_ms, u64::MAX);
    let mut range = queue.range(range).map_err(failed)?;
    let first = range.next().transpose().map_err(failed)?;
    Ok(first.map(|(key, id)| {
        let (_, due_ms, sequence) = key.value();
        Row {
            due_ms,
            sequence,
            id: id.value(),
        }
    }))
}

/// The thread that commits.
fn write_all(database: &Database, mut changes: mpsc::Receiver<Change>) {
    let mut batch = Vec::new();
    while changes.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
        let mut replies = Vec::with_capacity(batch.len());
        let result = commit(database, batch.drain(..), &mut replies);
        if let Err(error) = &result {
            tracing::error!("{error}");
        }
        for reply in replies {
            reply(result.as_ref().err());
        }
    }
}

fn commit(
    database: &Database,
    batch: impl Iterator<Item = Change>,
    replies: &mut Vec<Reply>,
) -> Result<(), StoreError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(failed)?;
    let mut tables = Tables::open(&transaction)?;
    replies.extend(batch.map(|change| change(&mut tables)));
    drop(tables);
    transaction.commit().map_err(failed)
}

/// The tables in a transaction.
pub(super) struct Tables<'t> {
    entries: Table<'t, u128, &'static [u8]>,
    queues: [Table<'t, QueueKey<'static>, u128>; PRIORITIES.len()],
    ends: Table<'t, (i64, u128), ()>,
    claims: Table<'t, &'static str, u128>,
    counters: Table<'t, &'static str, u64>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t redb::WriteTransaction) -> Result<Self, StoreError> {
        let [high, normal, low] = QUEUES.map(|queue| transaction.open_table(queue));
        Ok(Self {
            entries: transaction.open_table(ENTRIES).map_err(failed)?,
            queues: [
                high.map_err(failed)?,
                normal.map_err(failed)?,
                low.map_err(failed)?,
            ],
            ends: transaction.open_table(ENDS).map_err(failed)?,
            claims: transaction.open_table(CLAIMS).map_err(failed)?,
            counters: transaction.open_table(COUNTERS).map_err(failed)?,
        })
    }

    /// The next number of the order of arrival.
    pub(super) fn next_sequence(&mut self) -> Result<u64, StoreError> {
        const KEY: &str = "sequence";
        let last = self.counters.get(KEY).map_err(failed)?;
        let next = last.map_or(0, |last| last.value()) + 1;
        self.counters.insert(KEY, next).map_err(failed)?;
        Ok(next)
    }

    pub(super) fn contains(&self, id: u128) -> Result<bool, StoreError> {
        Ok(self.entries.get(id).map_err(failed)?.is_some())
    }

    /// The entry of a row of an index; `None` and a line in the log if it is missing or damaged.
    pub(super) fn get_intact(&self, id: u128) -> Result<Option<Entry>, StoreError> {
        let bytes = self.entries.get(id).map_err(failed)?;
        Ok(bytes.and_then(|bytes| intact(id, bytes.value())))
    }

    pub(super) fn get(&self, id: u128) -> Result<Option<Entry>, StoreError> {
        let bytes = self.entries.get(id).map_err(failed)?;
        bytes.map(|bytes| decode(id, bytes.value())).transpose()
    }

    /// Writes an entry; `before` is the phase that is stored, if any.
    pub(super) fn put(
        &mut self,
        id: u128,
        before: Option<Phase>,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        if before != Some(entry.phase) {
            self.remove_from_indices(id, entry, before)?;
            match entry.phase {
                Phase::Queued { due_ms, sequence } => {
                    let key = (entry.task.group.as_str(), due_ms, sequence);
                    self.queues[entry.priority().index()]
                        .insert(key, id)
                        .map_err(failed)?;
                }
                // Kept for ever: what has no end is not looked for at the start, unlike leases.
                Phase::Ended { until_ms: i64::MAX } | Phase::Dead => {}
                Phase::Leased { until_ms } | Phase::Ended { until_ms } => {
                    self.ends.insert((until_ms, id), ()).map_err(failed)?;
                }
            }
        }
        let mut bytes = Vec::new();
        entry.marshal(&mut Writer::new(&mut bytes));
        self.entries.insert(id, bytes.as_slice()).map_err(failed)?;
        if entry.status().is_final()
            && let Some((key, _)) = entry.claim()
            && self.claimed_by(key)? == Some(id)
        {
            self.claims.remove(key).map_err(failed)?;
        }
        Ok(())
    }

    fn claimed_by(&self, key: &str) -> Result<Option<u128>, StoreError> {
        let id = self.claims.get(key).map_err(failed)?;
        Ok(id.map(|id| id.value()))
    }

    /// Gives a unique key to a task, unless another one holds it. Returns the holder.
    pub(super) fn claim(&mut self, key: &str, id: u128, now_ms: i64) -> Result<u128, StoreError> {
        if let Some(holder) = self.claimed_by(key)?
            && let Some(entry) = self.get_intact(holder)?
            && entry.claim().is_some_and(|(_, until_ms)| until_ms > now_ms)
        {
            return Ok(holder);
        }
        self.claims.insert(key, id).map_err(failed)?;
        Ok(id)
    }

    pub(super) fn remove(&mut self, id: u128, entry: &Entry) -> Result<(), StoreError> {
        self.remove_from_indices(id, entry, Some(entry.phase))?;
        self.entries.remove(id).map_err(failed)?;
        Ok(())
    }

    /// Removes what was stored for a phase. Only a running task changes its group and priority, when
    /// its next step is queued.
    fn remove_from_indices(
        &mut self,
        id: u128,
        entry: &Entry,
        phase: Option<Phase>,
    ) -> Result<(), StoreError> {
        match phase {
            Some(Phase::Queued { due_ms, sequence }) => {
                let key = (entry.task.group.as_str(), due_ms, sequence);
                self.queues[entry.priority().index()]
                    .remove(key)
                    .map_err(failed)?;
            }
            Some(Phase::Leased { until_ms } | Phase::Ended { until_ms }) => {
                self.ends.remove((until_ms, id)).map_err(failed)?;
            }
            Some(Phase::Dead) | None => {}
        }
        Ok(())
    }

    /// The task of a group that is taken next among those that are due, and its priority.
    pub(super) fn next_row(
        &self,
        group: &str,
        now_ms: i64,
        turns: &mut Turns,
    ) -> Result<Option<(Priority, Row)>, StoreError> {
        let mut rows = [None, None, None];
        for (row, queue) in rows.iter_mut().zip(&self.queues) {
            *row = first_row(queue, group, now_ms)?;
        }
        let taken = turns.next(rows.each_ref().map(Option::is_some));
        Ok(taken.and_then(|priority| Some((priority, rows[priority.index()].take()?))))
    }

    pub(super) fn remove_row(
        &mut self,
        group: &str,
        priority: Priority,
        row: &Row,
    ) -> Result<(), StoreError> {
        let key = (group, row.due_ms, row.sequence);
        self.queues[priority.index()].remove(key).map_err(failed)?;
        Ok(())
    }

    /// At most `limit` leases and records that have ended, from the time `from_ms` on.
    pub(super) fn ended(
        &self,
        from_ms: i64,
        now_ms: i64,
        limit: usize,
    ) -> Result<Vec<(i64, u128)>, StoreError> {
        let range = (from_ms, 0)..=(now_ms, u128::MAX);
        let range = self.ends.range(range).map_err(failed)?;
        let rows = range
            .take(limit)
            .map(|row| Ok(row.map_err(failed)?.0.value()));
        rows.collect()
    }

    pub(super) fn remove_end(&mut self, end_ms: i64, id: u128) -> Result<(), StoreError> {
        self.ends.remove((end_ms, id)).map_err(failed)?;
        Ok(())
    }
}

/// A row of the order in which tasks are due.
#[derive(Debug)]
pub(super) struct Row {
    due_ms: i64,
    sequence: u64,
    pub(super) id: u128,
}
