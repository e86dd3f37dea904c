//! A running gateway: reload, maintenance, signals, shutdown.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use ::metrics::gauge;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tce_runtime::{
    Adapter, BusyPoll, Communicator, MemoryBroker, RpcError, config::Endpoint as EndpointAddress,
    forwarding::MessageHandler,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{error::GatewayError, live::LiveSource};
use crate::{
    admin,
    config::{Override, ServerConfig, ServiceEndpoint, Services},
    listener::ClientListener,
    metrics::{self, TrafficTotals},
    session::{ActiveRoutes, GatewayPhase, SessionContext, UpstreamHandler},
    upstream::{DirectUpstream, QueueUpstreams, Upstream, UpstreamKind, Upstreams},
};

/// Time for what is sent to brokers and servers at the end of a shutdown, when
/// all client connections are closed.
const UPSTREAM_SHUTDOWN_TIME: Duration = Duration::from_secs(2);

/// A gateway that runs until [`RunningGateway::shutdown`]; dropping it does not
/// stop it.
pub struct RunningGateway {
    context: Arc<SessionContext>,
    listeners: Arc<Vec<ClientListener>>,
    /// The communicators of direct upstreams.
    direct: Mutex<Vec<Communicator>>,
    queues: Mutex<Vec<QueueUpstreams>>,
    /// Held during a reload: one at a time.
    reloading: tokio::sync::Mutex<()>,
    file: Option<(PathBuf, Vec<Override>)>,
    memory: Option<MemoryBroker>,
}

impl RunningGateway {
    pub(super) fn new(
        context: Arc<SessionContext>,
        listeners: Vec<ClientListener>,
        file: Option<(PathBuf, Vec<Override>)>,
        memory: Option<MemoryBroker>,
    ) -> Self {
        Self {
            context,
            listeners: Arc::new(listeners),
            direct: Mutex::default(),
            queues: Mutex::default(),
            reloading: tokio::sync::Mutex::default(),
            file,
            memory,
        }
    }

    /// The addresses that clients connect to, with the ports in use.
    pub fn addresses(&self) -> impl Iterator<Item = &EndpointAddress> {
        self.listeners.iter().flat_map(ClientListener::addresses)
    }

