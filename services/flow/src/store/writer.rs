//! An open store.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use redb::backends::InMemoryBackend;
use redb::{Database, StorageBackend};
use tokio::time::Instant;

use crate::machine::{Machine, Record};

use super::backend::{LockedFile, SharedStorage};
use super::checksum;
use super::file::{JOURNAL, StoreError, failed, name, open_database, prepare, without_panic};
use super::recovery::{Recovered, Summary, examine};
use super::snapshot::PendingSnapshot;

/// A snapshot is written after this many records.
const SNAPSHOT_RECORDS: u64 = 10_000;
/// A snapshot is written this long after a change.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(300);

/// How long another process may take to let go of the file.
const LOCK_TIME: Duration = Duration::from_secs(1);

/// Where a store is.
#[derive(Debug, Clone, Default)]
pub enum Source {
    /// In memory, for as long as the server runs.
    #[default]
    Memory,
    /// In a file, which is created if it does not exist.
    File(PathBuf),
    /// In what tests put below it.
    Storage(Arc<dyn StorageBackend>),
}

/// A store that was opened, and the state in it.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Store,
    /// The state.
    pub machine: Machine,
    /// What was in the store.
    pub summary: Summary,
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    storage: SharedStorage,
    /// `None` after a failure, until the store is opened again.
    database: Option<Database>,
    pending: Option<PendingSnapshot>,
    /// The records behind the newest snapshot.
    unsaved: u64,
    /// When a snapshot is due at the latest.
    due: Option<Instant>,
}

impl Store {
    /// Opens a store and restores the state.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if another process uses it, it can't be read, or it is damaged; a damaged
    /// file is left as it is.
    pub fn open(source: &Source) -> Result<Opened, StoreError> {
        let storage = match source {
            Source::Memory => SharedStorage(Arc::new(InMemoryBackend::new())),
            Source::File(path) => {
                create(path)?;
                lock(path)?
            }
            Source::Storage(storage) => SharedStorage(Arc::clone(storage)),
        };
        let mut store = Self {
            storage,
            database: None,
            pending: None,
            unsaved: 0,
            due: None,
        };
        let (machine, summary) = store.reopen()?;
        Ok(Opened {
            store,
            machine,
            summary,
        })
    }

    /// The state that is in the storage, after a failure.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it can't be read.
    pub fn read_again(&mut self) -> Result<(Machine, Summary), StoreError> {
        self.close();
        let recovered = self.examine()?;
        Ok((recovered.machine, recovered.summary))
    }

    /// Opens the storage again, after a failure.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it fails again.
    pub fn reopen(&mut self) -> Result<(Machine, Summary), StoreError> {
        self.close();
        let Recovered {
            machine,
            summary,
            must_rebuild,
        } = self.examine()?;
        let (mut database, _) = open_database(self.storage.clone())?;
        if must_rebuild {
            let rebuilt = without_panic(|| database.check_integrity())?;
            rebuilt.map_err(failed)?;
        }
        without_panic(|| prepare(&database))??;
        self.database = Some(database);
        self.unsaved = summary.last - summary.snapshot;
        self.due = (self.unsaved > 0).then(|| Instant::now() + SNAPSHOT_INTERVAL);
        Ok((machine, summary))
    }

    fn close(&mut self) {
        self.pending = None;
        self.database = None;
    }

    fn examine(&self) -> Result<Recovered, StoreError> {
        let len = self.storage.len();
        match len.map_err(|error| failed(redb::Error::Io(error)))? {
            0 => Ok(Recovered::default()),
            _ => examine(&self.storage, None),
        }
    }

