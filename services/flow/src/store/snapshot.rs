//! Snapshots, written part by part: commands go on meanwhile.

use redb::{ReadableTable, WriteTransaction};

use crate::machine::{CodecError, Machine};

use super::checksum;
use super::file::{COMPLETE, JOURNAL, SNAPSHOT, StoreError, failed};

/// The bytes of a part.
const PART: usize = 1 << 20;
/// How many snapshots are kept.
const KEPT: usize = 2;

/// A snapshot that is being written.
#[derive(Debug)]
pub(super) struct PendingSnapshot {
    sequence: u64,
    bytes: Vec<u8>,
    written: u32,
}

impl PendingSnapshot {
    /// The state after a record.
    pub(super) fn new(machine: &Machine, sequence: u64) -> Result<Self, CodecError> {
        let mut bytes = machine.snapshot()?;
        checksum::append(sequence, &mut bytes);
        Ok(Self {
            sequence,
            bytes,
            written: 0,
        })
    }

    /// Writes the next part; with the last one the snapshot counts, and what it replaces is
    /// removed. Tells whether it is complete.
    pub(super) fn write_part(
        &mut self,
        transaction: &WriteTransaction,
    ) -> Result<bool, StoreError> {
        let start = self.written as usize * PART;
        let part = &self.bytes[start..self.bytes.len().min(start + PART)];
        let mut table = transaction.open_table(SNAPSHOT).map_err(failed)?;
        table
            .insert((self.sequence, self.written), part)
            .map_err(failed)?;
        drop(table);
        self.written += 1;
        let is_complete = self.written as usize * PART >= self.bytes.len();
        if is_complete {
            let mut complete = transaction.open_table(COMPLETE).map_err(failed)?;
            complete
                .insert(self.sequence, self.written)
                .map_err(failed)?;
            drop(complete);
            remove_old(transaction)?;
        }
        Ok(is_complete)
    }
}

/// Removes what only snapshots that are no longer kept need.
fn remove_old(transaction: &WriteTransaction) -> Result<(), StoreError> {
    let mut complete = transaction.open_table(COMPLETE).map_err(failed)?;
    let mut sequences = Vec::new();
    for entry in complete.iter().map_err(failed)? {
        sequences.push(entry.map_err(failed)?.0.value());
    }
    let Some(at) = sequences.len().checked_sub(KEPT) else {
        return Ok(());
    };
    let oldest = sequences[at];
    complete.retain_in(..oldest, |_, _| false).map_err(failed)?;
    let mut parts = transaction.open_table(SNAPSHOT).map_err(failed)?;
    parts
        .retain_in(..(oldest, 0), |_, _| false)
        .map_err(failed)?;
    let mut journal = transaction.open_table(JOURNAL).map_err(failed)?;
    journal.retain_in(..=oldest, |_, _| false).map_err(failed)
}
