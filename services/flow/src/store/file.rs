//! The tables, and how redb opens them.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Once};

use redb::{
    Database, DatabaseError, ReadableTable, StorageBackend, StorageError, TableDefinition,
    WriteTransaction,
};

/// Records by sequence number.
pub(super) const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
/// Parts of snapshots, by the sequence number of the last record in it and the part's number.
pub(super) const SNAPSHOT: TableDefinition<'_, (u64, u32), &[u8]> =
    TableDefinition::new("snapshot");
/// The parts of each complete snapshot, by its sequence number.
pub(super) const COMPLETE: TableDefinition<'_, u64, u32> = TableDefinition::new("complete");
/// `format`.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The format of the tables.
pub(super) const FORMAT: u64 = 1;

/// redb's default of 1 GiB is far more than a journal needs.
const CACHE_BYTES: usize = 16 << 20;

/// Why a store can't be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process has the file.
    #[error("the store {0} is in use by another process")]
    InUse(String),
    /// The file can't be opened, read or written.
    #[error("the store failed: {0}")]
    Failed(Arc<redb::Error>),
    /// Bytes of the file are wrong.
    #[error("the store is damaged: {what}{}", what_is_safe(*.intact))]
    Damaged {
        /// What is wrong.
        what: String,
        /// The last record up to which the state can be restored.
        intact: Option<u64>,
    },
    /// A later version has written it.
    #[error("the store has format {0}; this version reads format {FORMAT}")]
    Format(u64),
}

fn what_is_safe(intact: Option<u64>) -> String {
    match intact {
        Some(intact) => format!(
            "; all is safe up to record {intact}: `tce-flow serve --recover-to {intact}` starts \
             with that, and keeps the old file beside it"
        ),
        None => "; nothing in it can be restored".to_owned(),
    }
}

pub(super) fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Failed(Arc::new(error.into()))
}

impl StoreError {
    pub(super) fn damaged(what: impl Into<String>, intact: Option<u64>) -> Self {
        let what = what.into();
        Self::Damaged { what, intact }
    }
}

/// How redb has found a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It was closed. Its pages were not looked at.
    Closed,
    /// It was not closed: redb has looked through all of it.
    Unclosed,
}

/// Opens storage, which redb repairs if it was not closed.
pub(super) fn open_database(storage: impl StorageBackend) -> Result<(Database, Found), StoreError> {
    let found = Rc::new(Cell::new(Found::Closed));
    let reported = Rc::clone(&found);
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder.set_repair_callback(move |_| reported.set(Found::Unclosed));
    let opened = without_panic(|| builder.create_with_backend(storage).map_err(opening))?;
    Ok((opened?, found.get()))
}

fn opening(error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::Storage(StorageError::Corrupted(what)) => StoreError::damaged(what, None),
        error => failed(error),
    }
}

thread_local! {
    /// Whether this thread runs what may panic on damaged bytes.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs what may panic on the bytes of a damaged file: redb, and the replay of commands. A panic
/// says that the file is damaged, and is not printed.
pub(super) fn without_panic<T>(run: impl FnOnce() -> T) -> Result<T, StoreError> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_QUIET.get() {
                print(panic);
            }
        }));
    });
    let before = IS_QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    IS_QUIET.set(before);
    result.map_err(|_| StoreError::damaged("its pages make no sense", None))
}

/// Creates what is missing, and removes what a server that ended has left half done.
pub(super) fn prepare(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(failed)?;
    transaction.open_table(JOURNAL).map_err(failed)?;
    transaction.open_table(SNAPSHOT).map_err(failed)?;
    transaction.open_table(COMPLETE).map_err(failed)?;
    let mut meta = transaction.open_table(META).map_err(failed)?;
    meta.insert("format", FORMAT).map_err(failed)?;
    drop(meta);
    remove_incomplete(&transaction)?;
    transaction.commit().map_err(failed)
}

/// Removes the parts of snapshots that were never completed.
fn remove_incomplete(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let complete = transaction.open_table(COMPLETE).map_err(failed)?;
    let mut sequences = Vec::new();
    for entry in complete.iter().map_err(failed)? {
        sequences.push(entry.map_err(failed)?.0.value());
    }
    let mut parts = transaction.open_table(SNAPSHOT).map_err(failed)?;
    parts
        .retain(|(sequence, _), _| sequences.contains(&sequence))
        .map_err(failed)
}

/// The name of a store in messages.
pub(super) fn name(path: &Path) -> String {
    path.display().to_string()
}
