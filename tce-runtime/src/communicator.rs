//! The communicator: what all connections and adapters of a program share.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    advice::{BROKER_ADVICE, OPEN_ADVICE},
    config::{LoadedTls, MqConfig, Options, SharedOptions, TlsConfig, TlsError},
    error::{ErrorCode, RpcError},
    mq::MessageQueues,
    shutdown::{ShutdownPhase, end},
    termination::termination_signal,
    transport::{broker::Broker, memory::MemoryBroker},
};

/// The options, message queues and shutdown of all connections and adapters of a
/// program. Clones are the same communicator.
///
/// ```
/// use tce_runtime::Communicator;
///
/// let communicator = Communicator::new();
/// ```
#[derive(Clone)]
pub struct Communicator(Arc<CommunicatorInner>);

struct CommunicatorInner {
    settings: Arc<SharedOptions>,
    phase: watch::Sender<ShutdownPhase>,
    queues: OnceLock<Arc<MessageQueues>>,
}

impl Communicator {
    /// A communicator with the defaults of [`Options`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_options(Options::default())
    }

    /// A communicator with other options.
    #[must_use]
    pub fn with_options(options: Options) -> Self {
        let (phase, _) = watch::channel(ShutdownPhase::Running);
        Self(Arc::new(CommunicatorInner {
            settings: Arc::new(SharedOptions::new(options)),
            phase,
            queues: OnceLock::new(),
        }))
    }

    /// The options that it was made with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.settings.options
    }

    pub(crate) fn settings(&self) -> &Arc<SharedOptions> {
        &self.0.settings
    }

    /// Reads the certificates, keys and authorities of [`Options::tls`] again, for
    /// example after the certificate was renewed. Connections that are accepted
    /// and opened from now on use them; those that are open stay as they are.
    ///
    /// ```no_run
    /// # use tce_runtime::Communicator;
    /// # async fn renew(communicator: Communicator) -> std::io::Result<()> {
    /// use tokio::signal::unix::{SignalKind, signal};
    ///
    /// let mut hang_up = signal(SignalKind::hangup())?;
    /// while hang_up.recv().await.is_some() {
    ///     if let Err(error) = communicator.reload_tls() {
    ///         eprintln!("the old certificate stays in use: {error}");
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A file can't be read or used. What was in use before stays in use.
    pub fn reload_tls(&self) -> Result<(), TlsError> {
        self.load_tls(&self.0.settings.tls_files())?.apply();
        Ok(())
    }

    /// Reads TLS files for [`LoadedTls::apply`], in place of those in use.
    ///
    /// # Errors
    /// A file can't be read or used.
    #[doc(hidden)]
    pub fn load_tls(&self, files: &TlsConfig) -> Result<LoadedTls, TlsError> {
        self.0.settings.load_tls(files)
    }

    /// Whether a connection or an adapter has used the TLS files.
    #[doc(hidden)]
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        self.0.settings.uses_tls()
    }

    /// Opens the message queues of a configuration (TCE's `initMQEndpoints`).
    /// Afterwards proxies connect to `mq:name`, and adapters listen on it. A
    /// communicator opens its queues once.
    ///
    /// ```no_run
    /// # use tce_runtime::{Communicator, config::MqConfig};
    /// # async fn open() -> Result<(), Box<dyn std::error::Error>> {
    /// let communicator = Communicator::new();
    /// communicator.open_mq(MqConfig::load("config.yml", "server")?).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// CONNECT_FAILED if a broker can't be reached or refuses the login, or if the
    /// queues are open already.
    pub async fn open_mq(&self, config: MqConfig) -> Result<(), RpcError> {
        let broker = Broker::amqp(&self.0.settings).map_err(|error| {
            RpcError::new(ErrorCode::ConnectFailed, error.to_string())
                .advised(BROKER_ADVICE)
                .caused_by(error)
        })?;
        self.open_queues(config, broker).await
    }

    /// As [`Communicator::open_mq`], with all queues at a broker within the
    /// process; hosts and ports of the configuration are ignored.
    ///
    /// # Errors
    /// CONNECT_FAILED if the queues are open already.
    pub async fn open_mq_in_memory(
        &self,
        config: MqConfig,
        broker: &MemoryBroker,
    ) -> Result<(), RpcError> {
        self.open_queues(config, Broker::Memory(broker.clone()))
            .await
    }

    async fn open_queues(&self, config: MqConfig, broker: Broker) -> Result<(), RpcError> {
        let queues =
            MessageQueues::open(&self.0.settings, config, broker, self.0.phase.clone()).await?;
        self.0.queues.set(queues).map_err(|_| {
            let text = "the message queues of this communicator are open already";
            RpcError::new(ErrorCode::ConnectFailed, text).advised(OPEN_ADVICE)
        })
    }

    /// The message queues, if they are open.
    pub(crate) fn queues(&self) -> Result<&Arc<MessageQueues>, RpcError> {
        self.0.queues.get().ok_or_else(|| {
            let text =
                "no message queues are open: call `open_mq` before an `mq:` endpoint is used";
            RpcError::new(ErrorCode::ConnectFailed, text).advised(OPEN_ADVICE)
        })
    }

    /// Shuts all adapters and connections down: new calls are refused, calls in
    /// flight have `timeout` to end, then the rest is closed. Returns whether
    /// everything ended in time.
    pub async fn shutdown(&self, timeout: Duration) -> bool {
        end(&self.0.phase, timeout).await
    }

    /// Waits for SIGTERM or Ctrl-C, then [shuts down](Communicator::shutdown). A
    /// second signal ends the program at once: [`termination_signal`]. A signal that
    /// comes before this is called does so too, unless
    /// [`catch_termination`](crate::catch_termination) has been called.
    ///
    /// # Errors
    /// If the system refuses to install a signal handler.
    pub async fn wait_for_shutdown(&self, timeout: Duration) -> std::io::Result<bool> {
        termination_signal().await?;
        Ok(self.shutdown(timeout).await)
    }

    /// A receiver of the shutdown's phase. The shutdown waits until all receivers
    /// are dropped.
    pub(crate) fn subscribe(&self) -> watch::Receiver<ShutdownPhase> {
        self.0.phase.subscribe()
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
