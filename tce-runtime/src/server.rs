//! Adapters: they accept connections, and serve the calls that arrive there.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::timeout,
};

use crate::{
    advice::{ENDPOINT_ADVICE, TOPIC_ADVICE},
    busy_poll::BusyPoll,
    client::announce,
    close_code::CloseCode,
    communicator::Communicator,
    config::{Endpoint, Scheme},
    connection::{
        BUILTIN_INTERFACE, BYE, Connection, ConnectionEvent, ConnectionParts, DESCRIBE,
        Disposition, EventListeners, HELLO, InboundMessage, IncomingCall, MessageHandler, PING,
        Servant, ServantRegistry, Status, Undelivered, run_stream,
    },
    error::{ErrorCode, RpcError},
    interceptor::ServerInterceptor,
    log_limit::LogLimit,
    mq::QueueReceiver,
    roster::{Roster, is_member_id, wrong_member_id},
    shutdown::{ShutdownPhase, end, reached},
    transport::{
        ByteStream,
        broker::Consumer,
        pipe,
        socket::{Accepted, Listener},
    },
    worker_pool::{Assignment, WorkerPool},
};

/// The pause after a failed `accept`, for example when the process has no file
/// descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The most connections that are accepted after [`Adapter::stop_accepting`]: those that
/// the system holds for the listener, by default.
const MAX_BACKLOG: usize = 1024;
/// How long a handshake may take to end that gives way to a newer connection. The thread
/// that serves it may be stuck.
const YIELD_TIME: Duration = Duration::from_secs(1);
/// The most connections at once that are told why they are refused. Further ones
/// are closed at once.
const MAX_REFUSALS: usize = 64;
/// How long the peer of a refused connection may take to its first call, whose
/// RETURN tells it why.
const FIRST_CALL_TIME: Duration = Duration::from_millis(800);
/// The time for all of a refusal.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

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
    /// Streams within the process.
    Pipes(mpsc::Receiver<ByteStream>),
}

/// The handler of an accepted connection, or the text that refuses the connection.
type Admitted = Result<Arc<dyn MessageHandler>, &'static str>;

/// Admits a connection from the peer's address, whether the adapter has reached its
/// limit of connections, and the number of the thread that will serve it.
type HandlerFactory = Box<dyn Fn(SocketAddr, bool, usize) -> Admitted + Send + Sync>;

