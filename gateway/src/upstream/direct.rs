//! Servers that the gateway connects to by sockets, without a broker.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use futures_util::future::select_all;
use parking_lot::Mutex;
use tce_runtime::{
    Communicator, Connection, Servant,
    forwarding::{ForwardError, InboundMessage, MessageHandler},
    wire::{Header, PatchedExtra},
};
use tokio::task::JoinSet;

/// The pauses between attempts to connect for the first time.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Identifies a server that is connected directly. Unique in the process; a
/// reload that replaces the server gives it another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UpstreamId(u64);

impl UpstreamId {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The servers behind one endpoint.
pub(crate) struct DirectUpstream {
    hosts: Vec<UpstreamHost>,
    /// The tasks that connect for the first time. Dropping the set aborts them.
    connecting: Mutex<JoinSet<()>>,
}

/// One server.
pub(crate) struct UpstreamHost {
    id: UpstreamId,
    /// The address, for example `tcp://host:port`.
    pub(crate) address: String,
    /// Set by the first successful attempt; later the connection reconnects by
    /// itself.
    connection: Arc<OnceLock<Connection>>,
}

impl UpstreamHost {
    pub(crate) fn is_up(&self) -> bool {
        self.connection.get().is_some_and(Connection::is_connected)
    }
}

impl DirectUpstream {
    /// Starts to connect to all hosts, and retries until it succeeds. `handler`
    /// makes the handler of the messages from a host; `servants` answer the calls
    /// from servers to the gateway itself.
    pub(crate) fn connect(
        communicator: &Communicator,
        addresses: impl IntoIterator<Item = String>,
        servants: &[Arc<dyn Servant>],
        handler: impl Fn(UpstreamId) -> Arc<dyn MessageHandler>,
    ) -> Self {
        let mut connecting = JoinSet::new();
        let hosts = addresses.into_iter().map(|address| {
            let host = UpstreamHost {
                id: UpstreamId::new(),
                address,
                connection: Arc::default(),
            };
            connecting.spawn(connect_first(
                communicator.clone(),
                host.address.clone(),
                handler(host.id),
                servants.to_vec(),
                Arc::clone(&host.connection),
            ));
            host
        });
        Self {
            hosts: hosts.collect(),
            connecting: Mutex::new(connecting),
        }
    }

    /// Gives up on hosts that have not been connected yet. A shutdown would wait
    /// for an attempt in progress.
    pub(super) fn stop_connecting(&self) {
        self.connecting.lock().abort_all();
    }

    pub(crate) fn hosts(&self) -> &[UpstreamHost] {
        &self.hosts
    }

    /// Whether a server has been disconnected.
    pub(super) fn has_lost(&self, id: UpstreamId) -> bool {
        let host = self.hosts.iter().find(|host| host.id == id);
        host.is_none_or(|host| !host.is_up())
    }

    /// The host that the calls of a session go to while it is up.
    pub(super) fn preferred_id(&self, session: u64) -> Option<UpstreamId> {
        Some(self.hosts.get(self.preferred(session))?.id)
    }

    fn preferred(&self, session: u64) -> usize {
        usize::try_from(session).unwrap_or(0) % self.hosts.len().max(1)
    }

    /// All hosts, the session's preferred one first.
    fn hosts_from_preferred(&self, session: u64) -> impl Iterator<Item = &UpstreamHost> {
        let hosts = self.hosts.iter().cycle().skip(self.preferred(session));
        hosts.take(self.hosts.len())
    }

    /// Waits until a host that is up may have capacity; returns at once if none
    /// is up.
    pub(super) async fn capacity(&self, session: u64) {
        let hosts = self.hosts_from_preferred(session);
        let capacities: Vec<_> = hosts
            .filter(|host| host.is_up())
            .filter_map(|host| Some(Box::pin(host.connection.get()?.capacity())))
            .collect();
        if !capacities.is_empty() {
            select_all(capacities).await;
        }
    }

    /// Forwards a CALL to the session's preferred host, or to the next one that
    /// takes it.
    pub(super) fn forward(
        &self,
        session: u64,
        message: &mut InboundMessage<'_>,
        header: Header,
        extra: &PatchedExtra<'_>,
    ) -> Result<UpstreamId, ForwardError> {
        let mut failure = ForwardError::Disconnected;
        for host in self.hosts_from_preferred(session) {
            let Some(connection) = host.connection.get() else {
                continue;
            };
            match message.forward(connection, header, extra, None) {
                Ok(()) => return Ok(host.id),
                Err(ForwardError::Disconnected) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// Connects for the first time, and retries until it succeeds.
async fn connect_first(
    communicator: Communicator,
    address: String,
    handler: Arc<dyn MessageHandler>,
    servants: Vec<Arc<dyn Servant>>,
    connected: Arc<OnceLock<Connection>>,
) {
    let backoff = ExponentialBuilder::default()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(BACKOFF_MAX)
        .with_jitter()
        .without_max_times();
    let mut is_reported = false;
    let connecting = (|| communicator.connect_with_handler(&address, Arc::clone(&handler)))
        .retry(backoff)
        .notify(|error, _| {
            if !std::mem::replace(&mut is_reported, true) {
                tracing::warn!(address, "can't connect to a server, retrying: {error}");
            }
        });
    let Ok(connection) = connecting.await else {
        return;
    };
    for servant in servants {
        connection.add_servant(servant);
    }
    // Only this task sets it.
    let _ = connected.set(connection);
}
