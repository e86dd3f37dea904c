//! From the bytes of a store to the state.

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableError,
};

use crate::machine::{Machine, Record};

use super::backend::{Overlay, SharedStorage};
use super::checksum;
use super::file::{
    COMPLETE, FORMAT, Found, JOURNAL, META, SNAPSHOT, StoreError, failed, open_database, prepare,
    without_panic,
};

/// What a store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The last record in the snapshot that the state was restored from; 0: none.
    pub snapshot: u64,
    /// The last record; 0: none.
    pub last: u64,
    /// What is unusual, although nothing confirmed is missing.
    pub notes: Vec<String>,
}

/// The state that a store holds.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) machine: Machine,
    pub(super) summary: Summary,
    /// Whether the list of free pages has to be made anew before anything is written.
    pub(super) must_rebuild: bool,
}

/// Looks through storage without changing it, and restores the state from it, up to a record if
/// one is given: then damage of what comes later does not matter.
pub(super) fn examine(
    storage: &SharedStorage,
    until: Option<u64>,
) -> Result<Recovered, StoreError> {
    let open = || {
        let overlay = Overlay::new(storage.clone()).map_err(|error| failed(redb::Error::Io(error)));
        open_database(overlay?)
    };
    let (mut database, found) = open()?;
    // A file that was closed is opened without a look at its pages.
    let pages = match found {
        Found::Closed => {
            let pages = look_at_pages(&mut database);
            // What that has left in memory is not used.
            close_quietly(std::mem::replace(&mut database, open()?.0));
            pages
        }
        Found::Unclosed => Pages::Intact,
    };
    let recovered = without_panic(|| recover(&database, until, found));
    // What a server will do first with the file is tried, too.
    let is_usable = without_panic(|| {
        let is_same = match &pages {
            Pages::Rebuilt(ends) => ends_of(&database)? == *ends,
            Pages::Intact => true,
            Pages::Damaged => false,
        };
        has_all(&database)?;
        prepare(&database)?;
        Ok::<_, StoreError>(is_same)
    });
    close_quietly(database);
    let mut recovered = recovered??;
    if until.is_none() && !matches!(is_usable, Ok(Ok(true))) {
        let last = recovered.summary.last;
        return Err(StoreError::damaged(
            "a page does not fit its checksum",
            Some(last),
        ));
    }
    recovered.must_rebuild = matches!(pages, Pages::Rebuilt(_));
    Ok(recovered)
}

/// What a look at all pages of a file has shown.
enum Pages {
    Intact,
    /// Those that hold data are intact, or redb has gone back to the commit before; it had to make
    /// the list of free pages anew. What the data ended with then.
    Rebuilt(Ends),
    Damaged,
}

/// The last record and the last snapshot.
type Ends = (Option<u64>, Option<u64>);

fn look_at_pages(database: &mut Database) -> Pages {
    let looked = without_panic(|| match database.check_integrity() {
        Ok(true) => Pages::Intact,
        Ok(false) => ends_of(database).map_or(Pages::Damaged, Pages::Rebuilt),
        Err(_) => Pages::Damaged,
    });
    looked.unwrap_or(Pages::Damaged)
}

fn ends_of(database: &Database) -> Result<Ends, StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    if !has_format(&transaction)? {
        return Ok((None, None));
    }
    let journal = transaction.open_table(JOURNAL).map_err(failed)?;
    let complete = transaction.open_table(COMPLETE).map_err(failed)?;
    let record = journal.last().map_err(failed)?;
    let snapshot = complete.last().map_err(failed)?;
    Ok((
        record.map(|(key, _)| key.value()),
        snapshot.map(|(key, _)| key.value()),
    ))
}

/// Whether each table has as many entries as it says: checksums do not cover that.
fn has_all(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    if !has_format(&transaction)? {
        return Ok(());
    }
    let journal = transaction.open_table(JOURNAL).map_err(failed)?;
    let snapshot = transaction.open_table(SNAPSHOT).map_err(failed)?;
    let complete = transaction.open_table(COMPLETE).map_err(failed)?;
    let meta = transaction.open_table(META).map_err(failed)?;
    let counts = [
        (journal.len(), journal.iter().map_err(failed)?.count()),
        (snapshot.len(), snapshot.iter().map_err(failed)?.count()),
        (complete.len(), complete.iter().map_err(failed)?.count()),
        (meta.len(), meta.iter().map_err(failed)?.count()),
    ];
    for (said, counted) in counts {
        if said.map_err(failed)? != counted as u64 {
            return Err(StoreError::damaged("a table has lost entries", None));
        }
    }
    Ok(())
}

