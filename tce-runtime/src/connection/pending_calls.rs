//! Calls that wait for their RETURN: which caller a RETURN belongs to, and when
//! a call times out.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep_until};

use crate::{error::ErrorCode, in_flight::wait_until, wire::Extra};

/// The number of slots after the first call. Before it there are none: most
/// connections of a server never call.
const MIN_SLOTS: usize = 64;
/// A larger table shrinks when it is empty.
const KEEP_SLOTS: usize = 1024;

/// How a call ended.
#[derive(Debug)]
pub(crate) enum CallOutcome {
    /// Its RETURN.
    Returned(Reply),
    /// No RETURN until its deadline.
    TimedOut,
    /// The connection ended first, with this reason.
    Lost(Arc<str>),
    /// It could not be sent, or its RETURN can't arrive.
    Failed(ErrorCode, String),
}

/// A RETURN, still marshalled.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) errcode: u32,
    pub(crate) extra: Extra,
    pub(crate) result: Bytes,
}

#[derive(Debug)]
enum SlotState {
    Free,
    Waiting {
        deadline: Instant,
        waker: Option<Waker>,
    },
    Done(CallOutcome),
}

#[derive(Debug)]
struct CallSlot {
    sequence: u32,
    state: SlotState,
}

/// A call that was entered in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnteredCall {
    /// Its RETURN carries the same number.
    pub(crate) sequence: u32,
    /// Whether no other call waits.
    pub(crate) is_alone: bool,
}

/// The calls of one connection, in a table indexed by `sequence` modulo its
/// size.
///
/// Sequences count up; one whose slot is taken is skipped, so a call that waits
/// for long costs its slot only. A sequence is used again after 2³² others: a
/// RETURN that arrives after its caller's deadline can't meet another call.
#[derive(Debug)]
pub(crate) struct PendingCalls {
    table: Mutex<CallTable>,
    limit: usize,
    /// A call has left a full table.
    capacity: Notify,
    /// The earliest deadline has changed.
    deadline_changed: Notify,
}

#[derive(Debug)]
struct CallTable {
    slots: Vec<CallSlot>,
    next: u32,
    taken: usize,
    waiting: usize,
    /// When [`PendingCalls::expire`] is due: not after the earliest deadline.
    next_expiry: Option<Instant>,
}

impl PendingCalls {
    pub(crate) fn new(limit: usize, first: u32) -> Self {
        let table = CallTable {
            slots: Vec::new(),
            next: first,
            taken: 0,
            waiting: 0,
            next_expiry: None,
        };
        Self {
            table: Mutex::new(table),
            limit,
            capacity: Notify::new(),
            deadline_changed: Notify::new(),
        }
    }

    /// Enters a call; `None` if the limit is reached.
    pub(crate) fn enter(&self, deadline: Instant) -> Option<EnteredCall> {
        let mut table = self.table.lock();
        if table.taken >= self.limit {
            return None;
        }
        let sequence = table.take_slot(SlotState::Waiting {
            deadline,
            waker: None,
        });
        table.waiting += 1;
        if table.next_expiry.is_none_or(|expiry| deadline < expiry) {
            table.next_expiry = Some(deadline);
            self.deadline_changed.notify_one();
        }
        Some(EnteredCall {
            sequence,
            is_alone: table.waiting == 1,
        })
    }

    /// Hands a RETURN to its caller; false if no call waits for it.
    pub(crate) fn complete(&self, sequence: u32, reply: Reply) -> bool {
        self.finish(sequence, CallOutcome::Returned(reply))
    }

