//! Adapters: where servants meet connections.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, watch};

use super::builtin::Builtin;
use crate::{
    communicator::Communicator,
    config::{Endpoint, Scheme},
    connection::{
        Connection, ConnectionEvent, Listeners, MessageHandler, Parts, Servant, ServantRegistry,
        Status, drive,
    },
    error::{ErrorCode, RpcError},
    stop::{ShutdownPhase, end, reached},
    transport::{
        broker::Consumer,
        socket::{Accepted, Listener},
    },
    wire::Extra,
};

/// How long an adapter rests when the system has no more sockets for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An endpoint that listens, and the servants that answer there. It lives
/// until it or its communicator is shut down, or the runtime ends.
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
    shared: Arc<Shared>,
    source: Mutex<Option<ListenSource>>,
}

/// Where calls come from.
enum ListenSource {
    Socket(Listener),
    Queues(Vec<(String, Consumer)>),
}

/// Makes the handler of a connection, by the address that it comes from; nothing
/// where it is not let in.
type HandlerFactory = Box<dyn Fn(SocketAddr) -> Option<Arc<dyn MessageHandler>> + Send + Sync>;

struct Shared {
    communicator: Communicator,
    /// One for a socket; for message queues one each.
    servants: Vec<Arc<ServantRegistry>>,
    listeners: Arc<Listeners>,
    handler_factory: OnceLock<HandlerFactory>,
    permits: Arc<Semaphore>,
    endpoint: Endpoint,
    stop: watch::Sender<ShutdownPhase>,
}

impl Adapter {
    /// Takes an endpoint to listen on: `tcp://host:port`, `ssl://`, `ws://` or
    /// `wss://`, with port 0 for any free one, or `mq:name` for message queues
    /// that are open ([`Communicator::open_mq`]), several with commas between.
    /// Nobody is served before [`Adapter::start`].
    ///
    /// # Errors
    /// Where the endpoint is none, the port is taken, certificate and key can't
    /// be read, or the broker refuses.
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
        let (mut consumers, mut servants) = (Vec::new(), Vec::new());
        for name in endpoint.host.split(',').map(str::trim) {
            servants.push(Arc::clone(queues.servants(name)?));
            // One that brings RETURNs is read already.
            if !queues.is_read(name) {
                consumers.push((name.to_owned(), queues.consumer(name).await?));
            }
        }
        let source = ListenSource::Queues(consumers);
        Ok(Self::new(communicator, endpoint, source, servants))
    }

    fn new(
        communicator: &Communicator,
        endpoint: Endpoint,
        source: ListenSource,
        servants: Vec<Arc<ServantRegistry>>,
    ) -> Self {
        let limits = communicator.options().connection;
        let (stop, _) = watch::channel(ShutdownPhase::Running);
        let shared = Shared {
            communicator: communicator.clone(),
            servants,
            listeners: Arc::default(),
            handler_factory: OnceLock::new(),
            permits: Arc::new(Semaphore::new(limits.connections)),
            endpoint,
            stop,
        };
        let adapter = Self {
            shared: Arc::new(shared),
            source: Mutex::new(Some(source)),
        };
        for servants in &adapter.shared.servants {
            let builtin = Builtin::new(servants, communicator.options().describes);
            servants.add(&(Arc::new(builtin) as Arc<dyn Servant>));
        }
        adapter
    }

    /// The endpoint, its port the one that it really listens on.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// Adds a servant; one that answered on the same interface index before is
    /// replaced.
    pub fn add_servant(&self, servant: impl Servant) -> &Self {
        let servant: Arc<dyn Servant> = Arc::new(servant);
        for servants in &self.shared.servants {
            servants.add(&servant);
        }
        self
    }

    /// PendingCalls `listener` when a connection of this adapter goes up or down. It
    /// runs in the connection's task: what takes long belongs into a task of
    /// its own.
    pub fn on_event(
        &self,
        listener: impl Fn(&Connection, &ConnectionEvent) + Send + Sync + 'static,
    ) -> &Self {
        self.shared.listeners.add(listener);
        self
    }

    /// Asks `handler` for who decides about the messages of each connection that
    /// comes, by the address that it comes from; where there is nobody, the
    /// connection is closed before any handshake. Once for an adapter, on
    /// sockets.
    pub fn handle_connections(
        &self,
        handler: impl Fn(SocketAddr) -> Option<Arc<dyn MessageHandler>> + Send + Sync + 'static,
    ) -> &Self {
        // The first one stays.
        let _ = self.shared.handler_factory.set(Box::new(handler));
        self
    }

    /// Lets `handler` decide about the messages of each queue that is read. Once
    /// for an adapter, on message queues.
    pub fn handle_queues(&self, handler: &Arc<dyn MessageHandler>) -> &Self {
        for servants in &self.shared.servants {
            servants.set_handler(handler);
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
        // Subscribed here, so that a shutdown right after waits for it.
        let stop = shared.stop.subscribe();
        match source {
            ListenSource::Socket(listener) => {
                tokio::spawn(accept_all(Arc::clone(shared), listener, stop));
            }
            ListenSource::Queues(consumers) => {
                for (name, consumer) in consumers {
                    // They were open when the adapter was made.
                    if let Ok(queues) = shared.communicator.queues() {
                        queues.read(&name, consumer, stop.clone());
                    }
                }
            }
        }
        let communicator = shared.communicator.subscribe();
        tokio::spawn(follow(communicator, shared.stop.clone()));
        self
    }

    fn take_source(&self) -> Option<ListenSource> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        source.take()
    }

    /// How many connections there are at the moment.
    #[must_use]
    pub fn connections(&self) -> usize {
        let limit = self.shared.communicator.options().connection.connections;
        limit.saturating_sub(self.shared.permits.available_permits())
    }

    /// Accepts nobody any more, lets calls in flight end for as long as
    /// `timeout`, then cuts off what is left. Returns whether everything ended
    /// by itself.
    pub async fn shutdown(&self, timeout: Duration) -> bool {
        drop(self.take_source());
        end(&self.shared.stop, timeout).await
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter")
            .field("endpoint", self.endpoint())
            .finish_non_exhaustive()
    }
}