    /// Writes records, which follow those before without a gap. They are synced when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if they may not be there: then [`Store::read_again`] tells what is.
    pub fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        // What a file that is damaged without a sign of it makes redb do may panic, too.
        let is_complete = without_panic(|| self.write(records))??;
        if is_complete {
            self.pending = None;
        }
        self.unsaved += records.len() as u64;
        if self.due.is_none() && !records.is_empty() {
            self.due = Some(Instant::now() + SNAPSHOT_INTERVAL);
        }
        Ok(())
    }

    /// Tells whether the pending snapshot is complete.
    fn write(&mut self, records: &[Record]) -> Result<bool, StoreError> {
        let database = self.database.as_ref().ok_or_else(closed)?;
        let transaction = database.begin_write().map_err(failed)?;
        let mut journal = transaction.open_table(JOURNAL).map_err(failed)?;
        for record in records {
            let encoded = record.encode();
            let mut bytes = encoded.map_err(|error| failed(codec(&error)))?;
            checksum::append(record.sequence, &mut bytes);
            journal
                .insert(record.sequence, bytes.as_slice())
                .map_err(failed)?;
        }
        drop(journal);
        let is_complete = match &mut self.pending {
            Some(pending) => pending.write_part(&transaction)?,
            None => false,
        };
        transaction.commit().map_err(failed)?;
        Ok(is_complete)
    }

    /// Whether parts of a snapshot are still to be written, each by a [`Store::commit`].
    #[must_use]
    pub fn is_writing_snapshot(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether it is time for a snapshot.
    #[must_use]
    pub fn is_snapshot_due(&self) -> bool {
        self.pending.is_none()
            && (self.unsaved >= SNAPSHOT_RECORDS
                || self.due.is_some_and(|due| due <= Instant::now()))
    }

    /// When a snapshot becomes due by the time that has passed.
    #[must_use]
    pub fn snapshot_due_at(&self) -> Option<Instant> {
        self.due.filter(|_| self.pending.is_none())
    }

    /// Begins a snapshot of the state after a record.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the state can't be encoded.
    pub fn begin_snapshot(&mut self, machine: &Machine, sequence: u64) -> Result<(), StoreError> {
        let pending = PendingSnapshot::new(machine, sequence);
        self.pending = Some(pending.map_err(|error| failed(codec(&error)))?);
        self.unsaved = 0;
        self.due = None;
        Ok(())
    }

    /// Writes a snapshot at once.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if that fails.
    pub fn write_snapshot(&mut self, machine: &Machine, sequence: u64) -> Result<(), StoreError> {
        self.begin_snapshot(machine, sequence)?;
        while self.is_writing_snapshot() {
            self.commit(&[])?;
        }
        Ok(())
    }
}

fn closed() -> StoreError {
    failed(redb::Error::DatabaseClosed)
}

fn codec(error: &crate::machine::CodecError) -> redb::Error {
    redb::Error::Io(io::Error::other(error.to_string()))
}

/// Creates a store with its tables, unless there is a file. It gets its name when it is complete: a
/// server that is killed meanwhile leaves nothing that the next one could not open.
fn create(path: &Path) -> Result<(), StoreError> {
    let io = |error| failed(redb::Error::Io(error));
    if path.exists() {
        return Ok(());
    }
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(new);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    let file = options.mode(0o600).open(&new).map_err(io)?;
    let (database, _) = open_database(lock_file(&new, file)?)?;
    prepare(&database)?;
    drop(database);
    // Another server may have been quicker: then its store is the one.
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new).map_err(io)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(io(error)),
        _ => Ok(()),
    }
}

/// Opens a file, and locks it.
pub(super) fn lock(path: &Path) -> Result<SharedStorage, StoreError> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    lock_file(path, file.map_err(|error| failed(redb::Error::Io(error)))?)
}

/// Locks a file that was opened for writing.
pub(super) fn lock_file(path: &Path, file: File) -> Result<SharedStorage, StoreError> {
    let io = |error| failed(redb::Error::Io(error));
    // A child process that is being started shares the locks of files that were open before, until
    // it runs its program.
    let deadline = std::time::Instant::now() + LOCK_TIME;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if std::time::Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(name(path))),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
    }
    file.set_permissions(Permissions::from_mode(0o600))
        .map_err(io)?;
    Ok(SharedStorage(Arc::new(LockedFile(file))))
}