struct AdapterInner {
    communicator: Communicator,
    /// One for a socket; for message queues one each.
    receivers: Vec<Arc<QueueReceiver>>,
    listeners: Arc<EventListeners>,
    handler_factory: OnceLock<HandlerFactory>,
    /// The threads of the connections; the one that accepts if it is not set.
    workers: OnceLock<WorkerPool>,
    permits: Arc<Semaphore>,
    handshakes: Handshakes,
    /// Limits the connections that are told why they are refused.
    refusals: Arc<Semaphore>,
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
        let mut endpoint: Endpoint = endpoint.parse().map_err(|error| {
            RpcError::new(ErrorCode::ConnectFailed, format!("{error}")).advised(ENDPOINT_ADVICE)
        })?;
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
            vec![QueueReceiver::new(communicator.options())],
        ))
    }

    /// An adapter that serves the streams that are sent to it.
    pub(crate) fn on_pipes(communicator: &Communicator) -> (Self, mpsc::Sender<ByteStream>) {
        let (sender, streams) = mpsc::channel(MAX_BACKLOG);
        let endpoint = Endpoint {
            scheme: Scheme::Tcp,
            host: pipe::PEER.to_owned(),
            port: 0,
            path: String::new(),
            compress: false,
        };
        let source = ListenSource::Pipes(streams);
        let receiver = QueueReceiver::new(communicator.options());
        let adapter = Self::new(communicator, endpoint, source, vec![receiver]);
        (adapter, sender)
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
            workers: OnceLock::new(),
            permits: Arc::new(Semaphore::new(
                limits.connections.min(Semaphore::MAX_PERMITS),
            )),
            handshakes: Handshakes::default(),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
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

    /// Runs an interceptor around the calls that arrive at this adapter, within those of
    /// [`Options::server_interceptors`](crate::config::Options) and within those added
    /// before. Calls that are read from then on pass it.
    pub fn intercept(&self, interceptor: impl ServerInterceptor) -> &Self {
        let interceptor = Arc::new(interceptor);
        for receiver in &self.shared.receivers {
            receiver.servants.intercept(&interceptor);
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

    /// Serves the connections on the threads of a [`WorkerPool`], instead of the
    /// runtime that accepts them. Call it before [`Adapter::start`]; the first
    /// call counts. The calls of a message queue are served where it is read.
    pub fn serve_on(&self, workers: &WorkerPool) -> &Self {
        let _ = self.shared.workers.set(workers.clone());
        self
    }

    /// Sets the function that creates the message handler of each accepted
    /// connection from the peer's address, or returns why the connection is
    /// refused, which the peer is told. It also learns whether the adapter has
    /// reached its limit of connections; it must refuse then. The last parameter is
    /// the number of the thread of the [`WorkerPool`], or 0. For sockets; the first
    /// call counts.
    #[doc(hidden)]
    pub fn handle_connections(
        &self,
        handler: impl Fn(SocketAddr, bool, usize) -> Result<Arc<dyn MessageHandler>, &'static str>
        + Send
        + Sync
        + 'static,
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

    /// Makes this program a member of its topic: it answers
    /// [multi-calls](crate::TypedMulti) as `id`, ignores those that are for others, and
    /// announces itself to the other members every 2 s, and once more when it leaves, which
    /// it does with the shutdown of the adapter or the communicator. The endpoint has to be
    /// open for reading and writing (`AF_READ|AF_WRITE`).
    ///
    /// `id` identifies this program among those that read the topic: 1 to 128 printable
    /// ASCII characters without space and comma. Two members with one id count as one.
    ///
    /// ```no_run
    /// # use tce_runtime::{Adapter, Communicator, RpcError};
    /// # async fn join(communicator: Communicator) -> Result<(), RpcError> {
    /// let adapter = Adapter::listen(&communicator, "mq:commands").await?;
    /// adapter.join("machine-7").await?;
    /// adapter.start();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// CONNECT_FAILED for an adapter that reads no topic or several endpoints, for a topic
    /// that is not open for writing, or was joined before, and for a wrong id.
    pub async fn join(&self, id: &str) -> Result<(), RpcError> {
        let shared = &self.shared;
        let failed = |text: String| RpcError::new(ErrorCode::ConnectFailed, text);
        if !is_member_id(id) {
            return Err(failed(wrong_member_id(id)).advised(TOPIC_ADVICE));
        }
        if shared.endpoint.scheme != Scheme::Mq {
            let text = format!(
                "`{}` is no topic: only a topic has members",
                shared.endpoint
            );
            return Err(failed(text).advised(TOPIC_ADVICE));
        }
        let queues = shared.communicator.queues()?;
        let topic = shared.endpoint.host.trim();
        let connection = queues.connect(topic)?;
        let member = Arc::new(Roster::new(id));
        queues.join(topic, &member)?;
        let phases = [shared.phase.subscribe(), shared.communicator.subscribe()];
        tokio::spawn(announce(member, connection, phases));
        Ok(())
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
            ListenSource::Pipes(streams) => {
                tokio::spawn(accept_pipes(Arc::clone(shared), phase, streams));
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
        let limit = limit.min(Semaphore::MAX_PERMITS);
        limit.saturating_sub(self.shared.permits.available_permits())
    }

    /// Closes the port. Connections that are open work on.
    #[doc(hidden)]
    pub fn stop_accepting(&self) {
        drop(self.take_source());
        let phase = &self.shared.phase;
        phase.send_if_modified(|phase| {
            let is_running = *phase == ShutdownPhase::Running;
            if is_running {
                *phase = ShutdownPhase::NotAccepting;
            }
            is_running
        });
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
    let poll_time = shared.communicator.options().busy_poll_time;
    let _busy_poll = poll_time.and_then(BusyPoll::begin);
    tokio::select! {
        () = reached(&mut phase, ShutdownPhase::NotAccepting) => {}
        () = async {
            loop {
                accept_one(&shared, &listener).await;
            }
        } => {}
    }
    if *phase.borrow() == ShutdownPhase::NotAccepting {
        // The peers of what the system has accepted already would lose their first calls.
        for _ in 0..MAX_BACKLOG {
            if accept_one(&shared, &listener).now_or_never().is_none() {
                break;
            }
        }
    }
}

async fn accept_pipes(
    shared: Arc<AdapterInner>,
    mut phase: watch::Receiver<ShutdownPhase>,
    mut streams: mpsc::Receiver<ByteStream>,
) {
    loop {
        let stream = tokio::select! {
            () = reached(&mut phase, ShutdownPhase::NotAccepting) => return,
            stream = streams.recv() => stream,
        };
        let Some(stream) = stream else {
            return;
        };
        let Ok(permit) = Arc::clone(&shared.permits).try_acquire_owned() else {
            continue;
        };
        let connection = shared.connection(&stream, None);
        let phase = shared.phase.subscribe();
        tokio::spawn(async move {
            run_stream(connection, stream, Status::Closed, phase).await;
            drop(permit);
        });
    }
}

async fn accept_one(shared: &Arc<AdapterInner>, listener: &Listener) {
    match listener.accept().await {
        Ok(accepted) => {
            let mut permit = Arc::clone(&shared.permits).try_acquire_owned().ok();
            if permit.is_none() && shared.handshakes.end_oldest() {
                let freed = Arc::clone(&shared.permits).acquire_owned();
                permit = timeout(YIELD_TIME, freed).await.ok().and_then(Result::ok);
            }
            let assignment = shared.workers.get().map(WorkerPool::assign);
            let worker = assignment.as_ref().map_or(0, Assignment::worker);
            let is_full = permit.is_none();
            let admit = |address| shared.admit(address, is_full, worker);
            let admission = match accepted.is_from_client() || is_full {
                true => admit(accepted.address()).map(Admission::Done),
                false => Ok(Admission::Due { worker }),
            };
            match admission {
                Ok(admission) => {
                    let admitted = PendingConnection {
                        shared: Arc::clone(shared),
                        admission,
                        handshake: HandshakePermit::new(shared),
                        phase: shared.phase.subscribe(),
                        permit,
                    };
                    admitted.spawn(accepted, assignment);
                }
                Err(text) => {
                    // Returned before the refusal, which may take a second.
                    drop(permit);
                    refuse(shared, accepted, text);
                }
            }
        }
        Err(error) => {
            tracing::warn!(endpoint = %shared.endpoint, "can't accept a connection: {error}");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

impl AdapterInner {
    /// The handler of a connection, if it has one, or why the connection is
    /// refused.
    fn admit(
        &self,
        peer: SocketAddr,
        is_full: bool,
        worker: usize,
    ) -> Result<Option<Arc<dyn MessageHandler>>, &'static str> {
        match self.handler_factory.get() {
            Some(create) => create(peer, is_full, worker).map(Some),
            None if is_full => {
                static LIMIT: LogLimit = LogLimit::new();
                metrics::counter!("tce_connections_refused_total", "reason" => "connections")
                    .increment(1);
                if LIMIT.allows("refused connections") {
                    let endpoint = &self.endpoint;
                    tracing::warn!(%endpoint, %peer, "refused a connection: `connections` of the options is reached");
                }
                Err("the server has as many connections as it may have; try again later")
            }
            None => Ok(None),
        }
    }

    /// An accepted connection over `stream`.
    fn connection(
        &self,
        stream: &ByteStream,
        handler: Option<Arc<dyn MessageHandler>>,
    ) -> Connection {
        let mut parts = ConnectionParts {
            listeners: Arc::clone(&self.listeners),
            handler,
            ..self.parts(stream)
        };
        if let Some(receiver) = self.receivers.first() {
            parts.servants = Arc::clone(&receiver.servants);
        }
        Connection::new(self.communicator.settings(), parts)
    }

    fn parts(&self, stream: &ByteStream) -> ConnectionParts {
        let settings = self.communicator.settings();
        let compression = self.endpoint.compression();
        ConnectionParts::stream(settings, stream.peer.clone(), compression)
    }
}

/// Whether a connection was admitted.
enum Admission {
    /// With its handler, if it has one.
    Done(Option<Arc<dyn MessageHandler>>),
    /// A proxy names the address of its client first. The connection will be served by
    /// this thread.
    Due { worker: usize },
}

impl Admission {
    /// Decides about a client, if that is still due.
    fn decide(
        self,
        shared: &AdapterInner,
        client: SocketAddr,
    ) -> Result<Option<Arc<dyn MessageHandler>>, &'static str> {
        match self {
            Self::Done(handler) => Ok(handler),
            Self::Due { worker } => shared.admit(client, false, worker),
        }
    }
}

/// A connection before and during its handshakes.
struct PendingConnection {
    shared: Arc<AdapterInner>,
    admission: Admission,
    handshake: HandshakePermit,
    phase: watch::Receiver<ShutdownPhase>,
    /// Counts as a connection of the adapter.
    permit: Option<OwnedSemaphorePermit>,
}

impl PendingConnection {
    /// Serves the connection in a task of this runtime, or of the thread that it is
    /// assigned to.
    fn spawn(self, accepted: Accepted, assignment: Option<Assignment>) {
        let Some(assignment) = assignment else {
            tokio::spawn(self.serve(move || Ok(accepted), None));
            return;
        };
        match accepted.detach() {
            Ok(detached) => {
                let runtime = assignment.runtime().clone();
                runtime.spawn(self.serve(move || detached.attach(), Some(assignment)));
            }
            Err(error) => report(&self.shared.endpoint, "accept", &error),
        }
    }

    /// Serves the socket that `attach` returns. `assignment` lasts as long as the
    /// connection.
    fn serve(
        self,
        attach: impl FnOnce() -> io::Result<Accepted> + Send,
        assignment: Option<Assignment>,
    ) -> impl Future<Output = ()> + Send {
        // Boxed here: a handshake needs many times the memory of a connection, and what an
        // async block captures is never freed before its end.
        let handshake = Box::pin(self.shake_hands(attach));
        async move {
            let _permit;
            let running = pin!(match handshake.await {
                Some(EstablishedConnection {
                    connection,
                    stream,
                    phase,
                    permit,
                }) => {
                    _permit = permit;
                    run_stream(connection, stream, Status::Closed, phase)
                }
                None => return,
            });
            running.await;
            drop(assignment);
        }
    }

    async fn shake_hands(
        self,
        attach: impl FnOnce() -> io::Result<Accepted>,
    ) -> Option<EstablishedConnection> {
        let Self {
            shared,
            admission,
            handshake: handshake_permit,
            mut phase,
            permit,
        } = self;
        let accepted = match attach() {
            Ok(accepted) => accepted,
            Err(error) => {
                report(&shared.endpoint, "accept", &error);
                return None;
            }
        };
        let admitting = Arc::clone(&shared);
        let admit = Box::new(move |client: SocketAddr| admission.decide(&admitting, client));
        let accepted = tokio::select! {
            accepted = accepted.handshake(admit) => accepted,
            () = reached(&mut phase, ShutdownPhase::Draining) => return None,
            () = handshake_permit.ended() => {
                report_yielded(&shared.endpoint);
                return None;
            }
        };
        if !handshake_permit.complete() {
            report_yielded(&shared.endpoint);
            return None;
        }
        match accepted {
            Ok((stream, Ok(handler))) => Some(EstablishedConnection {
                connection: shared.connection(&stream, handler),
                stream,
                phase,
                permit,
            }),
            Ok((stream, Err(text))) => {
                refuse_stream(&shared, stream, text);
                None
            }
            Err(error) => {
                report(&shared.endpoint, "handshake", &error);
                None
            }
        }
    }
}

/// A connection after its handshakes.
struct EstablishedConnection {
    connection: Connection,
    stream: ByteStream,
    phase: watch::Receiver<ShutdownPhase>,
    /// Counts as a connection of the adapter.
    permit: Option<OwnedSemaphorePermit>,
}

/// Tells the peer why its connection is refused, in a task: over WebSocket by the
/// answer to the handshake, and otherwise by the RETURN of its first call.
fn refuse(shared: &Arc<AdapterInner>, accepted: Accepted, text: &'static str) {
    let refusal = Box::new(move |_: SocketAddr| Err::<(), _>(text));
    refuse_within_limit(shared, move |shared, phase| async move {
        if let Ok((stream, _)) = Box::pin(accepted.handshake(refusal)).await {
            tell_refused(&shared, stream, text, phase).await;
        }
    });
}

/// The same for a connection whose handshakes have shown that it is refused.
fn refuse_stream(shared: &Arc<AdapterInner>, stream: ByteStream, text: &'static str) {
    refuse_within_limit(shared, move |shared, phase| async move {
        tell_refused(&shared, stream, text, phase).await;
    });
}

/// Runs a refusal in a task, if not too many run.
fn refuse_within_limit<F>(
    shared: &Arc<AdapterInner>,
    refusing: impl FnOnce(Arc<AdapterInner>, watch::Receiver<ShutdownPhase>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(permit) = Arc::clone(&shared.refusals).try_acquire_owned() else {
        // Many are refused at once: this one is closed without a word.
        return;
    };
    let refusing = refusing(Arc::clone(shared), shared.phase.subscribe());
    tokio::spawn(async move {
        let _ = timeout(REFUSAL_TIME, refusing).await;
        drop(permit);
    });
}

/// Answers the first call of a peer with `text`.
async fn tell_refused(
    shared: &AdapterInner,
    stream: ByteStream,
    text: &'static str,
    phase: watch::Receiver<ShutdownPhase>,
) {
    let peer = Arc::new(RefusedPeer {
        text,
        was_told: Notify::new(),
    });
    let parts = ConnectionParts {
        handler: Some(Arc::clone(&peer) as Arc<dyn MessageHandler>),
        ..shared.parts(&stream)
    };
    let connection = Connection::new(shared.communicator.settings(), parts);
    let running = run_stream(connection.clone(), stream, Status::Closed, phase);
    let ending = async {
        if timeout(FIRST_CALL_TIME, peer.was_told.notified())
            .await
            .is_err()
        {
            connection.say_goodbye(CloseCode::TryLater, text);
        }
        connection.close();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = running => {}
        () = ending => {}
    }
}

/// Answers the calls of a peer whose connection is refused.
struct RefusedPeer {
    text: &'static str,
    was_told: Notify,
}

impl Undelivered for RefusedPeer {}

impl MessageHandler for RefusedPeer {
    fn handle(&self, message: &mut InboundMessage<'_>) -> Disposition {
        if message.message().header.calltype.is_call() {
            message.refuse(ErrorCode::ConnectReject, self.text);
            self.was_told.notify_one();
        }
        Disposition::Handled
    }
}

fn report_yielded(endpoint: &Endpoint) {
    let text = "closed in its handshake for a newer connection";
    report(endpoint, "handshake", &io::Error::other(text));
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
    /// Ends the oldest handshake. Returns whether there was one.
    fn end_oldest(&self) -> bool {
        let oldest = self.0.lock().ends.pop_first();
        if let Some((_, end)) = &oldest {
            end.notify_one();
        }
        oldest.is_some()
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

    /// The handshake is done. Returns false if the connection has to give way all the
    /// same: a newer one waits for it already.
    fn complete(self) -> bool {
        let mut open = self.shared.handshakes.0.lock();
        open.ends.remove(&self.number).is_some()
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
        // For the members of a topic; this program reads it without being one.
        const HELLO_INDEX: u16 = HELLO.opidx();
        const BYE_INDEX: u16 = BYE.opidx();
        match (call.opidx(), &self.servants) {
            (PING_INDEX | HELLO_INDEX | BYE_INDEX, _) => call.run(
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
