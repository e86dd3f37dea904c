//! PendingCalls in flight: which caller a RETURN belongs to.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use tokio::{sync::Notify, time::sleep_until};

use crate::{error::ErrorCode, in_flight::wait_until, wire::Extra};

/// The slots of a table that was used. One that never was has none: most
/// connections of a server never call.
const MIN_SLOTS: usize = 64;
/// An empty table of more slots than this is given back.
const KEEP_SLOTS: usize = 1024;

/// What came back for a call.
#[derive(Debug)]
pub(crate) enum CallOutcome {
    /// Its RETURN.
    Returned(Reply),
    /// Nothing until its deadline.
    TimedOut,
    /// The connection ended first, for this reason.
    Lost(Arc<str>),
    /// It could not be sent, or not be answered.
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
enum State {
    Free,
    Waiting {
        deadline: Instant,
        waker: Option<Waker>,
    },
    Done(CallOutcome),
}

#[derive(Debug)]
struct Slot {
    sequence: u32,
    state: State,
}

/// A call that has its place in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entered {
    /// What pairs its RETURN with it.
    pub(crate) sequence: u32,
    /// Whether no other call waits.
    pub(crate) alone: bool,
}

/// The calls of one connection, in a table whose slot is `sequence` modulo its
/// size.
///
/// Sequences count up, and one whose slot is taken is passed over: a call that
/// waits for long costs its slot and nothing else. So a sequence returns only
/// after 2³² others, and a RETURN that comes after its caller's deadline can't
/// meet another call.
#[derive(Debug)]
pub(crate) struct PendingCalls {
    table: Mutex<Table>,
    limit: usize,
    /// A call has left a table that was full.
    left: Notify,
    /// Whoever watches the deadlines has to look again.
    changed: Notify,
}

#[derive(Debug)]
struct Table {
    slots: Vec<Slot>,
    next: u32,
    taken: usize,
    waiting: usize,
    /// When [`PendingCalls::expire`] is due; no waiting call's deadline is before it.
    watched: Option<Instant>,
}

