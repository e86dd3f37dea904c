//! Adapters: they accept connections, and serve the calls that arrive there.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};

use crate::{
    communicator::Communicator,
    config::{Endpoint, Scheme},
    connection::{
        BUILTIN_INTERFACE, Connection, ConnectionEvent, ConnectionParts, DESCRIBE, EventListeners,
        IncomingCall, MessageHandler, PING, Servant, ServantRegistry, Status, run_stream,
    },
    error::{ErrorCode, RpcError},
    log_limit::LogLimit,
    mq::QueueReceiver,
    shutdown::{ShutdownPhase, end, reached},
    transport::{
        broker::Consumer,
        socket::{Accepted, Listener},
    },
    wire::Extra,
};

/// The pause after a failed `accept`, for example when the process has no file
/// descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An endpoint that listens, and the servants that serve the calls there. It
/// lives until it or its communicator is shut down, or the runtime ends.
///
/// ```no_run
/// # use tce_runtime::{Adapter, Communicator, RpcError};
/// # async fn serve(servant: impl tce_runtime::Servant) -> Result<(), Box<dyn std::error::Error>> {
/// let communicator = Communicator::new();
/// let adapter = Adapter::listen(&communicator, "tcp://0.0.0.0:12002").await?;
/// adapter.add_servant(servant);
/// adapter.start();
/// communicator.wait_for_shutdown(std::time::Duration::from_secs(10)).await?;
/// # Ok(())
/// # }
/// ```
pub struct Adapter {
    shared: Arc<AdapterInner>,
    source: Mutex<Option<ListenSource>>,
}

/// Where calls arrive.
enum ListenSource {
    Socket(Listener),
    Queues(Vec<(String, Consumer)>),
}

/// Creates the handler of a connection from the peer's address; `None` closes the
/// connection.
type HandlerFactory = Box<dyn Fn(SocketAddr) -> Option<Arc<dyn MessageHandler>> + Send + Sync>;

struct AdapterInner {
    communicator: Communicator,
    /// One for a socket; for message queues one each.
    receivers: Vec<Arc<QueueReceiver>>,
    listeners: Arc<EventListeners>,
    handler_factory: OnceLock<HandlerFactory>,
    permits: Arc<Semaphore>,
    handshakes: Handshakes,
    endpoint: Endpoint,
    phase: watch::Sender<ShutdownPhase>,
}

impl Adapter {
    /// Binds an endpoint: `tcp://host:port`, `ssl://`, `ws://` or `wss://`, with
    /// port 0 for any free one; or `mq:name` for a message queue of
    /// [`Communicator::open_mq`], several separated by commas. Calls are served
    /// from [`Adapter::start`] on.
    ///
    /// # Errors
    /// CONNECT_FAILED if the endpoint is malformed, the port is taken,
    /// certificate or key can't be read, or the broker refuses.
    pub async fn listen(communicator: &Communicator, endpoint: &str) -> Result<Self, RpcError> {
        let mut endpoint: Endpoint = endpoint
            .parse()
            .map_err(|error| RpcError::new(ErrorCode::ConnectFailed, format!("{error}")))?;
        if endpoint.scheme == Scheme::Mq {
            return Self::listen_on_queues(communicator, endpoint).await;
        }
        let listener = Listener::bind(&endpoint, communicator.settings()).await?;
        endpoint.port = listener.port().map_err(|error| {
            RpcError::new(ErrorCode::ConnectFailed, error.to_string()).caused_by(error)
        })?;
        let source = ListenSource::Socket(listener);
        Ok(Self::new(
            communicator,
            endpoint,
            source,
            vec![Arc::default()],
        ))
    }

    async fn listen_on_queues(
        communicator: &Communicator,
        endpoint: Endpoint,
    ) -> Result<Self, RpcError> {
        let queues = communicator.queues()?;
        let (mut consumers, mut receivers) = (Vec::new(), Vec::new());
        for name in endpoint.host.split(',').map(str::trim) {
            receivers.push(Arc::clone(queues.receiver(name)?));
            // An endpoint by which RETURNs arrive is consumed already.
            if !queues.is_consumed(name) {
                consumers.push((name.to_owned(), queues.consumer(name).await?));
            }
        }
        let source = ListenSource::Queues(consumers);
        Ok(Self::new(communicator, endpoint, source, receivers))
    }

    fn new(
        communicator: &Communicator,
        endpoint: Endpoint,
        source: ListenSource,
        receivers: Vec<Arc<QueueReceiver>>,
    ) -> Self {
        let limits = communicator.options().connection;
        let (phase, _) = watch::channel(ShutdownPhase::Running);
        let shared = AdapterInner {
            communicator: communicator.clone(),
            receivers,
            listeners: Arc::default(),
            handler_factory: OnceLock::new(),
            permits: Arc::new(Semaphore::new(limits.connections)),
            handshakes: Handshakes::default(),
            endpoint,
            phase,
        };
        let adapter = Self {
            shared: Arc::new(shared),
            source: Mutex::new(Some(source)),
        };
        for receiver in &adapter.shared.receivers {
            let servants = &receiver.servants;
            let builtin = BuiltinServant::new(servants, communicator.options().describes);
            servants.add(&(Arc::new(builtin) as Arc<dyn Servant>));
        }
        adapter
    }

