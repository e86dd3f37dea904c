//! The calls that the gateway has forwarded and that wait for their RETURN.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use tce_runtime::{forwarding::SequenceTable, wire::Header};

use super::Session;
use crate::{metrics::LockedCount, upstream::CallPermit};

/// A forwarded twoway call.
pub(super) struct ForwardedCall {
    /// As the client sent it; the RETURN repeats its fields.
    pub(super) header: Header,
    /// When it was read, in nanoseconds after the start of the gateway.
    pub(super) since: u64,
    pub(super) permit: CallPermit,
    pub(super) session: Arc<Session>,
    /// The call of the same session that was forwarded before this one.
    previous: Option<u32>,
    /// The one after it.
    next: Option<u32>,
}

/// The forwarded calls of a gateway, by the sequence that it has assigned. A client's
/// own sequences may repeat, also on a later connection of the same user: a late
/// RETURN must not answer another call.
///
/// There is a table for each thread; the low bits of a sequence are the number of the
/// thread whose client has made the call. The counts of a thread's routes and sessions
/// are changed under the lock of its table.
pub(crate) struct ForwardedCalls(Box<[Mutex<CallTable>]>);

type CallTable = SequenceTable<ForwardedCall>;

/// The calls of one session, as a list through the table. Changed under the lock of
/// the table alone.
#[derive(Debug, Default)]
pub(super) struct SessionCalls {
    count: LockedCount,
    /// The sequence of the call that was forwarded last, plus one; 0 without a call.
    last: AtomicU64,
    /// The calls that were ever forwarded.
    forwarded: LockedCount,
    /// The bytes of RETURNs.
    returned_bytes: LockedCount,
}

impl SessionCalls {
    /// The number of calls that wait for their RETURN.
    pub(super) fn count(&self) -> usize {
        usize::try_from(self.count.get()).unwrap_or(usize::MAX)
    }

    pub(super) fn forwarded(&self) -> u64 {
        self.forwarded.get()
    }

    pub(super) fn returned_bytes(&self) -> u64 {
        self.returned_bytes.get()
    }

    fn last(&self) -> Option<u32> {
        let last = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        u32::try_from(last).ok()
    }

    fn set_last(&self, last: Option<u32>) {
        let last = last.map_or(0, |last| u64::from(last) + 1);
        self.last.store(last, Ordering::Relaxed);
    }
}

impl ForwardedCalls {
    /// Tables for `threads` threads. `start` is random, so that two gateways at one
    /// queue hardly use the same sequences.
    pub(super) fn new(start: u32, threads: usize) -> Arc<Self> {
        // The property allows far fewer threads.
        let bits = threads.next_power_of_two().trailing_zeros().min(31);
        let table = |thread| {
            let first = (start & (u32::MAX << bits)) | thread;
            Mutex::new(CallTable::with_fixed_bits(first, bits))
        };
        let threads = u32::try_from(threads).unwrap_or(1);
        Arc::new(Self((0..threads).map(table).collect()))
    }

    fn table(&self, sequence: u32) -> Option<&Mutex<CallTable>> {
        let mask = self.0.len().next_power_of_two() - 1;
        self.0.get(sequence as usize & mask)
    }

    /// Adds a call of a thread; returns its sequence.
    pub(super) fn insert(
        &self,
        thread: usize,
        session: Arc<Session>,
        header: Header,
        since: u64,
        permit: CallPermit,
    ) -> u32 {
        let mut table = self.0[thread].lock();
        permit.target().metrics.counts.forwarded.add(1);
        let own = session.calls();
        own.forwarded.add(1);
        own.count.add(1);
        let previous = own.last();
        let sequence = table.insert(ForwardedCall {
            header,
            since,
            permit,
            session,
            previous,
            next: None,
        });
        let before = previous.and_then(|previous| table.get_mut(previous));
        if let Some(before) = before {
            before.next = Some(sequence);
        }
        if let Some(call) = table.get_mut(sequence) {
            call.session.calls().set_last(Some(sequence));
        }
        sequence
    }

    /// Corrects where a call was sent to.
    pub(super) fn set_target(&self, sequence: u32, permit: CallPermit) {
        let mut before = None;
        if let Some(table) = self.table(sequence)
            && let Some(call) = table.lock().get_mut(sequence)
        {
            before = Some(std::mem::replace(&mut call.permit, permit));
        }
        drop(before);
    }

    /// Removes a call.
    pub(super) fn take(&self, sequence: u32) -> Option<ForwardedCall> {
        remove(&mut self.table(sequence)?.lock(), sequence)
    }

    /// Removes a call that was not sent, as if it had not been added.
    pub(super) fn withdraw(&self, sequence: u32) {
        let Some(table) = self.table(sequence) else {
            return;
        };
        let mut table = table.lock();
        let call = remove(&mut table, sequence);
        if let Some(call) = &call {
            call.session.calls().forwarded.take_back();
            call.permit.target().metrics.counts.forwarded.take_back();
        }
        drop(table);
    }

    /// Removes the call that a RETURN to `user` answers, and counts the RETURN. `now`
    /// is in nanoseconds after the start of the gateway.
    pub(super) fn take_returned(
        &self,
        sequence: u32,
        user: &[u8],
        errcode: u32,
        size: usize,
        now: u64,
    ) -> Option<ForwardedCall> {
        let mut table = self.table(sequence)?.lock();
        let call = table.get_mut(sequence)?;
        if !call.session.is_user(user) {
            return None;
        }
        call.session.calls().returned_bytes.add(size as u64);
        let time = now.saturating_sub(call.since);
        call.permit
            .target()
            .metrics
            .counts
            .count_return(errcode, time);
        remove(&mut table, sequence)
    }

    /// Removes the calls of a session of a thread that `is_taken` selects.
    pub(super) fn take_of_session(
        &self,
        thread: usize,
        session: &Session,
        is_taken: impl Fn(&ForwardedCall) -> bool,
    ) -> Vec<(u32, ForwardedCall)> {
        let mut taken = Vec::new();
        if session.calls().count() == 0 {
            return taken;
        }
        let mut table = self.0[thread].lock();
        let mut next = session.calls().last();
        while let Some(sequence) = next
            && let Some(call) = table.get_mut(sequence)
        {
            next = call.previous;
            if is_taken(call) {
                taken.extend(remove(&mut table, sequence).map(|call| (sequence, call)));
            }
        }
        taken
    }
}

/// Removes a call from the table and from the list of its session.
fn remove(table: &mut MutexGuard<'_, CallTable>, sequence: u32) -> Option<ForwardedCall> {
    let call = table.remove(sequence)?;
    let own = call.session.calls();
    own.count.take_back();
    if let Some(previous) = call.previous.and_then(|previous| table.get_mut(previous)) {
        previous.next = call.next;
    }
    match call.next.and_then(|next| table.get_mut(next)) {
        Some(next) => next.previous = call.previous,
        None => own.set_last(call.previous),
    }
    Some(call)
}
