//! Waiting for a condition that somebody else makes true.

use tokio::sync::Notify;

/// Waits until `is_done`; looked at now, and whenever `changed` tells its
/// waiters.
pub(super) async fn wait_until(changed: &Notify, is_done: impl Fn() -> bool) {
    let mut notified = std::pin::pin!(changed.notified());
    loop {
        // Registered before the look, so that no notice is missed.
        notified.as_mut().enable();
        if is_done() {
            return;
        }
        notified.as_mut().await;
        notified.set(changed.notified());
    }
}