    /// The endpoint, with the port that was bound.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// Adds a servant; it replaces an earlier one with the same interface index.
    pub fn add_servant(&self, servant: impl Servant) -> &Self {
        let servant: Arc<dyn Servant> = Arc::new(servant);
        for receiver in &self.shared.receivers {
            receiver.servants.add(&servant);
        }
        self
    }

    /// Calls `listener` when a connection of this adapter goes up or down. It
    /// runs in the connection's task and must not block; spawn a task for long
    /// work.
    pub fn on_event(
        &self,
        listener: impl Fn(&Connection, &ConnectionEvent) + Send + Sync + 'static,
    ) -> &Self {
        self.shared.listeners.add(listener);
        self
    }

    /// Sets the function that creates the message handler of each accepted
    /// connection from the peer's address. If it returns `None` the connection
    /// is closed before any handshake. For sockets; the first call counts.
    #[doc(hidden)]
    pub fn handle_connections(
        &self,
        handler: impl Fn(SocketAddr) -> Option<Arc<dyn MessageHandler>> + Send + Sync + 'static,
    ) -> &Self {
        let _ = self.shared.handler_factory.set(Box::new(handler));
        self
    }

    /// Sets the handler that decides first about the messages of each queue. For
    /// message queues; the first call counts.
    #[doc(hidden)]
    pub fn handle_queues(&self, handler: &Arc<dyn MessageHandler>) -> &Self {
        for receiver in &self.shared.receivers {
            let _ = receiver.handler.set(Arc::clone(handler));
        }
        self
    }

    /// Begins to accept connections. Must run within a tokio runtime; a second
    /// call does nothing.
    pub fn start(&self) -> &Self {
        let Some(source) = self.take_source() else {
            return self;
        };
        let shared = &self.shared;
        // Subscribed here, so that a shutdown right afterwards waits for the tasks.
        let phase = shared.phase.subscribe();
        match source {
            ListenSource::Socket(listener) => {
                tokio::spawn(accept_all(Arc::clone(shared), phase, listener));
            }
            ListenSource::Queues(consumers) => {
                for (name, consumer) in consumers {
                    // Always open: the consumers come from them.
                    if let Ok(queues) = shared.communicator.queues() {
                        queues.consume(&name, consumer, phase.clone());
                    }
                }
            }
        }
        let communicator = shared.communicator.subscribe();
        tokio::spawn(follow(communicator, shared.phase.clone()));
        self
    }

    fn take_source(&self) -> Option<ListenSource> {
        self.source.lock().take()
    }

    /// How many connections are open or in their handshake.
    #[must_use]
    pub fn connections(&self) -> usize {
        let limit = self.shared.communicator.options().connection.connections;
        limit.saturating_sub(self.shared.permits.available_permits())
    }

    /// Stops accepting, waits at most `timeout` for calls in flight, then closes
    /// the rest. Returns whether everything ended in time.
    pub async fn shutdown(&self, timeout: Duration) -> bool {
        drop(self.take_source());
        end(&self.shared.phase, timeout).await
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter")
            .field("endpoint", self.endpoint())
            .finish_non_exhaustive()
    }
}

/// Carries the communicator's shutdown over to an adapter. The communicator waits
/// for this receiver, and this task for the adapter.
async fn follow(
    mut communicator: watch::Receiver<ShutdownPhase>,
    adapter: watch::Sender<ShutdownPhase>,
) {
    loop {
        tokio::select! {
            () = adapter.closed() => return,
            changed = communicator.changed() => if changed.is_err() { return },
        }
        let phase = *communicator.borrow_and_update();
        adapter.send_replace(phase);
    }
}

/// `listener` is the last parameter, so that it is dropped first: the port is free when
/// the shutdown sees that `phase` is dropped.
async fn accept_all(
    shared: Arc<AdapterInner>,
    mut phase: watch::Receiver<ShutdownPhase>,
    listener: Listener,
) {
    tokio::select! {
        () = reached(&mut phase, ShutdownPhase::Draining) => {}
        () = async {
            loop {
                accept_one(&shared, &listener).await;
            }
        } => {}
    }
}

