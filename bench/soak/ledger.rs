//! The account of all calls: what the callers were told, and what the servers ran.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tce_runtime::{ErrorCode, RpcError};

/// How much a server's clock may seem to be behind a deadline: a call that arrives just before it may
/// start just after.
const TOLERANCE: Duration = Duration::from_millis(1500);

/// A call: the number of its client, and its own.
pub(crate) type CallId = (i32, i32);

/// What a call promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// It has a result, and is not run after its deadline.
    Twoway { timeout: Duration },
    /// A oneway call that a broker confirms: it is run at least once.
    Confirmed,
    /// A oneway call that may be lost with a connection.
    Oneway,
}

/// How calls travel, which decides whether one may run twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// Sockets alone: a call is run once at most.
    Stream,
    /// Through a queue: a second delivery is marked.
    Queue,
}

#[derive(Debug)]
struct Entry {
    promise: Promise,
    path: Path,
    made: SystemTime,
    /// What the caller was told; `None` while it waits.
    outcome: Option<Result<(), ErrorCode>>,
    runs: u32,
    marked_runs: u32,
    latest_run: SystemTime,
}

/// A broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    NeverEnded,
    AnsweredUnrun,
    RunThoughNotSent,
    ConfirmedAndLost,
    RunAfterDeadline,
    UnmarkedRepetition,
    RunUnknown,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverEnded => "the caller was told nothing",
            Self::AnsweredUnrun => "answered, but not run",
            Self::RunThoughNotSent => "run, though the caller was told that it was not sent",
            Self::ConfirmedAndLost => "confirmed, but not run",
            Self::RunAfterDeadline => "run after its deadline",
            Self::UnmarkedRepetition => "run again without the mark of a second delivery",
            Self::RunUnknown => "run long after its end",
        })
    }
}

/// Sums since the start.
#[derive(Debug, Default, Clone)]
pub(crate) struct Totals {
    pub(crate) made: u64,
    pub(crate) succeeded: u64,
    /// By the client's target, and code.
    pub(crate) failed: BTreeMap<(&'static str, String), u64>,
    pub(crate) repeated: u64,
    pub(crate) violations: BTreeMap<Violation, u64>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<CallId, Entry>,
    totals: Totals,
    /// The first calls of each violation, to look for in logs.
    examples: Vec<String>,
}

/// The account of all calls.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<State>);

impl Ledger {
    /// Enters a call that is about to be made.
    pub(crate) fn begin(&self, id: CallId, promise: Promise, path: Path) {
        let mut state = self.0.lock();
        state.totals.made += 1;
        state.entries.insert(
            id,
            Entry {
                promise,
                path,
                made: SystemTime::now(),
                outcome: None,
                runs: 0,
                marked_runs: 0,
                latest_run: UNIX_EPOCH,
            },
        );
    }

    /// Enters what the caller was told.
    pub(crate) fn end(&self, id: CallId, target: &'static str, result: &Result<(), RpcError>) {
        let mut state = self.0.lock();
        let outcome = result.as_ref().copied().map_err(RpcError::code);
        match outcome {
            Ok(()) => state.totals.succeeded += 1,
            Err(code) => {
                let key = (target, code.to_string());
                *state.totals.failed.entry(key).or_default() += 1;
            }
        }
        if let Some(entry) = state.entries.get_mut(&id) {
            entry.outcome = Some(outcome);
        }
    }

    /// Enters a run that a server has reported.
    pub(crate) fn run(&self, id: CallId, at: SystemTime, is_marked: bool) {
        let mut state = self.0.lock();
        let Some(entry) = state.entries.get_mut(&id) else {
            state.violation(Violation::RunUnknown, id, None);
            return;
        };
        entry.runs += 1;
        entry.marked_runs += u32::from(is_marked);
        entry.latest_run = entry.latest_run.max(at);
    }

    /// Judges the calls that were made more than `age` ago, and removes them.
    pub(crate) fn settle(&self, age: Duration) {
        let limit = SystemTime::now() - age;
        let mut state = self.0.lock();
        let old: Vec<_> = state
            .entries
            .extract_if(|_, entry| entry.made < limit)
            .collect();
        for (id, entry) in old {
            state.totals.repeated += u64::from(entry.runs.saturating_sub(1));
            if let Some(violation) = judge(&entry) {
                state.violation(violation, id, Some(&entry));
            }
        }
        // A burst of calls during a fault must not count as growth for ever.
        let spare = state.entries.len() * 2;
        state.entries.shrink_to(spare);
    }

    pub(crate) fn totals(&self) -> Totals {
        self.0.lock().totals.clone()
    }

    /// Descriptions of the first violations.
    pub(crate) fn examples(&self) -> Vec<String> {
        self.0.lock().examples.clone()
    }
}

impl State {
    fn violation(&mut self, violation: Violation, id: CallId, entry: Option<&Entry>) {
        let count = self.totals.violations.entry(violation).or_default();
        *count += 1;
        if *count <= 5 {
            let (client, number) = id;
            self.examples.push(format!(
                "call {number} of client {client}: {violation}: {entry:?}"
            ));
        }
    }
}

fn judge(entry: &Entry) -> Option<Violation> {
    let Some(outcome) = entry.outcome else {
        return Some(Violation::NeverEnded);
    };
    let is_run = entry.runs > 0;
    if let Promise::Twoway { timeout } = entry.promise {
        if outcome.is_ok() && !is_run {
            return Some(Violation::AnsweredUnrun);
        }
        if is_run && entry.latest_run > entry.made + timeout + TOLERANCE {
            return Some(Violation::RunAfterDeadline);
        }
    }
    if is_run && outcome.is_err_and(was_not_sent) {
        return Some(Violation::RunThoughNotSent);
    }
    if entry.promise == Promise::Confirmed && outcome.is_ok() && !is_run {
        return Some(Violation::ConfirmedAndLost);
    }
    let unmarked = entry.runs - entry.marked_runs;
    let may_repeat = entry.path == Path::Queue;
    if entry.runs > 1 && (unmarked > 1 || !may_repeat) {
        return Some(Violation::UnmarkedRepetition);
    }
    None
}

/// Whether an error says that the call was not run.
fn was_not_sent(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::SendFailed
            | ErrorCode::ConnectUnreachable
            | ErrorCode::ConnectFailed
            | ErrorCode::ConnectReject
    )
}
