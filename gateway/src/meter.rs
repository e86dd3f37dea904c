//! What becomes of the calls to an interface.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use metrics::{Counter, Histogram, counter, histogram};
use tce_runtime::ErrorCode;

use crate::metrics as metric;

/// Counts the calls that take one way: an interface, from one endpoint.
pub(crate) struct Meter {
    interface: String,
    calls: AtomicU64,
    called: Counter,
    succeeded: Counter,
    seconds: Histogram,
}

impl Meter {
    pub(crate) fn new(interface: &str, endpoint: &str) -> Self {
        let labels = [
            ("interface", interface.to_owned()),
            ("endpoint", endpoint.to_owned()),
        ];
        let result = |code: u32| ErrorCode::from_wire(code).to_string();
        Self {
            interface: interface.to_owned(),
            calls: AtomicU64::new(0),
            called: counter!(metric::CALLS, &labels),
            succeeded: counter!(metric::RETURNS, "interface" => interface.to_owned(), "result" => result(0)),
            seconds: histogram!(metric::CALL_SECONDS, "interface" => interface.to_owned()),
        }
    }

    /// A call has been passed on.
    pub(crate) fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.called.increment(1);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// A RETURN has come, after `time`.
    pub(crate) fn returned(&self, errcode: u32, time: Duration) {
        self.seconds.record(time);
        match errcode {
            0 => self.succeeded.increment(1),
            _ => self.failed(ErrorCode::from_wire(errcode)),
        }
    }

    /// A call has failed; no RETURN comes.
    pub(crate) fn failed(&self, code: ErrorCode) {
        counter!(metric::RETURNS, "interface" => self.interface.clone(), "result" => code.to_string())
            .increment(1);
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter")
            .field("interface", &self.interface)
            .finish_non_exhaustive()
    }
}