impl PendingCalls {
    pub(crate) fn new(limit: usize, first: u32) -> Self {
        let table = Table {
            slots: Vec::new(),
            next: first,
            taken: 0,
            waiting: 0,
            watched: None,
        };
        Self {
            table: Mutex::new(table),
            limit,
            left: Notify::new(),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; none is left where the limit is reached.
    pub(crate) fn enter(&self, deadline: Instant) -> Option<Entered> {
        let mut table = self.lock();
        if table.taken >= self.limit {
            return None;
        }
        let sequence = table.take_slot(State::Waiting {
            deadline,
            waker: None,
        });
        table.waiting += 1;
        if table.watched.is_none_or(|watched| deadline < watched) {
            table.watched = Some(deadline);
            self.changed.notify_one();
        }
        Some(Entered {
            sequence,
            alone: table.waiting == 1,
        })
    }

    /// Hands a RETURN to its caller; false where nobody waits for it.
    pub(crate) fn complete(&self, sequence: u32, reply: Reply) -> bool {
        self.finish(sequence, CallOutcome::Returned(reply))
    }

    fn finish(&self, sequence: u32, outcome: CallOutcome) -> bool {
        let mut table = self.lock();
        let Some(slot) = table.slot(sequence) else {
            return false;
        };
        let State::Waiting { waker, .. } = &mut slot.state else {
            return false;
        };
        let waker = waker.take();
        slot.state = State::Done(outcome);
        table.waiting -= 1;
        drop(table);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// The outcome of a call. Its slot is free once it has been taken; whoever
    /// asks again is told that the call is lost.
    pub(crate) fn poll(&self, sequence: u32, cx: &Context<'_>) -> Poll<CallOutcome> {
        let mut table = self.lock();
        let Some(slot) = table.slot(sequence) else {
            return Poll::Ready(taken_before());
        };
        if let State::Waiting { waker, .. } = &mut slot.state {
            match waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        }
        match self.free(&mut table, sequence) {
            State::Done(outcome) => Poll::Ready(outcome),
            _ => Poll::Ready(taken_before()),
        }
    }

    /// Forgets a call whose caller has gone.
    pub(crate) fn forget(&self, sequence: u32) {
        let mut table = self.lock();
        if table.slot(sequence).is_some()
            && matches!(self.free(&mut table, sequence), State::Waiting { .. })
        {
            table.waiting -= 1;
        }
    }

    /// Fails what is past its deadline.
    fn expire(&self, now: Instant) {
        let mut table = self.lock();
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
        table.watched = next;
        drop(table);
        due.into_iter().for_each(Waker::wake);
    }

    /// Waits for the next deadline, for `also`, or until somebody calls
    /// [`PendingCalls::look_again`]; fails what is past its deadline.
    pub(crate) async fn watch_once(&self, also: Option<Instant>) {
        let watched = self.lock().watched;
        let changed = self.changed.notified();
        match [watched, also].into_iter().flatten().min() {
            Some(next) => tokio::select! {
                () = sleep_until(next.into()) => {}
                () = changed => {}
            },
            None => changed.await,
        }
        self.expire(Instant::now());
    }

    /// Wakes whoever watches the deadlines.
    pub(crate) fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Fails one call.
    pub(crate) fn fail(&self, sequence: u32, code: ErrorCode, text: &str) {
        self.finish(sequence, CallOutcome::Failed(code, text.into()));
    }

    /// Fails all calls: the connection has ended.
    pub(crate) fn lose_all(&self, reason: &str) {
        let reason: Arc<str> = reason.into();
        let mut table = self.lock();
        let lost = table.finish_where(|| CallOutcome::Lost(Arc::clone(&reason)), |_| true);
        table.watched = None;
        drop(table);
        lost.into_iter().for_each(Waker::wake);
    }

    /// How many calls wait for their RETURN.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Waits until another call would find a place.
    pub(crate) async fn capacity(&self) {
        wait_until(&self.left, || self.lock().taken < self.limit).await;
    }

    /// Frees a slot of the table, and tells those who wait for one.
    fn free(&self, table: &mut Table, sequence: u32) -> State {
        if table.taken >= self.limit {
            self.left.notify_waiters();
        }
        table.free_slot(sequence)
    }
}

impl Table {
    fn position(&self, sequence: u32) -> usize {
        // The number of slots is a power of two, or zero: then there is no place.
        sequence as usize & self.slots.len().wrapping_sub(1)
    }

    /// The slot of a call that is in the table.
    fn slot(&mut self, sequence: u32) -> Option<&mut Slot> {
        let position = self.position(sequence);
        let slot = self.slots.get_mut(position)?;
        (slot.sequence == sequence && !matches!(slot.state, State::Free)).then_some(slot)
    }

    fn take_slot(&mut self, state: State) -> u32 {
        // At most half full, so that the next free slot is near.
        if self.taken * 2 >= self.slots.len() {
            self.grow();
        }
        loop {
            let sequence = self.next;
            self.next = self.next.wrapping_add(1);
            let position = self.position(sequence);
            if let Some(slot) = self.slots.get_mut(position)
                && matches!(slot.state, State::Free)
            {
                *slot = Slot { sequence, state };
                self.taken += 1;
                return sequence;
            }
        }
    }

    /// Two calls that have different slots in a table have different slots in
    /// one of twice its size, so that moving them needs no search.
    fn grow(&mut self) {
        let doubled = free_slots((self.slots.len() * 2).max(MIN_SLOTS));
        for slot in std::mem::replace(&mut self.slots, doubled) {
            if !matches!(slot.state, State::Free) {
                let position = self.position(slot.sequence);
                self.slots[position] = slot;
            }
        }
    }

    fn free_slot(&mut self, sequence: u32) -> State {
        let position = self.position(sequence);
        let state = std::mem::replace(&mut self.slots[position].state, State::Free);
        self.taken -= 1;
        if self.taken == 0 && self.slots.len() > KEEP_SLOTS {
            self.slots = free_slots(MIN_SLOTS);
        }
        state
    }

    /// Gives an outcome to the waiting calls whose deadline passes the test;
    /// returns who is to be woken once the lock is released.
    fn finish_where(
        &mut self,
        outcome: impl Fn() -> CallOutcome,
        mut ends: impl FnMut(Instant) -> bool,
    ) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for slot in &mut self.slots {
            let State::Waiting { deadline, waker } = &mut slot.state else {
                continue;
            };
            if ends(*deadline) {
                wakers.extend(waker.take());
                slot.state = State::Done(outcome());
                self.waiting -= 1;
            }
        }
        wakers
    }
}

fn free_slots(count: usize) -> Vec<Slot> {
    std::iter::repeat_with(|| Slot {
        sequence: 0,
        state: State::Free,
    })
    .take(count)
    .collect()
}

/// What whoever asks for an outcome a second time is told.
fn taken_before() -> CallOutcome {
    CallOutcome::Lost("its outcome was taken before".into())
}