async fn accept_one(shared: &Arc<AdapterInner>, listener: &Listener) {
    // Connections above the limit wait in the system's backlog, unless one that
    // is in its handshake can be closed for them.
    if shared.handshakes.is_empty() && shared.permits.acquire().await.is_err() {
        return;
    }
    match listener.accept().await {
        Ok(accepted) => {
            if shared.permits.available_permits() == 0 {
                shared.handshakes.end_oldest();
            }
            let Ok(permit) = Arc::clone(&shared.permits).acquire_owned().await else {
                return;
            };
            let handshake = HandshakePermit::new(shared);
            let shared = Arc::clone(shared);
            let phase = shared.phase.subscribe();
            tokio::spawn(async move {
                serve(&shared, accepted, handshake, phase).await;
                drop(permit);
            });
        }
        Err(error) => {
            tracing::warn!(endpoint = %shared.endpoint, "can't accept a connection: {error}");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

async fn serve(
    shared: &AdapterInner,
    accepted: Accepted,
    permit: HandshakePermit,
    mut phase: watch::Receiver<ShutdownPhase>,
) {
    let handler = match shared.handler_factory.get() {
        None => None,
        Some(create) => match create(accepted.address()) {
            Some(handler) => Some(handler),
            None => return,
        },
    };
    // Boxed: it needs many times the memory of the connection, for a short time.
    let handshake = Box::pin(accepted.handshake());
    let accepted = tokio::select! {
        accepted = handshake => accepted,
        () = reached(&mut phase, ShutdownPhase::Draining) => return,
        () = permit.ended() => {
            let text = "closed in its handshake for a newer connection";
            Err(io::Error::other(text))
        }
    };
    drop(permit);
    let stream = match accepted {
        Ok(stream) => stream,
        Err(error) => return report(&shared.endpoint, "handshake", &error),
    };
    let receiver = shared.receivers.first();
    let parts = ConnectionParts {
        servants: receiver
            .map(|it| Arc::clone(&it.servants))
            .unwrap_or_default(),
        listeners: Arc::clone(&shared.listeners),
        handler,
        ..ConnectionParts::stream(
            shared.communicator.settings(),
            stream.peer.clone(),
            shared.endpoint.compression(),
            Extra::new(),
        )
    };
    let connection = Connection::new(shared.communicator.settings(), parts);
    run_stream(&connection, stream, Status::Closed, phase).await;
}

fn report(endpoint: &Endpoint, what: &str, error: &io::Error) {
    static LIMIT: LogLimit = LogLimit::new();
    metrics::counter!("tce_connections_failed_total", "reason" => what.to_owned()).increment(1);
    if LIMIT.allows("failed connections") {
        tracing::info!(%endpoint, what, "a connection failed: {error}");
    }
}

/// The connections of an adapter that are in their handshake. When the adapter
/// has as many connections as are allowed, the oldest of these ends for a new
/// one: a peer that does not finish its handshakes keeps no other out.
#[derive(Debug, Default)]
struct Handshakes(Mutex<OpenHandshakes>);

#[derive(Debug, Default)]
struct OpenHandshakes {
    next: u64,
    /// By the order in which they began.
    ends: BTreeMap<u64, Arc<Notify>>,
}

/// One connection in its handshake; dropping it ends the handshake.
struct HandshakePermit {
    shared: Arc<AdapterInner>,
    number: u64,
    end: Arc<Notify>,
}

impl Handshakes {
    fn is_empty(&self) -> bool {
        self.0.lock().ends.is_empty()
    }

    fn end_oldest(&self) {
        if let Some((_, end)) = self.0.lock().ends.pop_first() {
            end.notify_one();
        }
    }
}

impl HandshakePermit {
    fn new(shared: &Arc<AdapterInner>) -> Self {
        let end = Arc::new(Notify::new());
        let mut open = shared.handshakes.0.lock();
        let number = open.next;
        open.next += 1;
        open.ends.insert(number, Arc::clone(&end));
        drop(open);
        Self {
            shared: Arc::clone(shared),
            number,
            end,
        }
    }

    /// Waits until the handshake has to end.
    async fn ended(&self) {
        self.end.notified().await;
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.shared.handshakes.0.lock().ends.remove(&self.number);
    }
}

/// The servant of the built-in interface.
#[derive(Debug)]
struct BuiltinServant {
    ping: Arc<()>,
    /// The other servants of the adapter; `None` if `describes` is off.
    servants: Option<Arc<Weak<ServantRegistry>>>,
}

impl BuiltinServant {
    fn new(servants: &Arc<ServantRegistry>, describes: bool) -> Self {
        Self {
            ping: Arc::default(),
            servants: describes.then(|| Arc::new(Arc::downgrade(servants))),
        }
    }
}

impl Servant for BuiltinServant {
    fn interfaces(&self) -> &[u16] {
        &[BUILTIN_INTERFACE]
    }

    fn dispatch(&self, call: IncomingCall<'_>) {
        const PING_INDEX: u16 = PING.opidx();
        const DESCRIBE_INDEX: u16 = DESCRIBE.opidx();
        match (call.opidx(), &self.servants) {
            (PING_INDEX, _) => call.run(
                &self.ping,
                |_, (), context| async move { (context, Ok(())) },
            ),
            (DESCRIBE_INDEX, Some(servants)) => {
                call.run(servants, |servants, (), context| async move {
                    let texts = servants.upgrade().map(|servants| servants.idls());
                    (context, Ok(texts.unwrap_or_default()))
                });
            }
            _ => call.unknown_operation(),
        }
    }
}
