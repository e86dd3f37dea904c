//! Servers that the gateway connects to by sockets, without a broker.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ::metrics::counter;
use backon::{ExponentialBuilder, Retryable};
use parking_lot::Mutex;
use tce_runtime::{
    Communicator, Connection, ErrorCode, Proxy, Servant, Side,
    forwarding::{AddedExtra, ForwardError, InboundMessage, MessageHandler},
    wire::{Header, KeySet},
};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    health::{HealthMonitor, HostHealth, HostState, Observation, SILENT, UpstreamId},
    load::UpstreamLoad,
};
use crate::metrics::{GATEWAY, HOST_UNHEALTHY};

/// The pauses between attempts to connect for the first time.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How often the health of a server is judged.
const CHECK_PERIOD: Duration = Duration::from_millis(200);
/// A session returns to its server once this has passed since its last oneway
/// call to another one, which may still wait there.
const QUIET_TIME: Duration = Duration::from_secs(2);

/// What a direct upstream is made of.
pub(crate) struct DirectOptions<'a> {
    /// The name of the gateway.
    pub(crate) gateway: &'a Arc<str>,
    /// The name of the endpoint.
    pub(crate) endpoint: &'a str,
    pub(crate) servers: &'a [Arc<DirectServer>],
    /// Answer the calls from servers to the gateway itself.
    pub(crate) servants: &'a [Arc<dyn Servant>],
    /// The thread whose calls it carries.
    pub(crate) runtime: &'a Handle,
    /// The time between two pings of a server; `None` for none.
    pub(crate) ping_interval: Option<Duration>,
}

/// One server, to which each thread of the gateway has a connection.
pub(crate) struct DirectServer {
    /// The address, for example `tcp://host:port`.
    address: String,
    /// Its calls in flight, from all threads.
    load: Arc<UpstreamLoad>,
    /// Whether a failed attempt to connect for the first time was reported.
    is_reported: AtomicBool,
    /// The number of threads that find it unhealthy. While there is one, it gets no
    /// calls of the others either.
    unhealthy: AtomicUsize,
}

impl DirectServer {
    /// A server that gets at most `max_calls` calls at once.
    pub(crate) fn new(address: String, max_calls: usize) -> Arc<Self> {
        Arc::new(Self {
            address,
            load: UpstreamLoad::new(max_calls),
            is_reported: AtomicBool::new(false),
            unhealthy: AtomicUsize::new(0),
        })
    }

    fn is_healthy(&self) -> bool {
        self.unhealthy.load(Ordering::Relaxed) == 0
    }
}

/// The connections of one thread to the servers behind one endpoint.
pub(crate) struct DirectUpstream {
    hosts: Vec<UpstreamHost>,
    moved: MovedSessions,
    communicator: Communicator,
    /// Connect and watch the hosts. Dropping the set aborts them.
    tasks: Mutex<JoinSet<()>>,
    connected: watch::Receiver<bool>,
}

/// The connection of one thread to a server.
pub(crate) struct UpstreamHost {
    server: Arc<DirectServer>,
    pub(crate) health: Arc<HostHealth>,
    /// Set by the first successful attempt; later the connection reconnects by
    /// itself.
    connection: Arc<OnceLock<Connection>>,
}

impl UpstreamHost {
    /// The address, for example `tcp://host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.server.address
    }

    /// The calls in flight at the server.
    pub(super) fn load(&self) -> &Arc<UpstreamLoad> {
        &self.server.load
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.get().is_some_and(Connection::is_connected)
    }

    pub(crate) fn state(&self) -> HostState {
        match (self.health.state(), self.is_connected()) {
            (_, false) => HostState::Down,
            // Its monitor has not seen the connection yet.
            (HostState::Down, true) => HostState::Up,
            (state, true) => state,
        }
    }

    /// Whether the server takes calls of a session that prefers it.
    fn takes(&self, session: u64) -> bool {
        self.server.is_healthy() && self.health.takes(session)
    }

    /// Whether the server takes calls at all.
    fn is_usable(&self) -> bool {
        self.server.is_healthy() && self.health.is_usable()
    }

    /// Whether it is connected, and answers pings if it has ever done so.
    pub(super) fn answers(&self) -> bool {
        !matches!(self.state(), HostState::Down | HostState::Unhealthy(SILENT))
    }
}

