//! The phases of a shutdown, and waiting for what still runs.

use std::time::Duration;

use tokio::sync::watch;

/// How often a draining task checks whether it is done.
pub(crate) const DRAIN_EVERY: Duration = Duration::from_millis(5);

/// How far a shutdown has progressed. A task holds a receiver of the phase
/// until it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShutdownPhase {
    /// No shutdown has begun.
    Running,
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
/// `timeout`. Returns when all have ended, with true if none was terminated.
pub(crate) async fn end(shutdown: &watch::Sender<ShutdownPhase>, timeout: Duration) -> bool {
    shutdown.send_replace(ShutdownPhase::Draining);
    if tokio::time::timeout(timeout, shutdown.closed())
        .await
        .is_ok()
    {
        return true;
    }
    shutdown.send_replace(ShutdownPhase::Terminating);
    shutdown.closed().await;
    false
}
