//! The phases of a shutdown, and waiting for what still runs.

use std::time::Duration;

use tokio::sync::watch;

/// How often a draining task checks whether it is done.
pub(crate) const DRAIN_EVERY: Duration = Duration::from_millis(5);

/// How long a task may take to end once it is terminated. One that takes longer is on a
/// thread that a servant blocks.
const END_TIME: Duration = Duration::from_secs(5);

/// How far a shutdown has progressed. A task holds a receiver of the phase
/// until it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShutdownPhase {
    /// No shutdown has begun.
    Running,
    /// No connection is accepted any more; those that are open work on.
    NotAccepting,
    /// New calls and connections are refused; those in flight may end.
    Draining,
    /// Everything that still runs is ended now.
    Terminating,
}

/// Waits until the shutdown has reached `phase`. Never returns once the sender
/// is dropped: no shutdown can begin any more.
pub(crate) async fn reached(shutdown: &mut watch::Receiver<ShutdownPhase>, phase: ShutdownPhase) {
    let reached = |current: &ShutdownPhase| *current >= phase;
    if shutdown.wait_for(reached).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Drains all receivers' tasks, and terminates those that take longer than
/// `timeout`. Returns when all have ended, with true if none was terminated; or, if a
/// thread is blocked, 5 s after that.
pub(crate) async fn end(shutdown: &watch::Sender<ShutdownPhase>, timeout: Duration) -> bool {
    shutdown.send_replace(ShutdownPhase::Draining);
    if tokio::time::timeout(timeout, shutdown.closed())
        .await
        .is_ok()
    {
        return true;
    }
    shutdown.send_replace(ShutdownPhase::Terminating);
    if tokio::time::timeout(END_TIME, shutdown.closed())
        .await
        .is_err()
    {
        tracing::warn!("a thread is blocked: the shutdown does not wait for its connections");
    }
    false
}
