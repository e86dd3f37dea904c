//! Calls that wait for their RETURN: which caller a RETURN belongs to, and when
//! a call times out.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep_until};

use super::{
    collected_replies::CollectedReplies,
    reply::{CallOutcome, LostReason, Reply, taken_before},
};
use crate::{
    error::ErrorCode,
    in_flight::{now, wait_until},
    sequence_table::SequenceTable,
};

/// How many callers one hold of the lock completes: their wakers are kept on the
/// stack until it is released.
const COMPLETED_AT_ONCE: usize = 16;

/// When as many calls have ended since the last one was made, and no other waits, the
/// peer has run out of work: the next call leaves at once, so that the peer begins
/// while the others are made. With fewer this costs more than it gains.
const DRAINED: usize = 32;

#[derive(Debug)]
enum CallState {
    Waiting {
        deadline: Instant,
        waker: Option<Waker>,
    },
    /// A multi-call, which takes RETURNs until its caller removes it.
    Collecting(Box<CollectedReplies>),
    Done(CallOutcome),
}

/// A call that was entered in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnteredCall {
    /// Its RETURN carries the same number.
    pub(crate) sequence: u32,
    /// Whether no other call waits, and none is about to be made by the callers that
    /// the last RETURNs have woken; or these are [`DRAINED`] or more.
    pub(crate) is_alone: bool,
}

/// A place in the order in which calls are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallMark(u32);

impl CallMark {
    /// Whether a call was made before. Sequences wrap around; no call waits while half
    /// of them are used.
    fn is_after(self, sequence: u32) -> bool {
        (1..=u32::MAX / 2).contains(&self.0.wrapping_sub(sequence))
    }
}

/// The calls of one connection, by sequence.
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
    calls: SequenceTable<CallState>,
    waiting: usize,
    /// The calls that have ended since the last one was made. Their callers often
    /// make another one.
    ended: usize,
    /// When [`PendingCalls::expire`] is due: not after the earliest deadline.
    next_expiry: Option<Instant>,
}