    fn finish(&self, sequence: u32, outcome: CallOutcome) -> bool {
        let mut table = self.table.lock();
        let Some(slot) = table.slot(sequence) else {
            return false;
        };
        let SlotState::Waiting { waker, .. } = &mut slot.state else {
            return false;
        };
        let waker = waker.take();
        slot.state = SlotState::Done(outcome);
        table.waiting -= 1;
        drop(table);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// The outcome of a call, which frees its slot. Polled again, the call counts
    /// as lost.
    pub(crate) fn poll(&self, sequence: u32, cx: &Context<'_>) -> Poll<CallOutcome> {
        let mut table = self.table.lock();
        let Some(slot) = table.slot(sequence) else {
            return Poll::Ready(taken_before());
        };
        if let SlotState::Waiting { waker, .. } = &mut slot.state {
            match waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        match self.free(&mut table, sequence) {
            SlotState::Done(outcome) => Poll::Ready(outcome),
            _ => Poll::Ready(taken_before()),
        }
    }

    /// Removes a call whose caller no longer waits.
    pub(crate) fn forget(&self, sequence: u32) {
        let mut table = self.table.lock();
        if table.slot(sequence).is_some()
            && matches!(self.free(&mut table, sequence), SlotState::Waiting { .. })
        {
            table.waiting -= 1;
        }
    }

    /// Fails the calls past their deadline.
    fn expire(&self, now: Instant) {
        let mut table = self.table.lock();
        let mut next: Option<Instant> = None;
        let due = table.finish_where(
            || CallOutcome::TimedOut,
            |deadline| {
                let due = deadline <= now;
                if !due {
                    next = Some(next.map_or(deadline, |next| next.min(deadline)));
                }
                due
            },
        );
        table.next_expiry = next;
        drop(table);
        due.into_iter().for_each(Waker::wake);
    }

    /// Waits for the next deadline, for `also`, or for
    /// [`PendingCalls::recheck_deadlines`]; then fails the calls past their
    /// deadline.
    pub(crate) async fn await_deadline(&self, also: Option<Instant>) {
        let expiry = self.table.lock().next_expiry;
        let changed = self.deadline_changed.notified();
        match [expiry, also].into_iter().flatten().min() {
            Some(next) => tokio::select! {
                () = sleep_until(next.into()) => {}
                () = changed => {}
            },
            None => changed.await,
        }
        self.expire(Instant::now());
    }

    /// Ends the wait of [`PendingCalls::await_deadline`].
    pub(crate) fn recheck_deadlines(&self) {
        self.deadline_changed.notify_one();
    }

    /// Fails one call.
    pub(crate) fn fail(&self, sequence: u32, code: ErrorCode, text: &str) {
        self.finish(sequence, CallOutcome::Failed(code, text.into()));
    }

    /// Fails all calls: the connection has ended.
    pub(crate) fn lose_all(&self, reason: &str) {
        let reason: Arc<str> = reason.into();
        let mut table = self.table.lock();
        let lost = table.finish_where(|| CallOutcome::Lost(Arc::clone(&reason)), |_| true);
        table.next_expiry = None;
        drop(table);
        lost.into_iter().for_each(Waker::wake);
    }

    /// How many calls wait for their RETURN.
    pub(crate) fn waiting(&self) -> usize {
        self.table.lock().waiting
    }

    /// Waits until another call can be entered.
    pub(crate) async fn capacity(&self) {
        wait_until(&self.capacity, || self.table.lock().taken < self.limit).await;
    }

    /// Frees a slot, and wakes the callers that wait for one.
    fn free(&self, table: &mut CallTable, sequence: u32) -> SlotState {
        if table.taken >= self.limit {
            self.capacity.notify_waiters();
        }
        table.free_slot(sequence)
    }
}

impl CallTable {
    fn position(&self, sequence: u32) -> usize {
        // The number of slots is zero or a power of two.
        sequence as usize & self.slots.len().wrapping_sub(1)
    }

    /// The slot of a call, if it is in the table.
    fn slot(&mut self, sequence: u32) -> Option<&mut CallSlot> {
        let position = self.position(sequence);
        let slot = self.slots.get_mut(position)?;
        (slot.sequence == sequence && !matches!(slot.state, SlotState::Free)).then_some(slot)
    }

    fn take_slot(&mut self, state: SlotState) -> u32 {
        // At most half full, so that a free slot is found after a few steps.
        if self.taken * 2 >= self.slots.len() {
            self.grow();
        }
        loop {
            let sequence = self.next;
            self.next = self.next.wrapping_add(1);
            let position = self.position(sequence);
            if let Some(slot) = self.slots.get_mut(position)
                && matches!(slot.state, SlotState::Free)
            {
                *slot = CallSlot { sequence, state };
                self.taken += 1;
                return sequence;
            }
        }
    }

    /// Doubles the table. Calls with different slots have different slots in a
    /// table of twice the size, so moving them needs no search.
    fn grow(&mut self) {
        let doubled = free_slots((self.slots.len() * 2).max(MIN_SLOTS));
        for slot in std::mem::replace(&mut self.slots, doubled) {
            if !matches!(slot.state, SlotState::Free) {
                let position = self.position(slot.sequence);
                self.slots[position] = slot;
            }
        }
    }

    fn free_slot(&mut self, sequence: u32) -> SlotState {
        let position = self.position(sequence);
        let state = std::mem::replace(&mut self.slots[position].state, SlotState::Free);
        self.taken -= 1;
        if self.taken == 0 && self.slots.len() > KEEP_SLOTS {
            self.slots = free_slots(MIN_SLOTS);
        }
        state
    }

    /// Ends the waiting calls whose deadline passes `ends`; returns the wakers to
    /// call once the lock is released.
    fn finish_where(
        &mut self,
        outcome: impl Fn() -> CallOutcome,
        mut ends: impl FnMut(Instant) -> bool,
    ) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for slot in &mut self.slots {
            let SlotState::Waiting { deadline, waker } = &mut slot.state else {
                continue;
            };
            if ends(*deadline) {
                wakers.extend(waker.take());
                slot.state = SlotState::Done(outcome());
                self.waiting -= 1;
            }
        }
        wakers
    }
}

fn free_slots(count: usize) -> Vec<CallSlot> {
    std::iter::repeat_with(|| CallSlot {
        sequence: 0,
        state: SlotState::Free,
    })
    .take(count)
    .collect()
}

/// The outcome of a call that is polled after its end.
fn taken_before() -> CallOutcome {
    CallOutcome::Lost("the result was taken before".into())
}
