//! The communicator: what all connections and adapters of a program share.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    config::{Options, Settings},
    stop::{Stop, end},
};

/// The settings, and the end, of all connections and adapters of a program.
/// Clones are the same communicator.
///
/// ```
/// use tce_runtime::Communicator;
///
/// let communicator = Communicator::new();
/// ```
#[derive(Clone)]
pub struct Communicator(Arc<Shared>);

struct Shared {
    settings: Arc<Settings>,
    stop: watch::Sender<Stop>,
}

impl Communicator {
    /// A communicator with the defaults of [`Options`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_options(Options::default())
    }

    /// A communicator with settings of one's own.
    #[must_use]
    pub fn with_options(options: Options) -> Self {
        let (stop, _) = watch::channel(Stop::Not);
        Self(Arc::new(Shared {
            settings: Arc::new(Settings::new(options)),
            stop,
        }))
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.settings.options
    }

    pub(crate) fn settings(&self) -> &Arc<Settings> {
        &self.0.settings
    }

    /// Ends all adapters and connections: nothing new is taken, calls in
    /// flight have `timeout` to end, then what is left is cut off. Returns
    /// whether everything ended by itself.
    pub async fn shutdown(&self, timeout: Duration) -> bool {
        end(&self.0.stop, timeout).await
    }

    /// Waits for SIGTERM or Ctrl-C, then [shuts down](Communicator::shutdown).
    ///
    /// # Errors
    /// Where the system does not let a program hear of signals.
    pub async fn wait_for_shutdown(&self, timeout: Duration) -> std::io::Result<bool> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                _ = terminate.recv() => {}
                interrupted = tokio::signal::ctrl_c() => interrupted?,
            }
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await?;
        Ok(self.shutdown(timeout).await)
    }

    /// Hears how far the shutdown has come. The shutdown waits for whoever
    /// holds the receiver.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Stop> {
        self.0.stop.subscribe()
    }
}

impl Default for Communicator {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Communicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Communicator")
            .field("options", self.options())
            .finish_non_exhaustive()
    }
}
