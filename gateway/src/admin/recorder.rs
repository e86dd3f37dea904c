//! What is counted, for Prometheus.

use std::sync::{Mutex, PoisonError};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::metrics as metric;

/// The upper bounds of latencies, in seconds: from a local socket to a servant
/// that takes its time.
const SECONDS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// What was counted so far. Clones are the same.
#[derive(Clone)]
pub struct Recorder(PrometheusHandle);

/// Has this process count what goes on, once; asked again, it gives the same.
///
/// # Errors
/// Where the program has a recorder of its own: then the numbers are there.
pub fn install_recorder() -> Result<Recorder, BuildError> {
    static INSTALLED: Mutex<Option<Recorder>> = Mutex::new(None);
    // Locked until it is installed: of two who ask at once, one waits.
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(recorder) = &*installed {
        return Ok(recorder.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .install_recorder()?;
    metric::describe();
    Ok(installed.insert(Recorder(handle)).clone())
}

impl Recorder {
    /// All metrics as text, in the format that Prometheus reads.
    pub(super) fn render(&self) -> String {
        self.0.render()
    }

    /// Sorts in what histograms took since last time; otherwise that piles up
    /// while nobody asks.
    pub(super) fn tidy(&self) {
        self.0.run_upkeep();
    }
}
