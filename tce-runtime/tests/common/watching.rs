//! Bounded waiting, and the memory of this process.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Upper bound for everything that must happen, on a machine that runs the other
/// tests at the same time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Upper bound for "at once" on such a machine: far below each timeout that a test
/// must distinguish it from.
pub(crate) const SOON: Duration = Duration::from_secs(3);

/// Awaits a future that must complete within [`PATIENCE`].
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("the future completes in time")
}

/// Awaits a future that must complete within [`SOON`].
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future)
        .await
        .expect("the future completes at once")
}

/// Polls until a condition holds that sends no notification.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not reached in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Polls until an asynchronous condition holds that sends no notification.
pub(crate) async fn eventually_async(what: &str, is_so: impl AsyncFnMut() -> bool) {
    let mut is_so = is_so;
    let start = Instant::now();
    while !within(is_so()).await {
        assert!(start.elapsed() < PATIENCE, "not reached in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The resident memory of this process, in bytes.
pub(crate) fn resident() -> usize {
    let pages: usize = std::fs::read_to_string("/proc/self/statm")
        .expect("/proc exists on Linux only")
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("statm has its second number");
    pages * 4096
}

/// The peak resident memory of this process, in bytes.
pub(crate) fn peak_resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc exists on Linux only");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: usize = line
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .expect("status has the high-water mark");
    kib << 10
}
