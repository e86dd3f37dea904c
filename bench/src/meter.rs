//! The clock and the latency histogram of one measurement.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const STOPPED: u8 = 2;

/// With more than one call in flight, only every 16th call of a caller is timed: two clock reads for
/// each call would slow down the fast peers noticeably.
const SAMPLING_INTERVAL: u64 = 16;

/// How long a client may take beyond warm-up and measurement.
const GRACE: Duration = Duration::from_secs(30);

/// How long a client may take for a number of calls. Under callgrind a process takes about 50 times
/// as long as without it.
const MAX_CALLING_TIME: Duration = Duration::from_secs(600);

/// Longer latencies count as this one.
const MAX_LATENCY: Duration = Duration::from_secs(60);

/// How long a client calls.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum LoadExtent {
    /// For a time. Calls of the warm-up do not count.
    Time {
        warm_up: Duration,
        measured: Duration,
    },
    /// Until each caller has made this number of calls.
    Calls { each: u64 },
}

impl LoadExtent {
    /// How long a client may take before it counts as hung.
    pub(crate) fn limit(self) -> Duration {
        match self {
            Self::Time { warm_up, measured } => warm_up + measured + GRACE,
            Self::Calls { .. } => MAX_CALLING_TIME,
        }
    }
}

/// The result of one measurement.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Measurement {
    pub(crate) calls: u64,
    pub(crate) calls_per_second: f64,
    /// Microseconds; `None` for oneway messages.
    pub(crate) p50_us: Option<f64>,
    /// Microseconds; `None` for oneway messages.
    pub(crate) p99_us: Option<f64>,
}

impl Measurement {
    /// A measurement without latencies.
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

/// Tells callers when to count and when to stop, and records their latencies.
pub(crate) struct Meter {
    extent: LoadExtent,
    phase: AtomicU8,
    sampling_interval: u64,
    /// Nanoseconds.
    latencies: Mutex<Histogram<u64>>,
}

impl Meter {
    /// A meter for `callers` concurrent callers.
    pub(crate) fn new(callers: usize, extent: LoadExtent) -> Result<Self> {
        let first_phase = match extent {
            LoadExtent::Time { .. } => WARMING_UP,
            LoadExtent::Calls { .. } => MEASURING,
        };
        let sampling_interval = if callers == 1 { 1 } else { SAMPLING_INTERVAL };
        let max_latency = u64::try_from(MAX_LATENCY.as_nanos())?;
        let latencies = Mutex::new(Histogram::new_with_max(max_latency, 3)?);
        Ok(Self {
            extent,
            phase: AtomicU8::new(first_phase),
            sampling_interval,
            latencies,
        })
    }

    /// Waits through warm-up and measurement. Returns the actual duration of the measurement, which
    /// is extended until at least one latency is recorded: with many callers of a slow peer this
    /// can take longer than `measured`. With a number of calls, returns `None` at once.
    pub(crate) async fn run(&self) -> Option<Duration> {
        let LoadExtent::Time { warm_up, measured } = self.extent else {
            return None;
        };
        tokio::time::sleep(warm_up).await;
        let started = Instant::now();
        self.phase.store(MEASURING, Ordering::Relaxed);
        tokio::time::sleep(measured).await;
        while self.latencies.lock().is_empty() {
            tokio::time::sleep(measured).await;
        }
        self.stop();
        Some(started.elapsed())
    }

    pub(crate) fn stop(&self) {
        self.phase.store(STOPPED, Ordering::Relaxed);
    }

    /// Whether a caller that has made `made` calls is to make another one.
    pub(crate) fn has_more(&self, made: u64) -> bool {
        match self.extent {
            LoadExtent::Time { .. } => self.phase.load(Ordering::Relaxed) != STOPPED,
            LoadExtent::Calls { each } => made < each,
        }
    }

    /// Whether a call that completes now counts.
    pub(crate) fn is_measuring(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == MEASURING
    }

    /// The current time if the latency of this caller's `nth` call is to be recorded.
    ///
    /// Callers sample different calls, so that even many slow callers yield samples continuously.
    pub(crate) fn start(&self, caller: u64, nth: u64) -> Option<Instant> {
        (caller + nth)
            .is_multiple_of(self.sampling_interval)
            .then(Instant::now)
    }

    pub(crate) fn record(&self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latencies.lock().saturating_record(nanoseconds);
    }

    /// The result for `calls` calls in `elapsed` time, with the recorded latencies.
    pub(crate) fn measurement(&self, calls: u64, elapsed: Duration) -> Measurement {
        let latencies = self.latencies.lock();
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