impl DirectUpstream {
    /// Starts to connect to all hosts, and retries until it succeeds. `handler`
    /// makes the handler of the messages from a host.
    pub(crate) fn connect(
        communicator: Communicator,
        options: &DirectOptions<'_>,
        handler: impl Fn(&Arc<HostHealth>) -> Arc<dyn MessageHandler>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let (connected, is_connected) = watch::channel(false);
        let has_several = options.servers.len() > 1;
        let hosts = options.servers.iter().map(|server| {
            let health = Arc::new(HostHealth::new());
            let task = HostTask {
                communicator: communicator.clone(),
                gateway: Arc::clone(options.gateway),
                endpoint: options.endpoint.to_owned(),
                server: Arc::clone(server),
                handler: handler(&health),
                servants: options.servants.to_vec(),
                // A single server gets all calls, whatever its health is.
                ping_interval: options.ping_interval.filter(|_| has_several),
                health: Arc::clone(&health),
                connection: Arc::default(),
                connected: connected.clone(),
            };
            let connection = Arc::clone(&task.connection);
            tasks.spawn_on(task.run(), options.runtime);
            UpstreamHost {
                server: Arc::clone(server),
                health,
                connection,
            }
        });
        Self {
            hosts: hosts.collect(),
            moved: MovedSessions::default(),
            communicator,
            tasks: Mutex::new(tasks),
            connected: is_connected,
        }
    }

    /// Waits until a host has been connected for the first time.
    pub(crate) async fn connected(&self) {
        let mut connected = self.connected.clone();
        // The sender is dropped at the shutdown.
        let _ = connected.wait_for(|is_connected| *is_connected).await;
    }

    pub(crate) fn communicator(&self) -> &Communicator {
        &self.communicator
    }

    /// Gives up on hosts that have not been connected yet. A shutdown would wait
    /// for an attempt in progress.
    pub(super) fn stop_connecting(&self) {
        self.tasks.lock().abort_all();
    }

    pub(crate) fn hosts(&self) -> &[UpstreamHost] {
        &self.hosts
    }

    /// The connection to a host, one that takes calls if there is one.
    pub(super) fn connection(&self) -> Option<&Connection> {
        let mut connected = self.hosts.iter().filter(|host| host.is_connected());
        let usable = connected.clone().find(|host| host.is_usable());
        usable.or_else(|| connected.next())?.connection.get()
    }

    /// The health of a host.
    pub(super) fn health(&self, id: UpstreamId) -> Option<&HostHealth> {
        let mut hosts = self.hosts.iter().map(|host| &*host.health);
        hosts.find(|health| health.id == id)
    }

    /// Whether a server has been disconnected.
    pub(super) fn has_lost(&self, id: UpstreamId) -> bool {
        let host = self.hosts.iter().find(|host| host.health.id == id);
        host.is_none_or(|host| !host.is_connected())
    }

    fn preferred(&self, session: u64) -> usize {
        usize::try_from(session).unwrap_or(0) % self.hosts.len().max(1)
    }

    /// The host of a session: the preferred one, unless that is sick or was when
    /// the session called last. `is_quiet` tells whether the session has no call in
    /// flight.
    pub(super) fn host_of(&self, session: u64, is_quiet: impl Fn() -> bool) -> usize {
        let preferred = self.preferred(session);
        if self.hosts.len() < 2 {
            return preferred;
        }
        let takes = self.hosts[preferred].takes(session);
        if takes && self.moved.is_empty() {
            return preferred;
        }
        let is_usable = |host: usize| self.hosts[host].is_usable();
        let current = self.moved.host(session);
        if takes && (current.is_none() || self.moved.is_quiet(session) && is_quiet()) {
            self.moved.remove(session);
            return preferred;
        }
        if let Some(current) = current.filter(|host| is_usable(*host)) {
            return current;
        }
        let next = self.others(preferred).find(|host| is_usable(*host));
        match next.or_else(|| is_usable(preferred).then_some(preferred)) {
            Some(host) => {
                self.moved.insert(session, host);
                host
            }
            // All are sick: any of them may still answer.
            None => current.unwrap_or(preferred),
        }
    }