impl PendingCalls {
    pub(crate) fn new(limit: usize, first: u32) -> Self {
        let table = CallTable {
            calls: SequenceTable::new(first),
            waiting: 0,
            ended: 0,
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
        let waker = None;
        self.enter_as(CallState::Waiting { deadline, waker }, deadline)
    }

    /// Enters a multi-call; `None` if the limit is reached.
    pub(crate) fn enter_collecting(&self, deadline: Instant) -> Option<EnteredCall> {
        let replies = Box::new(CollectedReplies::new(deadline));
        self.enter_as(CallState::Collecting(replies), deadline)
    }

    #[inline(always)]
    fn enter_as(&self, state: CallState, deadline: Instant) -> Option<EnteredCall> {
        let mut table = self.table.lock();
        if table.calls.len() >= self.limit {
            return None;
        }
        let sequence = table.calls.insert(state);
        table.waiting += 1;
        if table.next_expiry.is_none_or(|expiry| deadline < expiry) {
            table.next_expiry = Some(deadline);
            self.deadline_changed.notify_one();
        }
        let ended = std::mem::take(&mut table.ended);
        Some(EnteredCall {
            sequence,
            is_alone: table.waiting == 1 && (ended <= 1 || ended >= DRAINED),
        })
    }

    /// Hands RETURNs to their callers, and empties `replies`. Returns the number of
    /// those that no call waits for.
    pub(crate) fn complete(&self, replies: &mut Vec<(u32, Reply)>) -> usize {
        let mut late = 0;
        let mut replies = replies.drain(..).peekable();
        while replies.peek().is_some() {
            let mut wakers = [const { None }; COMPLETED_AT_ONCE];
            let mut table = self.table.lock();
            for (waker, (sequence, reply)) in wakers.iter_mut().zip(&mut replies) {
                match table.finish(sequence, CallOutcome::Returned(reply)) {
                    Some(caller) => *waker = caller,
                    None => late += 1,
                }
            }
            drop(table);
            wakers.into_iter().flatten().for_each(Waker::wake);
        }
        late
    }

    fn finish(&self, sequence: u32, outcome: CallOutcome) {
        let caller = self.table.lock().finish(sequence, outcome);
        if let Some(Some(waker)) = caller {
            waker.wake();
        }
    }

    /// The outcome of a call, which frees its slot. Polled again, the call counts
    /// as lost.
    #[inline(always)]
    pub(crate) fn poll(&self, sequence: u32, cx: &Context<'_>) -> Poll<CallOutcome> {
        let mut table = self.table.lock();
        match table.calls.get_mut(sequence) {
            None => return Poll::Ready(taken_before()),
            Some(CallState::Done(_) | CallState::Collecting(_)) => {}
            Some(CallState::Waiting { waker, .. }) => {
                match waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                return Poll::Pending;
            }
        }
        match self.remove(&mut table, sequence) {
            Some(CallState::Done(outcome)) => Poll::Ready(outcome),
            _ => Poll::Ready(taken_before()),
        }
    }

    /// The next RETURN of a multi-call, or how the call ended: it stays in the table until
    /// [`PendingCalls::forget`].
    pub(crate) fn poll_collecting(&self, sequence: u32, cx: &Context<'_>) -> Poll<CallOutcome> {
        let mut table = self.table.lock();
        match table.calls.get_mut(sequence) {
            Some(CallState::Collecting(replies)) => replies.poll(cx),
            _ => Poll::Ready(taken_before()),
        }
    }

    /// Removes a call whose caller no longer waits.
    pub(crate) fn forget(&self, sequence: u32) {
        let mut table = self.table.lock();
        let is_waiting = match self.remove(&mut table, sequence) {
            Some(CallState::Waiting { .. }) => true,
            Some(CallState::Collecting(replies)) => !replies.has_ended(),
            Some(CallState::Done(_)) | None => false,
        };
        if is_waiting {
            table.waiting -= 1;
        }
    }

    /// Fails the calls past their deadline.
    fn expire(&self, now: Instant) {
        let mut table = self.table.lock();
        let mut next: Option<Instant> = None;
        let due = table.finish_where(
            || CallOutcome::TimedOut,
            |_, deadline| {
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
                // Boxed: most connections of a server have no deadline.
                () = Box::pin(sleep_until(next.into())) => {}
                () = changed => {}
            },
            None => changed.await,
        }
        self.expire(now());
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
    pub(crate) fn lose_all(&self, reason: LostReason) {
        let reason = Arc::new(reason);
        let mut table = self.table.lock();
        let lost = table.finish_where(|| CallOutcome::Lost(Arc::clone(&reason)), |_, _| true);
        table.next_expiry = None;
        drop(table);
        lost.into_iter().for_each(Waker::wake);
    }

    /// Divides the calls made so far from later ones.
    pub(crate) fn mark(&self) -> CallMark {
        CallMark(self.table.lock().calls.next_sequence())
    }

    /// Whether a call that was made before `mark` waits.
    pub(crate) fn has_before(&self, mark: CallMark) -> bool {
        let mut table = self.table.lock();
        let mut calls = table.calls.iter_mut();
        calls.any(|(sequence, call)| {
            mark.is_after(sequence) && matches!(call, CallState::Waiting { .. })
        })
    }

    /// Fails the calls that were made before `mark`: their stream has ended.
    pub(crate) fn lose_before(&self, mark: CallMark, reason: LostReason) {
        let reason = Arc::new(reason);
        let mut table = self.table.lock();
        let lost = table.finish_where(
            || CallOutcome::Lost(Arc::clone(&reason)),
            |sequence, _| mark.is_after(sequence),
        );
        drop(table);
        lost.into_iter().for_each(Waker::wake);
    }

    /// How many calls wait for their RETURN.
    pub(crate) fn waiting(&self) -> usize {
        self.table.lock().waiting
    }

    /// Waits until another call can be entered.
    pub(crate) async fn capacity(&self) {
        let has_capacity = || self.table.lock().calls.len() < self.limit;
        wait_until(&self.capacity, has_capacity).await;
    }

    /// Removes a call, and wakes the callers that wait for capacity.
    #[inline]
    fn remove(&self, table: &mut CallTable, sequence: u32) -> Option<CallState> {
        if table.calls.len() >= self.limit {
            self.capacity.notify_waiters();
        }
        table.calls.remove(sequence)
    }
}

impl CallTable {
    /// Ends a waiting call; returns its caller's waker to call once the lock is
    /// released, or `None` if no such call waits.
    fn finish(&mut self, sequence: u32, outcome: CallOutcome) -> Option<Option<Waker>> {
        let call = self.calls.get_mut(sequence)?;
        let waker = match call {
            CallState::Waiting { waker, .. } => waker.take(),
            CallState::Collecting(replies) => {
                let was_ended = replies.has_ended();
                let waker = replies.add(outcome)?;
                self.waiting -= usize::from(replies.has_ended() && !was_ended);
                return Some(waker);
            }
            CallState::Done(_) => return None,
        };
        *call = CallState::Done(outcome);
        self.waiting -= 1;
        self.ended += 1;
        Some(waker)
    }

    /// Ends the waiting calls whose sequence and deadline pass `ends`; returns the
    /// wakers to call once the lock is released.
    fn finish_where(
        &mut self,
        outcome: impl Fn() -> CallOutcome,
        mut ends: impl FnMut(u32, Instant) -> bool,
    ) -> Vec<Waker> {
        let mut wakers = Vec::new();
        for (sequence, call) in self.calls.iter_mut() {
            match call {
                CallState::Waiting { deadline, waker } => {
                    if ends(sequence, *deadline) {
                        wakers.extend(waker.take());
                        *call = CallState::Done(outcome());
                        self.waiting -= 1;
                    }
                }
                CallState::Collecting(replies) if !replies.has_ended() => {
                    if ends(sequence, replies.deadline()) {
                        wakers.extend(replies.add(outcome()).flatten());
                        self.waiting -= 1;
                    }
                }
                CallState::Collecting(_) | CallState::Done(_) => {}
            }
        }
        wakers
    }
}
