//! The communicator: what all connections and adapters of a program share.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;

use crate::config::{Options, TlsError};

/// How far a shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// Not at all.
    Not,
    /// Nothing new is taken; what is under way may end.
    Drain,
    /// Everything ends now.
    Now,
}

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
    options: Options,
    stop: watch::Sender<Stop>,
    client_tls: Mutex<Option<Arc<ClientConfig>>>,
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
            options,
            stop,
            client_tls: Mutex::new(None),
        }))
    }

    /// The settings.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
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

    /// The client's side of TLS, read from its files when first needed.
    pub(crate) fn client_tls(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut cached = self
            .0
            .client_tls
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &*cached {
            return Ok(Arc::clone(config));
        }
        let config = self.0.options.tls.client()?;
        *cached = Some(Arc::clone(&config));
        Ok(config)
    }

    pub(crate) fn server_tls(&self) -> Result<Arc<ServerConfig>, TlsError> {
        self.0.options.tls.server()
    }
}

/// Tells all receivers to end, waits for them, and cuts off who takes longer
/// than `timeout`.
pub(crate) async fn end(stop: &watch::Sender<Stop>, timeout: Duration) -> bool {
    stop.send_replace(Stop::Drain);
    if tokio::time::timeout(timeout, stop.closed()).await.is_ok() {
        return true;
    }
    stop.send_replace(Stop::Now);
    stop.closed().await;
    false
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
