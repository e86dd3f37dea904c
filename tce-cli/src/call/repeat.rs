//! The same call many times, and how long it took.

use std::{
    io::IsTerminal,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use tce_runtime::{Proxy, RpcError, wire::Raw};

use super::{failure::told, listen::Rest, target::Target};

/// What came of it.
pub(super) struct Summary {
    times: Vec<Duration>,
    total: Duration,
    pub(super) failures: u64,
    first_failure: Option<RpcError>,
}

/// Calls so often, so many at a time.
pub(super) async fn repeat(
    proxy: &Proxy,
    target: &Target<'_>,
    params: &[u8],
    count: u64,
    concurrency: usize,
) -> Summary {
    let bar = progress(count);
    let done = AtomicU64::new(0);
    let began = Instant::now();
    let calls = stream::iter(0..count).map(|_| async {
        let began = Instant::now();
        let called = proxy.call::<_, Rest>(&target.operation, Raw(params)).await;
        bar.set_position(done.fetch_add(1, Ordering::Relaxed) + 1);
        called.map(|_| began.elapsed())
    });
    let results: Vec<_> = calls.buffer_unordered(concurrency).collect().await;
    let total = began.elapsed();
    bar.finish_and_clear();
    let (mut times, mut failures, mut first_failure) = (Vec::new(), 0, None);
    for result in results {
        match result {
            Ok(time) => times.push(time),
            Err(error) => {
                failures += 1;
                first_failure.get_or_insert(error);
            }
        }
    }
    times.sort_unstable();
    Summary {
        times,
        total,
        failures,
        first_failure,
    }
}

/// A bar on standard error, where somebody looks.
fn progress(count: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = "{bar:40} {pos}/{len} calls, {per_sec}, {eta} left";
    let bar = ProgressBar::new(count);
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let answered = self.times.len();
        #[expect(clippy::cast_precision_loss, reason = "nobody repeats 2^52 calls")]
        let rate = answered as f64 / self.total.as_secs_f64();
        writeln!(
            f,
            "{answered} answered, {} failed in {:.3?}: {rate:.0} calls/s",
            self.failures, self.total
        )?;
        let at = |percent: usize| {
            let place = (answered * percent / 100).min(answered.saturating_sub(1));
            self.times.get(place).copied().unwrap_or_default()
        };
        if answered > 0 {
            writeln!(
                f,
                "latency: min {:.1?}  p50 {:.1?}  p90 {:.1?}  p99 {:.1?}  max {:.1?}",
                at(0),
                at(50),
                at(90),
                at(99),
                at(100)
            )?;
        }
        match &self.first_failure {
            Some(error) => writeln!(f, "first failure: {}", told(error)),
            None => Ok(()),
        }
    }
}
