//! What a running gateway is told from outside.

use std::{io, path::Path, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use crate::lifecycle::running::Running;

/// How often a watched file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Running {
    /// Serves until SIGTERM or Ctrl-C, then [shuts down](Running::shutdown). On
    /// SIGHUP, and with the property `watch` when the file has changed, it is
    /// loaded anew.
    ///
    /// # Errors
    /// Where the system does not let a program hear of signals.
    pub async fn wait_for_shutdown(&self) -> io::Result<bool> {
        until_told(self).await?;
        Ok(self.shutdown().await)
    }
}

/// Waits for SIGTERM or Ctrl-C; loads the configuration anew meanwhile, where
/// that is asked for.
async fn until_told(gateway: &Running) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let file = gateway.watched_file();
    let mut seen = file.map(stamp);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hang_up.recv() => reload(gateway).await,
            () = changed(file, &mut seen) => reload(gateway).await,
        }
    }
}

async fn reload(gateway: &Running) {
    if let Err(error) = gateway.reload().await {
        tracing::error!("not loaded anew; the old configuration holds: {error}");
    }
}

/// What tells one state of a file from another.
type Stamp = Option<(std::time::SystemTime, u64)>;

fn stamp(file: &Path) -> Stamp {
    let data = std::fs::metadata(file).ok()?;
    Some((data.modified().ok()?, data.len()))
}

/// Waits until the file is another than it was seen, and has been for a moment:
/// who writes it may not be done.
async fn changed(file: Option<&Path>, seen: &mut Option<Stamp>) {
    let Some(file) = file else {
        return std::future::pending().await;
    };
    loop {
        sleep(LOOK_EVERY).await;
        let now = stamp(file);
        if *seen == Some(now) || now.is_none() {
            continue;
        }
        sleep(LOOK_EVERY).await;
        if stamp(file) == now {
            *seen = Some(now);
            return;
        }
    }
}
