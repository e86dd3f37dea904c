//! `--repeat`: one call made many times, with its rate and latencies.

use std::{
    fmt,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use tce_gateway::terminal::takes_escapes;
use tce_runtime::{Proxy, RpcError, wire::Raw};

use super::{
    error::{CallError, with_advice},
    json::UndecodedBytes,
    target::CallTarget,
};

/// Precision of the latencies, in decimal digits.
const DIGITS: u8 = 3;

/// The outcome of all calls.
pub(super) struct Summary {
    /// Latencies of the answered calls, in nanoseconds.
    latencies: Histogram<u64>,
    total: Duration,
    pub(super) failures: u64,
    first_failure: Option<RpcError>,
}

/// Makes `count` calls, at most `concurrency` of them in flight at once.
pub(super) async fn repeat(
    proxy: &Proxy,
    target: &CallTarget<'_>,
    params: &[u8],
    count: u64,
    concurrency: usize,
) -> Result<Summary, CallError> {
    let latencies = Histogram::new(DIGITS);
    let latencies = latencies.map_err(|error| CallError::Failed(error.to_string()))?;
    let mut summary = Summary {
        latencies,
        total: Duration::ZERO,
        failures: 0,
        first_failure: None,
    };
    let bar = progress_bar(count);
    let start = Instant::now();
    let calls = stream::iter(0..count).map(|_| async {
        let start = Instant::now();
        let result = proxy.call::<_, UndecodedBytes>(&target.operation, Raw(params));
        result.await.map(|_| start.elapsed())
    });
    let mut results = calls.buffer_unordered(concurrency);
    while let Some(result) = results.next().await {
        summary.add(result);
        bar.inc(1);
    }
    summary.total = start.elapsed();
    bar.finish_and_clear();
    Ok(summary)
}

/// A progress bar on standard error, hidden if that takes no escape sequences.
fn progress_bar(count: u64) -> ProgressBar {
    if !takes_escapes(&std::io::stderr()) {
        return ProgressBar::hidden();
    }
    let style = "{bar:40} {pos}/{len} calls, {per_sec}, {eta} left";
    let bar = ProgressBar::new(count);
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

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = self.latencies.len();
        #[expect(
            clippy::cast_precision_loss,
            reason = "the rate is printed without decimals"
        )]
        let rate = answered as f64 / self.total.as_secs_f64();
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
