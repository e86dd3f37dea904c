//! The fair division of a server's capacity between sessions.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::health::UpstreamId;
use crate::metrics::RouteMetrics;

/// The twoway calls in flight at one server or queue.
///
/// A client may add a call while it has fewer in flight than an eighth of what is
/// free: the *dynamic threshold* of shared-memory switches (Choudhury and Hahne,
/// 1998). The first client gets a ninth of the capacity, each further one a ninth
/// of what the others have left, so that some is always left for another.
/// Checking it takes a subtraction and a shift.
#[derive(Debug)]
pub(crate) struct UpstreamLoad {
    capacity: usize,
    in_flight: AtomicUsize,
}

/// Where the calls of one route go, and what counts them.
#[derive(Debug)]
pub(crate) struct CallTarget {
    /// The server; `None` for a queue.
    pub(crate) server: Option<UpstreamId>,
    pub(crate) load: Arc<UpstreamLoad>,
    pub(crate) metrics: Arc<RouteMetrics>,
}

impl CallTarget {
    /// Counts a call that is sent.
    pub(crate) fn begin(self: &Arc<Self>) -> CallPermit {
        self.load.in_flight.fetch_add(1, Ordering::Relaxed);
        CallPermit(Arc::clone(self))
    }
}

/// Counts as a call in flight at its target until it is dropped.
#[derive(Debug)]
pub(crate) struct CallPermit(Arc<CallTarget>);

impl CallPermit {
    pub(crate) fn target(&self) -> &CallTarget {
        &self.0
    }
}

/// A client may have one call for each `FREE_PER_CALL` that are free. With 8, one
/// client has 228 of the default 2,048 calls, and after 32 such clients 40 are
/// free.
const FREE_PER_CALL: usize = 8;

impl UpstreamLoad {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            in_flight: AtomicUsize::new(0),
        })
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether a session may add a call. `own` is the number of its calls in
    /// flight, `elsewhere` that of its client's other calls. A session without
    /// calls in flight may always add one.
    pub(crate) fn admits(&self, own: usize, elsewhere: usize) -> bool {
        let free = self.capacity.saturating_sub(self.in_flight());
        own + elsewhere < free / FREE_PER_CALL || own == 0
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        self.0.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(capacity: usize) -> Arc<CallTarget> {
        Arc::new(CallTarget {
            server: None,
            load: UpstreamLoad::new(capacity),
            metrics: Arc::new(RouteMetrics::new("gw", "test.Echo", "clients")),
        })
    }

    /// Lets sessions add calls in turn until none may; returns the calls of each.
    fn fill(target: &Arc<CallTarget>, sessions: usize) -> Vec<Vec<CallPermit>> {
        let mut calls: Vec<Vec<CallPermit>> = Vec::new();
        calls.resize_with(sessions, Vec::new);
        let mut has_changed = true;
        while std::mem::take(&mut has_changed) {
            for own in &mut calls {
                if target.load.admits(own.len(), 0) {
                    own.push(target.begin());
                    has_changed = true;
                }
            }
        }
        calls
    }

    #[test]
    fn one_session_gets_a_ninth_and_others_a_share_of_the_rest() {
        for (sessions, most, left) in [(1, 228, 1820), (11, 228, 560), (32, 228, 40)] {
            let target = target(2048);
            let mut calls: Vec<Vec<CallPermit>> = Vec::new();
            for _ in 0..sessions {
                let mut own = Vec::new();
                while target.load.admits(own.len(), 0) {
                    own.push(target.begin());
                }
                assert!(own.len() <= most, "{}", own.len());
                calls.push(own);
            }
            let free = 2048 - target.load.in_flight();
            assert!(free >= left, "{sessions}: {free}");
            drop(calls);
            assert_eq!(target.load.in_flight(), 0);
        }
    }

    #[test]
    fn busy_sessions_get_equal_shares() {
        for sessions in [2, 11, 64, 250] {
            let target = target(2048);
            let calls = fill(&target, sessions);
            let share = 2048 / (sessions + 8);
            for own in &calls {
                assert!(own.len().abs_diff(share) <= 1, "{sessions}: {}", own.len());
            }
        }
    }

    #[test]
    fn the_calls_of_a_client_count_over_all_its_sessions() {
        let target = target(100);
        let elsewhere: Vec<_> = (0..4).map(|_| target.begin()).collect();
        assert!(target.load.admits(7, 4));
        assert!(!target.load.admits(8, 4));
        assert!(target.load.admits(11, 0));
        assert!(!target.load.admits(12, 0));
        assert!(target.load.admits(0, 100));
        drop(elsewhere);
    }

    #[test]
    fn each_session_has_one_call_at_an_upstream_that_is_full() {
        let target = target(1);
        let _full = target.begin();
        assert!(target.load.admits(0, 0));
        assert!(!target.load.admits(1, 0));
    }
}
