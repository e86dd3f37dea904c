//! The RETURNs of one multi-call until its caller takes them.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
    time::Instant,
};

use super::reply::{CallOutcome, Reply, taken_before};
use crate::error::ErrorCode;

/// The most RETURNs of a multi-call.
const MAX_REPLIES: usize = 10_000;
/// The most bytes of all its RETURNs.
const MAX_BYTES: usize = 64 << 20;

/// The RETURNs that have arrived and are not taken, and how the call ended.
#[derive(Debug)]
pub(super) struct CollectedReplies {
    deadline: Instant,
    waker: Option<Waker>,
    waiting: VecDeque<Reply>,
    /// Those of all RETURNs, also of those that were taken.
    count: usize,
    bytes: usize,
    /// Why no further RETURN is accepted: the inner option is empty once the caller has it.
    end: Option<Option<CallOutcome>>,
}

impl CollectedReplies {
    pub(super) fn new(deadline: Instant) -> Self {
        Self {
            deadline,
            waker: None,
            waiting: VecDeque::new(),
            count: 0,
            bytes: 0,
            end: None,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Adds a RETURN, or ends the call. Returns the caller's waker to call, or `None` if
    /// the call has ended before.
    pub(super) fn add(&mut self, outcome: CallOutcome) -> Option<Option<Waker>> {
        if self.has_ended() {
            return None;
        }
        match outcome {
            CallOutcome::Returned(reply) => self.add_reply(reply),
            outcome => self.end = Some(Some(outcome)),
        }
        Some(self.waker.take())
    }

    fn add_reply(&mut self, reply: Reply) {
        self.count += 1;
        self.bytes += reply.extra.raw().size() + reply.result.as_slice().len();
        if self.count <= MAX_REPLIES && self.bytes <= MAX_BYTES {
            self.waiting.push_back(reply);
        } else {
            let text = format!(
                "more than {MAX_REPLIES} replies, or more than {} MiB of them, have arrived",
                MAX_BYTES >> 20
            );
            self.end = Some(Some(CallOutcome::Failed(ErrorCode::DataDirty, text)));
        }
    }

    /// The next RETURN, or how the call ended.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<CallOutcome> {
        if let Some(reply) = self.waiting.pop_front() {
            return Poll::Ready(CallOutcome::Returned(reply));
        }
        match &mut self.end {
            Some(end) => Poll::Ready(end.take().unwrap_or_else(taken_before)),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Extra;

    fn reply(size: usize) -> CallOutcome {
        CallOutcome::Returned(Reply {
            errcode: 0,
            extra: Extra::new(),
            result: vec![0; size].as_slice().into(),
        })
    }

    fn poll(replies: &mut CollectedReplies) -> Poll<CallOutcome> {
        replies.poll(&Context::from_waker(Waker::noop()))
    }

    /// Takes all replies; returns their number and the text of the failure behind them.
    fn drained(replies: &mut CollectedReplies) -> (usize, Option<String>) {
        let mut count = 0;
        loop {
            match poll(replies) {
                Poll::Ready(CallOutcome::Returned(_)) => count += 1,
                Poll::Ready(CallOutcome::Failed(_, text)) => return (count, Some(text)),
                _ => return (count, None),
            }
        }
    }

    #[test]
    fn replies_before_the_end_are_taken_and_later_ones_are_not() {
        let mut replies = CollectedReplies::new(Instant::now());
        assert!(poll(&mut replies).is_pending());
        assert!(replies.add(reply(1)).is_some());
        assert!(replies.add(CallOutcome::TimedOut).is_some());
        assert!(replies.add(reply(1)).is_none());
        assert!(replies.add(CallOutcome::TimedOut).is_none());
        assert!(matches!(
            poll(&mut replies),
            Poll::Ready(CallOutcome::Returned(_))
        ));
        assert!(matches!(
            poll(&mut replies),
            Poll::Ready(CallOutcome::TimedOut)
        ));
    }

    #[test]
    fn replies_are_bounded_by_their_number_and_their_bytes() {
        let mut many = CollectedReplies::new(Instant::now());
        let added = (0..MAX_REPLIES + 5).filter(|_| many.add(reply(1)).is_some());
        assert_eq!(added.count(), MAX_REPLIES + 1);
        let (count, failure) = drained(&mut many);
        assert_eq!(count, MAX_REPLIES);
        assert!(failure.unwrap().contains("10000 replies"));

        let mut large = CollectedReplies::new(Instant::now());
        for _ in 0..100 {
            large.add(reply(1 << 20));
        }
        let (count, failure) = drained(&mut large);
        assert_eq!(count, 63);
        assert!(failure.unwrap().contains("64 MiB"));
    }
}
