//! How far a gateway has come.

use tokio::sync::watch;

/// How far a gateway has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Starting,
    Serving,
    /// Nobody new is served; calls in flight end.
    Stopping,
    Ended,
}

/// Waits until the gateway has come that far.
pub(crate) async fn reached(mut phase: watch::Receiver<Phase>, at: Phase) {
    // Who says it lives as long as the gateway; gone, it has ended.
    let _ = phase.wait_for(|phase| *phase >= at).await;
}