    /// The hosts after one, in order.
    fn others(&self, host: usize) -> impl Iterator<Item = usize> + use<> {
        let count = self.hosts.len();
        (1..count).map(move |offset| (host + offset) % count)
    }

    /// Waits until the session's host may have capacity; returns at once if it is
    /// not connected.
    pub(super) async fn capacity(&self, session: u64) {
        let host = self.hosts.get(self.host_of(session, || false));
        let connection = host.and_then(|host| host.connection.get());
        if let Some(connection) = connection.filter(|connection| connection.is_connected()) {
            connection.capacity().await;
        }
    }

    /// Forwards a CALL to the session's host, or to another one that takes it: the
    /// session then stays with that one.
    #[inline(always)]
    pub(super) fn forward(
        &self,
        session: u64,
        first: usize,
        message: &mut InboundMessage<'_>,
        header: Header,
        without: KeySet,
    ) -> Result<usize, ForwardError> {
        let mut failure = match self.forward_to(first, message, header, without) {
            Ok(()) => {
                if header.calltype.is_oneway() {
                    self.moved.called_oneway(session, message.read_at());
                }
                return Ok(first);
            }
            Err(error) => error,
        };
        for is_usable in [true, false] {
            for host in self.others(first) {
                if self.hosts[host].is_usable() != is_usable {
                    continue;
                }
                match self.forward_to(host, message, header, without) {
                    Ok(()) => {
                        self.moved.insert(session, host);
                        self.moved.called_oneway(session, message.read_at());
                        return Ok(host);
                    }
                    Err(ForwardError::Disconnected) => {}
                    Err(error) => failure = error,
                }
            }
        }
        Err(failure)
    }

    fn forward_to(
        &self,
        host: usize,
        message: &mut InboundMessage<'_>,
        header: Header,
        without: KeySet,
    ) -> Result<(), ForwardError> {
        let host = self.hosts.get(host).ok_or(ForwardError::Disconnected)?;
        let connection = host.connection.get().ok_or(ForwardError::Disconnected)?;
        message.forward(connection, header, without, AddedExtra::Prepared, None)
    }

    /// Forgets sessions that have ended.
    pub(super) fn retain_sessions(&self, is_open: impl Fn(u64) -> bool) {
        self.moved.retain(is_open);
    }
}

/// The sessions that have left their preferred host, by number. Usually there is
/// none, and nothing is locked.
#[derive(Default)]
struct MovedSessions {
    count: AtomicUsize,
    sessions: Mutex<HashMap<u64, MovedSession>>,
}

struct MovedSession {
    /// Where its calls go.
    host: usize,
    last_oneway: Option<Instant>,
}

impl MovedSessions {
    fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    fn host(&self, session: u64) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        Some(self.sessions.lock().get(&session)?.host)
    }

    /// Whether the session's oneway calls have been started by now.
    fn is_quiet(&self, session: u64) -> bool {
        let sessions = self.sessions.lock();
        let last = sessions.get(&session).and_then(|moved| moved.last_oneway);
        last.is_none_or(|last| last.elapsed() > QUIET_TIME)
    }

    fn insert(&self, session: u64, host: usize) {
        self.change(|sessions| {
            let moved = MovedSession {
                host,
                last_oneway: None,
            };
            sessions.insert(session, moved);
        });
    }

    fn called_oneway(&self, session: u64, at: Instant) {
        if self.is_empty() {
            return;
        }
        if let Some(moved) = self.sessions.lock().get_mut(&session) {
            moved.last_oneway = Some(at);
        }
    }

    fn remove(&self, session: u64) {
        self.change(|sessions| {
            sessions.remove(&session);
        });
    }

    fn retain(&self, is_open: impl Fn(u64) -> bool) {
        if !self.is_empty() {
            self.change(|sessions| sessions.retain(|session, _| is_open(*session)));
        }
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<u64, MovedSession>)) {
        let mut sessions = self.sessions.lock();
        change(&mut sessions);
        self.count.store(sessions.len(), Ordering::Relaxed);
    }
}

