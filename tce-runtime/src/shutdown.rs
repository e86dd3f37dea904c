//! How a program ends: everything that runs is told, and waited for.

use std::time::Duration;

use tokio::sync::watch;

/// How often what ends looks whether it is done.
pub(crate) const DRAIN_EVERY: Duration = Duration::from_millis(5);

/// How far a shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShutdownPhase {
    /// Not at all.
    Running,
    /// Nothing new is taken; what is under way may end.
    Draining,
    /// Everything ends now.
    Terminating,
}

/// Waits until a shutdown has come this far: for ever, where nobody is left
/// who could begin one.
pub(crate) async fn reached(stop: &mut watch::Receiver<ShutdownPhase>, at: ShutdownPhase) {
    if stop.wait_for(|stop| *stop >= at).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Tells all receivers to end, waits for them, and cuts off who takes longer
/// than `timeout`. Returns whether everyone ended by itself.
pub(crate) async fn end(stop: &watch::Sender<ShutdownPhase>, timeout: Duration) -> bool {
    stop.send_replace(ShutdownPhase::Draining);
    if tokio::time::timeout(timeout, stop.closed()).await.is_ok() {
        return true;
    }
    stop.send_replace(ShutdownPhase::Terminating);
    stop.closed().await;
    false
}