    /// The number of open client connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.context.registry.connections()
    }

    /// The source of what the admin page shows.
    #[must_use]
    pub fn source(&self) -> impl admin::SnapshotSource + use<> {
        LiveSource {
            context: Arc::clone(&self.context),
            listeners: Arc::clone(&self.listeners),
        }
    }

    /// Starts to serve clients.
    pub(super) fn serve(&self, admin: Option<admin::AdminServer>) {
        tokio::spawn(maintain(Arc::clone(&self.context)));
        if let Some(admin) = admin {
            let (source, ended) = (self.source(), self.context.reached(GatewayPhase::Ended));
            tokio::spawn(async move { admin.serve(source, ended).await });
        }
        for listener in self.listeners.iter() {
            listener.start();
        }
        self.context.phase.send_replace(GatewayPhase::Serving);
    }

    /// Activates the routes of a configuration. `upstreams` are those of the
    /// previous one that stay, `queues` those that were opened for this one.
    pub(super) async fn activate(
        &self,
        services: &Arc<Services>,
        server: &Arc<ServerConfig>,
        queues: QueueUpstreams,
        mut upstreams: Upstreams,
    ) -> Result<(), GatewayError> {
        let keys = &self.context.endpoint_keys;
        for (name, queue) in queues.connect().await? {
            let upstream = Upstream::new(&name, UpstreamKind::Queue(queue));
            upstreams.insert(keys.key(&name), upstream);
        }
        for id in &server.upstreams {
            let endpoint = services.endpoint(*id);
            let key = keys.key(&endpoint.name);
            if upstreams.get(key).is_none() {
                let direct = UpstreamKind::Direct(self.connect(endpoint));
                upstreams.insert(key, Upstream::new(&endpoint.name, direct));
            }
        }
        let routes = ActiveRoutes::new(services, server, keys, upstreams);
        self.context.routes.store(Arc::new(routes));
        // Reading starts after the routes of what arrives are in force.
        self.read(&queues).await?;
        self.queues.lock().push(queues);
        Ok(())
    }

    fn connect(&self, endpoint: &ServiceEndpoint) -> DirectUpstream {
        let context = &self.context;
        let (hosts, tls) = endpoint.kind.sockets().unwrap_or_default();
        let communicator = Communicator::with_options(context.properties.upstream_options(tls));
        let addresses = hosts.iter().map(|host| endpoint.address(host).to_string());
        let key = context.endpoint_keys.key(&endpoint.name);
        let upstream = DirectUpstream::connect(&communicator, addresses, &context.servants, |id| {
            Arc::new(UpstreamHandler::new(context, key, Some(id)))
        });
        self.direct.lock().push(communicator);
        upstream
    }

    /// Starts to read the queues that the configuration reads.
    async fn read(&self, queues: &QueueUpstreams) -> Result<(), RpcError> {
        let context = &self.context;
        for name in queues.reads() {
            let key = context.endpoint_keys.key(name);
            let adapter = Adapter::listen(queues.communicator(), &format!("mq:{name}")).await?;
            for servant in &context.servants {
                adapter.add_servant(Arc::clone(servant));
            }
            let handler: Arc<dyn MessageHandler> =
                Arc::new(UpstreamHandler::new(context, key, None));
            adapter.handle_queues(&handler).start();
        }
        Ok(())
    }

    /// Reloads the file: routes, variables, and the queues and servers that calls
    /// are forwarded to. Client connections stay open. Changes of `listen` and of
    /// other properties take effect at the next start.
    ///
    /// # Errors
    /// Every mistake in the file, or a broker that can't be reached. The previous
    /// configuration stays in force.
    pub async fn reload(&self) -> Result<(), GatewayError> {
        let _one_at_a_time = self.reloading.lock().await;
        let (file, overrides) = self.file.as_ref().ok_or(GatewayError::NoFile)?;
        let services = Arc::new(Services::load(file, overrides)?.services);
        let server = Arc::new(services.server(&self.context.name)?.clone());
        let old = self.context.routes.load_full();
        if listen_endpoints(&services, &server) != listen_endpoints(&old.services, &old.server) {
            return Err(GatewayError::ListenersChanged);
        }
        if server.properties != old.server.properties {
            tracing::warn!("changed properties take effect at the next start");
        }
        let open = self.queues.lock().clone();
        let queues = QueueUpstreams::new(&services, &server, &open);
        queues.open(self.memory.as_ref()).await?;
        let upstreams = self.unchanged_upstreams(&old, &services);
        self.activate(&services, &server, queues, upstreams).await?;
        tokio::spawn(keep_for_calls(Arc::clone(&self.context), old));
        tracing::info!(file = %file.display(), "reloaded the configuration");
        Ok(())
    }

    /// The upstreams of `old` whose endpoints are the same in `services`.
    fn unchanged_upstreams(&self, old: &ActiveRoutes, services: &Services) -> Upstreams {
        let is_unchanged = |name: &str| {
            let mut endpoints = old.services.endpoints.iter();
            let endpoint = endpoints.find(|endpoint| endpoint.name == name);
            endpoint.is_some_and(|endpoint| services.endpoints.contains(endpoint))
        };
        let mut upstreams = Upstreams::default();
        for upstream in old.upstreams.iter() {
            if is_unchanged(upstream.name()) {
                let key = self.context.endpoint_keys.key(upstream.name());
                upstreams.insert(key, Arc::clone(upstream));
            }
        }
        upstreams
    }

    /// Stops accepting, lets calls in flight end within `shutdown_time`, and
    /// closes everything. Returns whether all calls have ended in time.
    pub async fn shutdown(&self) -> bool {
        self.context.phase.send_replace(GatewayPhase::Stopping);
        let routes = self.context.routes.load_full();
        for upstream in routes.upstreams.iter() {
            upstream.stop_connecting();
        }
        let time = self.context.properties.shutdown_time;
        let clients = self
            .listeners
            .iter()
            .map(|listener| listener.shutdown(time));
        let is_complete = join_all(clients).await.into_iter().all(|ended| ended);
        let communicators = self.upstream_communicators();
        let upstreams = communicators.iter();
        join_all(upstreams.map(|communicator| communicator.shutdown(UPSTREAM_SHUTDOWN_TIME))).await;
        self.context.phase.send_replace(GatewayPhase::Ended);
        // The handlers of the upstreams hold the context, which holds the
        // upstreams: empty routes break the cycle.
        let empty = ActiveRoutes::new(
            &routes.services,
            &routes.server,
            &self.context.endpoint_keys,
            Upstreams::default(),
        );
        self.context.routes.store(Arc::new(empty));
        is_complete
    }

    fn upstream_communicators(&self) -> Vec<Communicator> {
        let mut communicators = self.direct.lock().clone();
        let queues = self.queues.lock();
        communicators.extend(queues.iter().map(|queues| queues.communicator().clone()));
        communicators
    }

    /// Serves until SIGTERM or Ctrl-C, then [shuts down](Self::shutdown). Reloads
    /// the file on SIGHUP, and with the property `watch` when it has changed.
    ///
    /// # Errors
    /// The system does not deliver signals to the program.
    pub async fn wait_for_shutdown(&self) -> io::Result<bool> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let file = self.watched_file();
        let mut seen = file.map(file_version);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => self.reload_or_log().await,
                () = file_changed(file, &mut seen) => self.reload_or_log().await,
            }
        }
        Ok(self.shutdown().await)
    }

    async fn reload_or_log(&self) {
        if let Err(error) = self.reload().await {
            tracing::error!("can't reload, the old configuration stays in force: {error}");
        }
    }

    fn watched_file(&self) -> Option<&Path> {
        let (file, _) = self.file.as_ref()?;
        self.context.properties.watch.then_some(file)
    }
}

