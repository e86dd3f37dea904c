//! `--repeat` and `--duration`: one call made many times, with its rate and latencies.

use std::{
    fmt,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tce_dynamic::{CallTarget, UndecodedBytes};
use tce_gateway::terminal::takes_escapes;
use tce_runtime::{Proxy, RpcError, wire::Raw};

use super::error::CallError;
use crate::connect::with_advice;

/// Precision of the latencies, in decimal digits.
const DIGITS: u8 = 3;
/// The longest latency that is told from longer ones, in nanoseconds: an hour.
const LONGEST: u64 = 3_600_000_000_000;

/// How many calls are made, and how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// The number of calls; `None` for no limit.
    pub(super) count: Option<u64>,
    /// How long calls are begun; `None` for no limit.
    pub(super) duration: Option<Duration>,
    /// Calls a second; `None` for as many as `concurrency` allows.
    pub(super) rate: Option<f64>,
    /// The most calls in flight at once.
    pub(super) concurrency: usize,
}

impl Load {
    /// Waits until the call of this number is due, and returns since when. `None` if no such call
    /// is to be made.
    async fn due(&self, number: u64, start: Instant) -> Option<Instant> {
        if self.count.is_some_and(|count| number >= count) {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "more than 2^53 calls are not made"
        )]
        let after = self
            .rate
            .map(|rate| Duration::from_secs_f64(number as f64 / rate));
        let due = after.map(|after| start + after);
        let until = self.duration.map(|duration| start + duration);
        let begins = due.unwrap_or_else(Instant::now);
        if until.is_some_and(|until| begins >= until) {
            return None;
        }
        if let Some(due) = due {
            tokio::time::sleep_until(due.into()).await;
        }
        Some(begins)
    }
}

/// The outcome of all calls.
pub(super) struct Summary {
    /// Latencies of the answered calls, in nanoseconds. With a rate they count from the time at
    /// which a call was due: a server that lags makes later calls late, too.
    latencies: Histogram<u64>,
    total: Duration,
    pub(super) failures: u64,
    first_failure: Option<RpcError>,
}

/// Makes the calls of a load. Ctrl-C ends it early.
pub(super) async fn repeat(
    proxy: &Proxy,
    target: &CallTarget<'_>,
    params: &[u8],
    load: Load,
) -> Result<Summary, CallError> {
    let latencies = Histogram::new_with_max(LONGEST, DIGITS);
    let latencies = latencies.map_err(|error| CallError::Failed(error.to_string()))?;
    let mut summary = Summary {
        latencies,
        total: Duration::ZERO,
        failures: 0,
        first_failure: None,
    };
    let bar = progress_bar(load.count);
    let start = Instant::now();
    let due = stream::unfold(0, |number| async move {
        let begun = load.due(number, start).await?;
        Some((begun, number + 1))
    });
    let calls = due.map(|begun| async move {
        let result = proxy.call::<_, UndecodedBytes>(&target.operation, Raw(params));
        result.await.map(|_| begun.elapsed())
    });
    let mut results = std::pin::pin!(calls.buffer_unordered(load.concurrency));
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            biased;
            result = results.next() => match result {
                Some(result) => summary.add(result),
                None => break,
            },
            _ = &mut interrupted => break,
        }
        bar.inc(1);
    }
    summary.total = start.elapsed();
    bar.finish_and_clear();
    Ok(summary)
}

/// A progress bar on standard error, hidden if that takes no escape sequences.
fn progress_bar(count: Option<u64>) -> ProgressBar {
    if !takes_escapes(&std::io::stderr()) {
        return ProgressBar::hidden();
    }
    let (bar, style) = match count {
        Some(count) => (
            ProgressBar::new(count),
            "{bar:40} {pos}/{len} calls, {per_sec}, {eta} left",
        ),
        None => (
            ProgressBar::no_length(),
            "{pos} calls, {per_sec}, {elapsed}",
        ),
    };
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Summary {
    fn add(&mut self, result: Result<Duration, RpcError>) {
        match result {
            Ok(latency) => {
                let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
                self.latencies.saturating_record(nanoseconds);
            }
            Err(error) => {
                self.failures += 1;
                self.first_failure.get_or_insert(error);
            }
        }
    }
}

impl Summary {
    /// Answered calls a second.
    #[expect(clippy::cast_precision_loss, reason = "a rate is rounded")]
    fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.total.as_secs_f64()
    }

    /// As one JSON object. Latencies are in milliseconds.
    pub(super) fn json(&self) -> String {
        let milliseconds = |nanoseconds| Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3;
        let at = |quantile| milliseconds(self.latencies.value_at_quantile(quantile));
        let latencies = (!self.latencies.is_empty()).then(|| {
            json!({
                "min": milliseconds(self.latencies.min()),
                "mean": self.latencies.mean() / 1e6,
                "p50": at(0.5),
                "p90": at(0.9),
                "p99": at(0.99),
                "p99.9": at(0.999),
                "max": milliseconds(self.latencies.max()),
            })
        });
        let summary = json!({
            "answered": self.latencies.len(),
            "failed": self.failures,
            "seconds": self.total.as_secs_f64(),
            "calls_per_second": self.rate(),
            "latency_ms": latencies,
            "first_failure": self.first_failure.as_ref().map(RpcError::to_string),
        });
        format!("{summary}\n")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answered, rate) = (self.latencies.len(), self.rate());
        writeln!(
            f,
            "{answered} answered, {} failed in {:.3?}: {rate:.0} calls/s",
            self.failures, self.total
        )?;
        if answered > 0 {
            let at = |quantile| Duration::from_nanos(self.latencies.value_at_quantile(quantile));
            writeln!(
                f,
                "latency: min {:.1?}  p50 {:.1?}  p90 {:.1?}  p99 {:.1?}  max {:.1?}",
                Duration::from_nanos(self.latencies.min()),
                at(0.5),
                at(0.9),
                at(0.99),
                Duration::from_nanos(self.latencies.max())
            )?;
        }
        match &self.first_failure {
            Some(error) => writeln!(f, "first failure: {}", with_advice(error)),
            None => Ok(()),
        }
    }
}