/// Closes an overlay, which may panic after what redb has read was damaged.
fn close_quietly(database: Database) {
    // The overlay is discarded: it does not matter whether closing it succeeds.
    let _ = without_panic(|| drop(database));
}

fn recover(database: &Database, until: Option<u64>, found: Found) -> Result<Recovered, StoreError> {
    let transaction = database.begin_read().map_err(failed)?;
    if !has_format(&transaction)? {
        return Ok(Recovered::default());
    }
    let mut recovered = newest_snapshot(&transaction, until)?;
    replay(&transaction, until, &mut recovered)?;
    if found == Found::Unclosed {
        let last = recovered.summary.last;
        // redb goes back to the commit before the last one where that is not complete, and does not
        // always tell.
        recovered.summary.notes.push(format!(
            "the store had not been closed; record {last} is the last one that is complete"
        ));
    }
    Ok(recovered)
}

/// Whether the tables are there, in this format.
fn has_format(transaction: &ReadTransaction) -> Result<bool, StoreError> {
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    let format = meta.get("format").map_err(failed)?;
    match format.map(|format| format.value()) {
        Some(FORMAT) => Ok(true),
        Some(other) => Err(StoreError::Format(other)),
        None => Err(StoreError::damaged("it says no format", None)),
    }
}

/// The state of the newest snapshot that is intact; the empty state if there was none yet.
fn newest_snapshot(
    transaction: &ReadTransaction,
    until: Option<u64>,
) -> Result<Recovered, StoreError> {
    let complete = transaction.open_table(COMPLETE).map_err(failed)?;
    let mut notes = Vec::new();
    let range = complete
        .range(..=until.unwrap_or(u64::MAX))
        .map_err(failed)?;
    for entry in range.rev() {
        let (sequence, parts) = entry.map_err(failed)?;
        let (sequence, parts) = (sequence.value(), parts.value());
        match snapshot(transaction, sequence, parts)? {
            Some(machine) => {
                return Ok(Recovered {
                    machine,
                    summary: Summary {
                        snapshot: sequence,
                        last: sequence,
                        notes,
                    },
                    must_rebuild: false,
                });
            }
            None => notes.push(format!(
                "the snapshot after record {sequence} is damaged; the one before was used"
            )),
        }
    }
    Ok(Recovered {
        machine: Machine::default(),
        summary: Summary {
            notes,
            ..Summary::default()
        },
        must_rebuild: false,
    })
}

fn snapshot(
    transaction: &ReadTransaction,
    sequence: u64,
    parts: u32,
) -> Result<Option<Machine>, StoreError> {
    let table = transaction.open_table(SNAPSHOT).map_err(failed)?;
    let mut bytes = Vec::new();
    for part in 0..parts {
        match table.get((sequence, part)).map_err(failed)? {
            Some(part) => bytes.extend_from_slice(part.value()),
            None => return Ok(None),
        }
    }
    let content = checksum::verified(sequence, &bytes);
    Ok(content.and_then(|content| Machine::restore(content).ok()))
}

/// Applies the records behind the snapshot.
fn replay(
    transaction: &ReadTransaction,
    until: Option<u64>,
    recovered: &mut Recovered,
) -> Result<(), StoreError> {
    let Recovered {
        machine, summary, ..
    } = recovered;
    let journal = transaction.open_table(JOURNAL).map_err(failed)?;
    let until = until.unwrap_or(u64::MAX);
    let mut last = summary.last;
    let records = journal.range(last + 1..=until.max(last + 1));
    for entry in records.map_err(failed)? {
        let (key, bytes) = entry.map_err(failed)?;
        if key.value() > until {
            break;
        }
        let next = last + 1;
        // Before the first snapshot there is nothing else to start from.
        let intact = (last > 0 || summary.snapshot > 0 || next == 1).then_some(last);
        let damaged = |what: String| StoreError::damaged(what, intact);
        if key.value() != next {
            return Err(damaged(format!("record {next} is missing")));
        }
        let record = record(next, bytes.value())
            .map_err(|reason| damaged(format!("record {next} {reason}")))?;
        let applied = without_panic(|| machine.apply(&record))
            .map_err(|_| damaged(format!("record {next} can't be applied")))?;
        applied.map_err(|refusal| damaged(format!("record {next} is refused now: {refusal}")))?;
        last = next;
    }
    summary.last = last;
    Ok(())
}

fn record(sequence: u64, bytes: &[u8]) -> Result<Record, String> {
    let content = checksum::verified(sequence, bytes).ok_or("does not fit its checksum")?;
    let record = Record::decode(content).map_err(|error| format!("can't be read: {error}"))?;
    if record.sequence == sequence {
        Ok(record)
    } else {
        Err(format!("says that it is record {}", record.sequence))
    }
}
