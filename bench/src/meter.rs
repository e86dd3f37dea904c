//! The clock and the histogram of one measurement.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// With more than one call in flight, the latency of one call in so many is taken: reading the
/// clock twice for each would be a cost that only fast peers feel.
const SAMPLED: u64 = 16;

/// What one measurement found.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Measurement {
    pub(crate) calls: u64,
    pub(crate) calls_per_second: f64,
    /// Microseconds; absent where nothing comes back.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

impl Measurement {
    #[expect(clippy::cast_precision_loss, reason = "no measurement sees 2^53 calls")]
    pub(crate) fn of_calls(calls: u64, elapsed: Duration) -> Self {
        let calls_per_second = calls as f64 / elapsed.as_secs_f64();
        Self {
            calls,
            calls_per_second,
            p50_us: None,
            p99_us: None,
        }
    }
}

/// Tells callers when to count and when to stop, and gathers their latencies.
pub(crate) struct Meter {
    phase: AtomicU8,
    sampled: u64,
    latencies: Mutex<Histogram<u64>>,
}

impl Meter {
    /// For so many callers in all.
    pub(crate) fn new(callers: usize) -> Result<Self> {
        let sampled = if callers == 1 { 1 } else { SAMPLED };
        let longest = u64::try_from(Duration::from_secs(60).as_nanos())?;
        let latencies = Mutex::new(Histogram::new_with_max(longest, 3)?);
        Ok(Self {
            phase: AtomicU8::new(WARMING_UP),
            sampled,
            latencies,
        })
    }

    /// Waits through warm-up and measurement; returns how long the latter really was: longer than
    /// asked for where no call was complete by then, as with many callers of a slow peer.
    pub(crate) async fn run(&self, warm_up: Duration, measured: Duration) -> Duration {
        tokio::time::sleep(warm_up).await;
        let started = Instant::now();
        self.phase.store(MEASURING, Ordering::Relaxed);
        tokio::time::sleep(measured).await;
        while self.latencies().is_empty() {
            tokio::time::sleep(measured).await;
        }
        self.stop();
        started.elapsed()
    }

    pub(crate) fn stop(&self) {
        self.phase.store(OVER, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == OVER
    }

    /// Whether a call that is complete now counts.
    pub(crate) fn is_measuring(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == MEASURING
    }

    /// The time, if the latency of a caller's `nth` call is to be taken.
    ///
    /// Callers take turns, so that even many slow ones give samples all the time.
    pub(crate) fn start(&self, caller: u64, nth: u64) -> Option<Instant> {
        (caller + nth)
            .is_multiple_of(self.sampled)
            .then(Instant::now)
    }

    pub(crate) fn record(&self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latencies().saturating_record(nanoseconds);
    }

    fn latencies(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn measurement(&self, calls: u64, elapsed: Duration) -> Measurement {
        let latencies = self.latencies();
        let microseconds = |quantile| {
            let nanoseconds = latencies.value_at_quantile(quantile);
            Duration::from_nanos(nanoseconds).as_secs_f64() * 1e6
        };
        Measurement {
            p50_us: Some(microseconds(0.50)),
            p99_us: Some(microseconds(0.99)),
            ..Measurement::of_calls(calls, elapsed)
        }
    }
}
