//! The calls of one direction: those that were made, and what is done to those to come.

use std::{
    fmt,
    ops::{Bound, RangeBounds},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

use crate::{
    error::Fault,
    in_flight::wait_until,
    wire::{DecodeError, Extra, Message, Operation, Reader, Unmarshal},
};

/// How long [`Calls::wait_for`] waits.
const WAIT_TIME: Duration = Duration::from_secs(10);

/// A call as it was on the wire.
#[derive(Clone, PartialEq)]
pub struct RecordedCall {
    ifidx: u16,
    opidx: u16,
    is_oneway: bool,
    extra: Extra,
    params: Vec<u8>,
}

impl RecordedCall {
    /// Whether it is a call of this operation.
    #[must_use]
    pub fn is(&self, operation: Operation) -> bool {
        (self.ifidx, self.opidx) == (operation.ifidx(), operation.opidx())
    }

    /// Whether the caller wanted no answer.
    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.is_oneway
    }

    /// The extra: the caller's entries and the reserved ones, such as `__deadline__`.
    #[must_use]
    pub fn extra(&self) -> &Extra {
        &self.extra
    }

    /// The parameters, as a tuple of the types that the servant gets:
    /// `call.params::<(String, i32)>()`.
    ///
    /// # Errors
    /// If the types are not those of the operation.
    pub fn params<P: Unmarshal>(&self) -> Result<P, DecodeError> {
        P::unmarshal(&mut Reader::new(&self.params))
    }
}

impl fmt::Debug for RecordedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedCall")
            .field("interface", &self.ifidx)
            .field("operation", &self.opidx)
            .field("is_oneway", &self.is_oneway)
            .field("extra", &self.extra)
            .finish_non_exhaustive()
    }
}

/// What happens to a call instead of its delivery.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Disturbance {
    /// The servant does not get it, and the caller gets this. A oneway call is lost.
    Answer(Fault),
    /// It arrives later by this time. Calls after it may arrive before it.
    Delay(Duration),
    /// It never arrives: the caller of a twoway call waits until its timeout.
    Lose,
    /// The connection ends before the call arrives.
    Disconnect,
    /// The connection ends when the servant answers, and the answer is lost. The caller
    /// can't tell this from [`Disturbance::Disconnect`], but the servant has run.
    DisconnectOnReturn,
}

/// The calls of one direction, which a [`TestServer`](super::TestServer) records until it
/// is dropped, and how they are disturbed.
#[derive(Default)]
pub struct Calls {
    state: Mutex<CallsState>,
    recorded: Notify,
}

#[derive(Default)]
struct CallsState {
    calls: Vec<RecordedCall>,
    rules: Vec<Rule>,
}

struct Rule {
    operation: Operation,
    /// Which calls, counted from 1.
    calls: (Bound<usize>, Bound<usize>),
    disturbance: Disturbance,
    /// How many have been made.
    count: usize,
}

impl Calls {
    /// All calls so far, in the order in which they left their callers' connections.
    #[must_use]
    pub fn all(&self) -> Vec<RecordedCall> {
        self.state.lock().calls.clone()
    }

    /// The calls of an operation so far.
    #[must_use]
    pub fn of(&self, operation: Operation) -> Vec<RecordedCall> {
        let state = self.state.lock();
        let calls = state.calls.iter().filter(|call| call.is(operation));
        calls.cloned().collect()
    }

    /// Waits until an operation has been called this often, at most 10 s, and returns its
    /// calls. For oneway calls, which nothing else tells of.
    pub async fn wait_for(&self, operation: Operation, count: usize) -> Vec<RecordedCall> {
        let are_made = || self.of(operation).len() >= count;
        let _ = timeout(WAIT_TIME, wait_until(&self.recorded, are_made)).await;
        self.of(operation)
    }

    /// Disturbs those of the next calls of an operation whose number is in the range: the
    /// next one is 1. `1..=1` is the next call, `..` all. Of several disturbances of a
    /// call, the one that was added first holds.
    pub fn disturb(
        &self,
        operation: Operation,
        calls: impl RangeBounds<usize>,
        disturbance: Disturbance,
    ) -> &Self {
        self.state.lock().rules.push(Rule {
            operation,
            calls: (calls.start_bound().cloned(), calls.end_bound().cloned()),
            disturbance,
            count: 0,
        });
        self
    }

    /// Delivers all further calls undisturbed.
    pub fn undisturb(&self) -> &Self {
        self.state.lock().rules.clear();
        self
    }

    /// Records a call, and returns how it is disturbed.
    pub(super) fn record(&self, message: Message<'_>) -> Option<Disturbance> {
        let call = RecordedCall {
            ifidx: message.header.ifidx,
            opidx: message.header.opidx,
            is_oneway: message.header.calltype.is_oneway(),
            extra: message.extra,
            params: message.params.to_vec(),
        };
        let mut state = self.state.lock();
        let mut disturbance = None;
        for rule in state.rules.iter_mut().filter(|it| call.is(it.operation)) {
            rule.count += 1;
            if rule.calls.contains(&rule.count) {
                disturbance = disturbance.or_else(|| Some(rule.disturbance.clone()));
            }
        }
        state.calls.push(call);
        drop(state);
        self.recorded.notify_waiters();
        disturbance
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.state.lock().calls).finish()
    }
}