/// Passes the communicator's end on to an adapter. The communicator waits for
/// this receiver, and it for the adapter.
async fn follow(
    mut communicator: watch::Receiver<ShutdownPhase>,
    adapter: watch::Sender<ShutdownPhase>,
) {
    loop {
        tokio::select! {
            () = adapter.closed() => return,
            changed = communicator.changed() => if changed.is_err() { return },
        }
        let stop = *communicator.borrow_and_update();
        adapter.send_replace(stop);
    }
}

async fn accept_all(
    shared: Arc<Shared>,
    listener: Listener,
    mut stop: watch::Receiver<ShutdownPhase>,
) {
    let mut stopped = stop.clone();
    let stopped = stopped.wait_for(|stop| *stop != ShutdownPhase::Running);
    tokio::select! {
        _ = stopped => {}
        () = async {
            loop {
                accept_one(&shared, &listener).await;
            }
        } => {}
    }
    stop.mark_unchanged();
}

async fn accept_one(shared: &Arc<Shared>, listener: &Listener) {
    // Who is over the limit waits in the system's queue, and costs nothing
    // here. Nobody else takes permits: one that is free now is free later.
    if shared.permits.acquire().await.is_err() {
        return;
    }
    match listener.accept().await {
        Ok(accepted) => {
            let Ok(permit) = Arc::clone(&shared.permits).try_acquire_owned() else {
                return;
            };
            let shared = Arc::clone(shared);
            let stop = shared.stop.subscribe();
            tokio::spawn(async move {
                serve(&shared, accepted, stop).await;
                drop(permit);
            });
        }
        Err(error) => {
            tracing::warn!(endpoint = %shared.endpoint, "can't accept a connection: {error}");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

async fn serve(shared: &Shared, accepted: Accepted, mut stop: watch::Receiver<ShutdownPhase>) {
    let handler = match shared.handler_factory.get() {
        None => None,
        Some(handler_factory) => match handler_factory(accepted.address()) {
            Some(handler) => Some(handler),
            None => return,
        },
    };
    // In a box, since it is over soon and needs many times the memory that the
    // connection does.
    let handshake = Box::pin(accepted.handshake());
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        () = reached(&mut stop, ShutdownPhase::Draining) => return,
    };
    let stream = match shaken {
        Ok(stream) => stream,
        Err(error) => return report(&shared.endpoint, "handshake", &error),
    };
    let parts = Parts {
        peer: stream.peer.clone(),
        compression: shared.endpoint.compression(),
        servants: shared.servants.first().cloned().unwrap_or_default(),
        listeners: Arc::clone(&shared.listeners),
        handler,
        credentials: Extra::new(),
        queue: None,
    };
    let connection = Connection::new(shared.communicator.settings(), parts);
    drive(&connection, stream, Status::Closed, stop).await;
}

fn report(endpoint: &Endpoint, what: &str, error: &io::Error) {
    metrics::counter!("tce_connections_failed_total", "reason" => what.to_owned()).increment(1);
    tracing::info!(%endpoint, what, "a connection failed: {error}");
}
