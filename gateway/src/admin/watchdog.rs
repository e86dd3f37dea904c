//! Liveness: whether all threads of the gateway still serve clients.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use super::snapshot::SnapshotSource;
use crate::metrics::Recorder;

const CHECK_PERIOD: Duration = Duration::from_secs(1);
/// Without a check for this long the gateway is stuck: even on a busy machine
/// ten checks in a row are not late.
const STUCK_TIME: Duration = Duration::from_secs(10);
/// Checks between two upkeeps of the recorder.
const UPKEEP_EVERY: u32 = 5;

/// The time of the last check that succeeded.
#[derive(Debug)]
pub(super) struct Watchdog {
    start: Instant,
    last_check_ms: AtomicU64,
}

impl Watchdog {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            last_check_ms: AtomicU64::new(0),
        }
    }

    /// Checks until it is dropped. Each check waits for all threads, and takes the
    /// locks that serving a client takes, so that a deadlock stops the checks, too.
    pub(super) async fn run(
        self: Arc<Self>,
        source: Arc<dyn SnapshotSource>,
        recorder: Option<Recorder>,
    ) {
        let mut ticks = interval(CHECK_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for check in 1_u32.. {
            ticks.tick().await;
            source.readiness();
            source.responded().await;
            self.mark(self.start.elapsed());
            if let Some(recorder) = &recorder
                && check.is_multiple_of(UPKEEP_EVERY)
            {
                recorder.run_upkeep();
            }
        }
    }

    fn mark(&self, at: Duration) {
        let at = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        self.last_check_ms.store(at, Ordering::Relaxed);
    }

    /// The time since the last check, if it is too long.
    pub(super) fn stuck_for(&self) -> Option<Duration> {
        self.stuck_at(self.start.elapsed())
    }

    fn stuck_at(&self, now: Duration) -> Option<Duration> {
        let last = Duration::from_millis(self.last_check_ms.load(Ordering::Relaxed));
        let silence = now.saturating_sub(last);
        (silence > STUCK_TIME).then_some(silence)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{Ready, pending, ready},
        pin::Pin,
        thread,
    };

    use tokio::time::timeout;

    use super::*;
    use crate::admin::{Query, Readiness, Snapshot};

    /// A gateway of which one thread may be stuck.
    struct Gateway {
        is_stuck: bool,
    }

    impl SnapshotSource for Gateway {
        fn snapshot(&self, _: &Query) -> Snapshot {
            Snapshot::default()
        }

        fn readiness(&self) -> Readiness {
            Readiness::default()
        }

        fn responded(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            match self.is_stuck {
                true => Box::pin(pending()),
                false => Box::pin(ready(())) as Pin<Box<Ready<()>>>,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_waits_for_all_threads() {
        for is_stuck in [false, true] {
            let watchdog = Arc::new(Watchdog::new());
            thread::sleep(Duration::from_millis(2));
            let checks = Arc::clone(&watchdog).run(Arc::new(Gateway { is_stuck }), None);
            timeout(3 * CHECK_PERIOD, checks).await.unwrap_err();
            let last = watchdog.last_check_ms.load(Ordering::Relaxed);
            assert_eq!(last == 0, is_stuck);
        }
    }

    #[test]
    fn it_is_stuck_when_checks_are_late() {
        let watchdog = Watchdog::new();
        watchdog.mark(Duration::from_secs(100));
        assert_eq!(watchdog.stuck_at(Duration::from_secs(110)), None);
        let silence = Duration::from_secs(11);
        assert_eq!(watchdog.stuck_at(Duration::from_secs(111)), Some(silence));
        watchdog.mark(Duration::from_secs(111));
        assert_eq!(watchdog.stuck_at(Duration::from_secs(111)), None);
    }
}