/// Keeps the upstreams of replaced routes until the calls that they carry have
/// ended.
async fn keep_for_calls(context: Arc<SessionContext>, old: Arc<ActiveRoutes>) {
    tokio::select! {
        () = sleep(context.properties.call_time) => {}
        () = context.reached(GatewayPhase::Ended) => {}
    }
    drop(old);
}

fn listen_endpoints<'a>(services: &'a Services, server: &ServerConfig) -> Vec<&'a ServiceEndpoint> {
    let ids = server.listen.iter();
    ids.map(|id| services.endpoint(*id)).collect()
}

/// How often a watched file is checked.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Identifies a version of a file: time of modification, and size.
type FileVersion = Option<(SystemTime, u64)>;

fn file_version(file: &Path) -> FileVersion {
    let data = std::fs::metadata(file).ok()?;
    Some((data.modified().ok()?, data.len()))
}

/// Waits until the file has changed and then stayed the same for a period: before
/// that it may be half written.
async fn file_changed(file: Option<&Path>, seen: &mut Option<FileVersion>) {
    let Some(file) = file else {
        return std::future::pending().await;
    };
    loop {
        sleep(WATCH_PERIOD).await;
        let now = file_version(file);
        if *seen == Some(now) || now.is_none() {
            continue;
        }
        sleep(WATCH_PERIOD).await;
        if file_version(file) == now {
            *seen = Some(now);
            return;
        }
    }
}

/// How often the times of connections are checked, which is their precision.
const MAINTENANCE_PERIOD: Duration = Duration::from_millis(200);
/// Maintenance periods between two exports of metrics.
const EXPORT_EVERY: u32 = 5;

/// Checks the times of connections and exports metrics until the gateway has
/// ended.
async fn maintain(context: Arc<SessionContext>) {
    let longest = context.properties.busy_poll_time.0;
    let _polling = longest.and_then(BusyPoll::begin);
    let mut ticks = interval(MAINTENANCE_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut exported = TrafficTotals::default();
    for period in 1_u32.. {
        ticks.tick().await;
        let has_ended = *context.phase.borrow() == GatewayPhase::Ended;
        if has_ended || period.is_multiple_of(EXPORT_EVERY) {
            let totals = context.registry.totals();
            export_metrics(&context, &totals);
            totals.export_since(&exported);
            exported = totals;
        }
        if has_ended {
            return;
        }
        let now = Instant::now();
        context
            .registry
            .for_each(|session| session.check_times(now));
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn export_metrics(context: &SessionContext, totals: &TrafficTotals) {
    gauge!(metrics::CONNECTIONS).set(context.registry.connections() as f64);
    gauge!(metrics::USERS).set(context.registry.users() as f64);
    gauge!(metrics::CALLS_IN_FLIGHT).set(totals.in_flight as f64);
    context.dropped.export();
    let routes = context.routes.load();
    for route in routes.table.calls() {
        route.metrics().export();
    }
    for upstream in routes.upstreams.iter() {
        let endpoint = upstream.name().to_owned();
        let is_up = if upstream.is_up() { 1.0 } else { 0.0 };
        gauge!(metrics::UPSTREAM_UP, "endpoint" => endpoint.clone()).set(is_up);
        gauge!(metrics::UPSTREAM_QUEUED, "endpoint" => endpoint).set(upstream.queued() as f64);
    }
}
