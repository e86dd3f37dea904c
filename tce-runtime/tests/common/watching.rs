//! Waiting with an end, and looking at the process.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Far more than anything here takes, on a machine that is busy with the other
/// tests too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// What "at once" may take there: far less than any timeout that it is told
/// from.
pub(crate) const SOON: Duration = Duration::from_secs(3);

/// Awaits what must come.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it did not come in time")
}

/// Awaits what must come at once.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future)
        .await
        .expect("it did not come at once")
}

/// Waits until something is so that tells nobody when it becomes so.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The memory that this process really has, in bytes.
pub(crate) fn resident() -> usize {
    let pages: usize = std::fs::read_to_string("/proc/self/statm")
        .expect("the memory of the process is only known on Linux")
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("statm has its second number");
    pages * 4096
}

/// The most memory that this process has had so far, in bytes.
pub(crate) fn peak_resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status")
        .expect("the memory of the process is only known on Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: usize = line
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .expect("status has the high-water mark");
    kib << 10
}