/// Connects to a host, and watches its health.
struct HostTask {
    communicator: Communicator,
    gateway: Arc<str>,
    endpoint: String,
    server: Arc<DirectServer>,
    handler: Arc<dyn MessageHandler>,
    servants: Vec<Arc<dyn Servant>>,
    ping_interval: Option<Duration>,
    health: Arc<HostHealth>,
    connection: Arc<OnceLock<Connection>>,
    connected: watch::Sender<bool>,
}

impl HostTask {
    async fn run(self) {
        if let Some(connection) = self.connect().await {
            self.watch(&connection).await;
        }
    }

    /// Connects for the first time, and retries until it succeeds.
    async fn connect(&self) -> Option<Connection> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(BACKOFF_MIN)
            // Jitter adds up to the pause itself.
            .with_max_delay(BACKOFF_MAX / 2)
            .with_jitter()
            .without_max_times();
        let address = self.server.address.as_str();
        let connect = || {
            let handler = Arc::clone(&self.handler);
            self.communicator.connect_with_handler(address, handler)
        };
        let connecting = connect.retry(backoff).notify(|error, _| {
            if !self.server.is_reported.swap(true, Ordering::Relaxed) {
                tracing::warn!(address, "can't connect to a server, retrying: {error:?}");
            }
        });
        let connection = connecting.await.ok()?;
        for servant in &self.servants {
            connection.add_servant(Arc::clone(servant));
        }
        // Only this task sets it.
        let _ = self.connection.set(connection.clone());
        self.connected.send_replace(true);
        Some(connection)
    }

    async fn watch(&self, connection: &Connection) {
        let mut monitor = HealthMonitor::new(Instant::now());
        let mut checks = interval(CHECK_PERIOD);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_ping = Instant::now();
        let mut ping: Option<Pin<Box<dyn Future<Output = bool> + Send>>> = None;
        loop {
            let mut seen = Observation::default();
            tokio::select! {
                _ = checks.tick() => {}
                is_answered = async {
                    match &mut ping {
                        Some(ping) => ping.await,
                        None => std::future::pending().await,
                    }
                } => {
                    seen.ping = Some(is_answered);
                    ping = None;
                }
            }
            seen.is_connected = connection.is_connected();
            let now = Instant::now();
            let before = self.health.state();
            let reason = monitor.check(&self.health, seen, now);
            self.report(before, reason);
            if let Some(interval) = self.ping_interval
                && ping.is_none()
                && next_ping <= now
                && monitor.wants_ping()
            {
                next_ping = now + interval;
                ping = Some(Box::pin(answers(connection.clone(), interval)));
            }
        }
    }
}

impl HostTask {
    /// Reports a server that has become unhealthy, once for all threads.
    fn report(&self, before: HostState, reason: Option<&'static str>) {
        let unhealthy = &self.server.unhealthy;
        let Some(reason) = reason else {
            let is_unhealthy = |state| matches!(state, HostState::Unhealthy(_));
            if is_unhealthy(before) && !is_unhealthy(self.health.state()) {
                unhealthy.fetch_sub(1, Ordering::Relaxed);
            }
            return;
        };
        if unhealthy.fetch_add(1, Ordering::Relaxed) == 0 {
            let (endpoint, address) = (self.endpoint.clone(), self.server.address.clone());
            tracing::warn!(endpoint, address, "a server gets no calls: {reason}");
            let labels = [
                (GATEWAY, self.gateway.to_string()),
                ("endpoint", endpoint),
                ("host", address),
                ("reason", reason.to_owned()),
            ];
            counter!(HOST_UNHEALTHY, &labels).increment(1);
        }
    }
}

/// Whether a server answers a ping. An older one may answer that it has no such
/// interface. One that refuses the call shuts down.
async fn answers(connection: Connection, time: Duration) -> bool {
    match Proxy::new(&connection).with_timeout(time).ping().await {
        Ok(()) => true,
        Err(error) => error.side() == Side::Remote && error.code() != ErrorCode::ConnectReject,
    }
}
