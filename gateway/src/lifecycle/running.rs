//! A running gateway: reload, signals, shutdown.

use std::{
    io,
    path::PathBuf,
    pin::pin,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use futures_util::future::{join_all, try_join_all};
use parking_lot::Mutex;
use tce_runtime::{
    Adapter, Communicator, MemoryBroker, RpcError,
    config::{Endpoint as EndpointAddress, LoadedTls, TlsConfig, TlsError},
    forwarding::MessageHandler,
    termination_signal,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{sleep, timeout},
};

use super::{
    drain::{drain, drain_time},
    error::GatewayError,
    live::LiveSource,
    maintenance::{maintain, watch_sessions},
    operator::{LiveOperator, ReloadRequest, ReloadRequests, reload_requests},
    readers::QueueReaders,
    threads::GatewayThreads,
    watched_files::{FileVersion, changed, versions},
};
use crate::{
    admin,
    auth::JwtAuthenticator,
    config::{
        Auth, KeySetSource, Override, PROPERTIES, Properties, ServerConfig, ServiceEndpoint,
        Services,
    },
    control::GatewayControl,
    listener::ClientListener,
    routing::EndpointKey,
    session::{ActiveRoutes, GatewayPhase, SessionContext, UpstreamHandler},
    upstream::{
        DirectOptions, DirectServer, DirectUpstream, QueueUpstreams, Upstream, UpstreamKind,
        Upstreams, queue_endpoints,
    },
};

/// The least time for what is sent to brokers and servers at the end of a shutdown,
/// when all client connections are closed.
const UPSTREAM_SHUTDOWN_TIME: Duration = Duration::from_secs(2);

/// How long a reload waits for servers that replace others, which still serve.
const SUCCESSOR_TIME: Duration = Duration::from_secs(10);

/// A gateway that runs until [`RunningGateway::shutdown`]; dropping it does not
/// stop it.
pub struct RunningGateway {
    /// The context of the first thread, for what all threads share.
    context: Arc<SessionContext>,
    threads: Arc<GatewayThreads>,
    listeners: Arc<Vec<ClientListener>>,
    /// The upstreams of replaced routes, whose calls may still be in flight.
    replaced: Mutex<Vec<Weak<Upstream>>>,
    authenticator: AuthenticatorOrigin,
    operator: Arc<LiveOperator>,
    reload_requests: ReloadRequests,
    queues: Mutex<Vec<QueueUpstreams>>,
    readers: Arc<QueueReaders>,
    /// Held during a reload: one at a time.
    reloading: tokio::sync::Mutex<()>,
    file: Option<(PathBuf, Vec<Override>)>,
    memory: Option<MemoryBroker>,
    /// The versions of the watched files that were loaded at the start.
    loaded_versions: Vec<FileVersion>,
}

impl RunningGateway {
    pub(super) fn new(
        threads: GatewayThreads,
        listeners: Vec<ClientListener>,
        file: Option<(PathBuf, Vec<Override>)>,
        memory: Option<MemoryBroker>,
        authenticator: AuthenticatorOrigin,
        control: GatewayControl,
    ) -> Self {
        let (reloads, reload_requests) = reload_requests();
        let mut running = Self {
            context: Arc::clone(threads.context()),
            threads: Arc::new(threads),
            listeners: Arc::new(listeners),
            replaced: Mutex::default(),
            authenticator,
            operator: Arc::new(LiveOperator { control, reloads }),
            reload_requests,
            queues: Mutex::default(),
            readers: Arc::default(),
            reloading: tokio::sync::Mutex::default(),
            file,
            memory,
            loaded_versions: Vec::new(),
        };
        running.loaded_versions = versions(&running.watched_files());
        running
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
            threads: Arc::clone(&self.threads),
            listeners: Arc::clone(&self.listeners),
            operator: Arc::clone(&self.operator),
        }
    }

    /// Starts to keep the pushes of clients in Redis, if they are kept there.
    pub(super) async fn start_histories(&self) {
        let context = &self.context;
        let ended = context.reached(GatewayPhase::Ended);
        let registry = &context.registry;
        registry
            .start_histories(&context.endpoint_keys, ended)
            .await;
    }

    /// Starts to serve clients.
    pub(super) fn serve(&self, admin: Option<admin::AdminServer>) {
        tokio::spawn(maintain(
            Arc::clone(&self.threads),
            Arc::clone(&self.readers),
        ));
        self.operator.control.start();
        for thread in self.threads.iter() {
            thread
                .runtime
                .spawn(watch_sessions(Arc::clone(&thread.context)));
        }
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
    /// previous one that stay, for each thread; `queues` those that were opened for this
    /// one.
    pub(super) async fn activate(
        &self,
        services: &Arc<Services>,
        server: &Arc<ServerConfig>,
        queues: QueueUpstreams,
        mut upstreams: Vec<Upstreams>,
    ) -> Result<(), GatewayError> {
        let keys = &self.context.endpoint_keys;
        let max_calls = self.context.properties.max_calls_per_upstream;
        for (name, queue) in queues.connect().await? {
            let upstream = Upstream::new(&name, UpstreamKind::Queue(queue), max_calls);
            for of_thread in &mut upstreams {
                of_thread.insert(keys.key(&name), Arc::clone(&upstream));
            }
        }
        let mut opened = Vec::new();
        for id in &server.upstreams {
            let endpoint = services.endpoint(*id);
            let key = keys.key(&endpoint.name);
            if upstreams
                .iter()
                .any(|of_thread| of_thread.get(key).is_some())
            {
                continue;
            }
            let connections = self.connect(endpoint)?.into_iter();
            for (of_thread, direct) in upstreams.iter_mut().zip(connections) {
                let direct = UpstreamKind::Direct(direct);
                let upstream = Upstream::new(&endpoint.name, direct, max_calls);
                of_thread.insert(key, Arc::clone(&upstream));
                opened.push((key, upstream));
            }
        }
        self.await_successors(&opened).await?;
        for (thread, upstreams) in self.threads.iter().zip(upstreams) {
            let routes = ActiveRoutes::new(
                services,
                server,
                keys,
                upstreams,
                &thread.context.servants,
                &thread.context.rates,
            );
            thread.context.routes.store(Arc::new(routes));
        }
        self.operator.control.configure(services, server);
        // Reading starts after the routes of what arrives are in force.
        self.read(&queues).await?;
        if !queues.is_empty() {
            self.queues.lock().push(queues);
        }
        Ok(())
    }

    /// The connections of each thread to the servers of an endpoint.
    fn connect(&self, endpoint: &ServiceEndpoint) -> Result<Vec<DirectUpstream>, GatewayError> {
        let context = &self.context;
        let (hosts, tls) = endpoint.kind.sockets().unwrap_or_default();
        for host in hosts {
            let checked = tls.map_or(Ok(()), |tls| tls.check_client(&host.host));
            checked.map_err(|source| tls_error(endpoint, source))?;
        }
        let properties = &context.properties;
        let communicator =
            Communicator::with_options(properties.upstream_options(tls, &context.memory));
        let servers = hosts.iter().map(|host| {
            let address = endpoint.address(host).to_string();
            DirectServer::new(address, properties.max_calls_per_upstream)
        });
        let servers: Vec<_> = servers.collect();
        let key = context.endpoint_keys.key(&endpoint.name);
        let servants = context.servants_for_servers();
        let of_threads = self.threads.iter().map(|thread| {
            let options = DirectOptions {
                gateway: &context.name,
                endpoint: &endpoint.name,
                servers: &servers,
                servants: &servants,
                runtime: &thread.runtime,
                ping_interval: properties.upstream_ping_interval,
            };
            DirectUpstream::connect(communicator.clone(), &options, |health| {
                let health = Some(Arc::clone(health));
                Arc::new(UpstreamHandler::new(&thread.context, key, health))
            })
        });
        Ok(of_threads.collect())
    }

    /// Waits until upstreams that replace others, which serve calls now, are
    /// connected.
    async fn await_successors(
        &self,
        opened: &[(EndpointKey, Arc<Upstream>)],
    ) -> Result<(), GatewayError> {
        let routes = self.context.routes.load_full();
        let successors = opened.iter().filter(|(key, _)| {
            let old = routes.upstreams.get(*key);
            old.is_some_and(|old| old.is_up())
        });
        let connecting = successors.map(async |(_, upstream)| {
            let connected = timeout(SUCCESSOR_TIME, upstream.connected()).await;
            connected.map_err(|_| GatewayError::Unreachable(upstream.name().to_owned()))
        });
        try_join_all(connecting).await?;
        Ok(())
    }

    /// Starts to read the queues that the configuration reads.
    async fn read(&self, queues: &QueueUpstreams) -> Result<(), RpcError> {
        let context = &self.context;
        for endpoint in queues.reads() {
            let name = &endpoint.name;
            let key = context.endpoint_keys.key(name);
            let adapter = Adapter::listen(queues.communicator(), &format!("mq:{name}")).await?;
            for servant in context.servants_for_servers() {
                adapter.add_servant(servant);
            }
            let handler: Arc<dyn MessageHandler> =
                Arc::new(UpstreamHandler::new(context, key, None));
            adapter.handle_queues(&handler).start();
            self.readers.add(endpoint.clone(), adapter);
        }
        Ok(())
    }

    /// Reloads the file: routes, variables, the queues and servers that calls are
    /// forwarded to, certificates with their keys, and the key of JWTs. Client
    /// connections stay open. Changes of `listen` and of other properties take
    /// effect at the next start.
    ///
    /// # Errors
    /// Every mistake in the file, a certificate or key that can't be used, a
    /// broker that can't be reached, or a server that can't be reached at its new
    /// address. The previous configuration stays in force.
    pub async fn reload(&self) -> Result<(), GatewayError> {
        let _one_at_a_time = self.reloading.lock().await;
        let (file, overrides) = self.file.as_ref().ok_or(GatewayError::NoFile)?;
        let loaded = Services::load(file, overrides)?;
        for warning in loaded.warnings_of(&[&self.context.name]) {
            tracing::warn!("{warning}");
        }
        let services = Arc::new(loaded.services);
        let server = Arc::new(services.server(&self.context.name)?.clone());
        let old_routes = self.threads.routes();
        let old = self.context.routes.load_full();
        if !listens_alike(&services, &server, &old) {
            return Err(GatewayError::ListenersChanged);
        }
        let certificates = self.load_certificates(&services, &server, &old)?;
        let jwt = self.load_jwt(&server.properties)?;
        let open = self.queues.lock().clone();
        let queues = QueueUpstreams::new(&services, &server, &open, &self.readers.endpoints());
        queues.open(self.memory.as_ref()).await?;
        let upstreams = old_routes.iter();
        let upstreams = upstreams.map(|old| self.unchanged_upstreams(old, &services));
        let upstreams = upstreams.collect();
        self.activate(&services, &server, queues, upstreams).await?;
        // From here on nothing fails.
        let mut reloaded = vec!["routes".to_owned()];
        for (endpoint, loaded) in certificates {
            loaded.apply();
            reloaded.push(format!("certificates of {endpoint}"));
        }
        if let (Some(jwt), Some(guard)) = (jwt, &self.context.authenticator) {
            guard.replace(jwt);
            reloaded.push("the key of JWTs".to_owned());
        }
        let unchanged = changed_properties(&server.properties, &self.context.properties);
        if !unchanged.is_empty() {
            let properties = unchanged.join(", ");
            tracing::warn!(
                properties,
                "these properties have changed, which takes effect at the next start"
            );
        }
        self.retire(old_routes);
        let wanted: Vec<_> = queue_endpoints(&services, &server).collect();
        let call_time = self.context.properties.call_time;
        self.readers.retain(&wanted, call_time);
        let reloaded = reloaded.join(", ");
        tracing::info!(file = %file.display(), reloaded, "reloaded the configuration");
        Ok(())
    }

    /// Reads the certificates and keys of all endpoints that stay open, each by
    /// the name of its endpoint.
    fn load_certificates(
        &self,
        services: &Services,
        server: &ServerConfig,
        old: &ActiveRoutes,
    ) -> Result<Vec<(String, LoadedTls)>, GatewayError> {
        let mut loaded = Vec::new();
        let files = |endpoint: &'_ ServiceEndpoint| {
            let (_, tls) = endpoint.kind.sockets()?;
            tls.cloned()
        };
        for queues in self.queues.lock().iter() {
            // The authorities of the system, which sign certificates of brokers.
            let communicator = queues.communicator();
            if communicator.uses_tls() {
                let authorities = communicator.load_tls(&TlsConfig::default());
                let authorities = authorities.map_err(|source| GatewayError::Tls {
                    endpoint: queues.names(),
                    source,
                })?;
                loaded.push((queues.names(), authorities));
            }
        }
        let mut add = |endpoint: &ServiceEndpoint, tls: Result<Option<LoadedTls>, TlsError>| {
            let tls = tls.map_err(|source| tls_error(endpoint, source))?;
            loaded.extend(tls.map(|tls| (endpoint.name.clone(), tls)));
            Ok::<_, GatewayError>(())
        };
        for (id, listener) in server.listen.iter().zip(self.listeners.iter()) {
            let endpoint = services.endpoint(*id);
            add(endpoint, listener.load_tls(files(endpoint).as_ref()))?;
        }
        for id in &server.upstreams {
            let endpoint = services.endpoint(*id);
            let Some(files) = files(endpoint) else {
                continue;
            };
            let key = self.context.endpoint_keys.key(&endpoint.name);
            let stays = is_defined(&old.services, endpoint);
            if let Some(upstream) = old.upstreams.get(key).filter(|_| stays)
                && let UpstreamKind::Direct(direct) = upstream.kind()
            {
                add(endpoint, direct.communicator().load_tls(&files).map(Some))?;
            }
            if let AuthenticatorOrigin::Socket(name, communicator) = &self.authenticator
                && *name == endpoint.name
                && stays
            {
                add(endpoint, communicator.load_tls(&files).map(Some))?;
            }
        }
        Ok(loaded)
    }

    /// The authenticator with the present key or secret, if JWTs log clients in.
    fn load_jwt(&self, new: &Properties) -> Result<Option<JwtAuthenticator>, GatewayError> {
        let is_jwt =
            |properties: &Properties| properties.auth == Auth::Jwt && properties.userid_check;
        let is_own = matches!(self.authenticator, AuthenticatorOrigin::Program);
        if !is_own && is_jwt(&self.context.properties) && is_jwt(new) {
            let jwt = JwtAuthenticator::from_properties(new)?;
            return Ok(Some(jwt.keep_fresh(new.auth_jwt_jwks_time)));
        }
        Ok(None)
    }

    /// Keeps replaced upstreams until the calls that they carry have ended.
    fn retire(&self, old: Vec<Arc<ActiveRoutes>>) {
        let mut replaced = self.replaced.lock();
        replaced.retain(|upstream| upstream.strong_count() > 0);
        let upstreams = old.iter().flat_map(|routes| routes.upstreams.iter());
        replaced.extend(upstreams.map(Arc::downgrade));
        tokio::spawn(keep_for_calls(Arc::clone(&self.context), old));
    }

    /// The upstreams of `old` whose endpoints are the same in `services`.
    fn unchanged_upstreams(&self, old: &ActiveRoutes, services: &Services) -> Upstreams {
        let is_unchanged = |name: &str| {
            let mut endpoints = old.services.endpoints.iter();
            let endpoint = endpoints.find(|endpoint| endpoint.name == name);
            endpoint.is_some_and(|endpoint| is_defined(services, endpoint))
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

    /// Stops accepting, sends the clients elsewhere within `drain_time`, lets calls in
    /// flight end within `shutdown_time`, and closes everything. Returns whether all calls
    /// have ended in time.
    pub async fn shutdown(&self) -> bool {
        if let Some(time) = drain_time(&self.context) {
            self.context.phase.send_replace(GatewayPhase::Draining);
            self.listeners
                .iter()
                .for_each(ClientListener::stop_accepting);
            drain(&self.context, time).await;
        }
        self.context.phase.send_replace(GatewayPhase::Stopping);
        let routes = self.threads.routes();
        let upstreams = routes.iter().flat_map(|routes| routes.upstreams.iter());
        upstreams.for_each(|upstream| upstream.stop_connecting());
        let (began, time) = (Instant::now(), self.context.properties.shutdown_time);
        let clients = self
            .listeners
            .iter()
            .map(|listener| listener.shutdown(time));
        let is_complete = join_all(clients).await.into_iter().all(|ended| ended);
        let communicators = self.upstream_communicators();
        let left = match self
            .threads
            .upstreams()
            .iter()
            .all(|upstream| upstream.is_up)
        {
            true => time.saturating_sub(began.elapsed()),
            // Messages for a broker or server that is away do not delay the end.
            false => Duration::ZERO,
        };
        let left = left.max(UPSTREAM_SHUTDOWN_TIME);
        let upstreams = communicators.iter();
        let upstreams = join_all(upstreams.map(|communicator| communicator.shutdown(left)));
        tokio::join!(upstreams, self.context.presence.end());
        self.context.registry.flush_histories().await;
        if let Some(tracer) = &self.context.tracer {
            tracer.flush().await;
        }
        self.context.phase.send_replace(GatewayPhase::Ended);
        // The handlers of the upstreams hold the context, which holds the
        // upstreams: empty routes break the cycle.
        for (thread, routes) in self.threads.iter().zip(routes) {
            let empty = ActiveRoutes::new(
                &routes.services,
                &routes.server,
                &self.context.endpoint_keys,
                Upstreams::default(),
                &thread.context.servants,
                &thread.context.rates,
            );
            thread.context.routes.store(Arc::new(empty));
        }
        is_complete
    }

    fn upstream_communicators(&self) -> Vec<Communicator> {
        let routes = self.threads.routes();
        let replaced = self.replaced.lock();
        let replaced: Vec<_> = replaced.iter().filter_map(Weak::upgrade).collect();
        let upstreams = routes.iter().flat_map(|routes| routes.upstreams.iter());
        let direct = upstreams
            .chain(&replaced)
            .filter_map(|upstream| match upstream.kind() {
                UpstreamKind::Direct(direct) => Some(direct.communicator().clone()),
                UpstreamKind::Queue(_) => None,
            });
        let mut communicators: Vec<_> = direct.collect();
        if let AuthenticatorOrigin::Socket(_, communicator) = &self.authenticator {
            communicators.push(communicator.clone());
        }
        let queues = self.queues.lock();
        communicators.extend(queues.iter().map(|queues| queues.communicator().clone()));
        communicators
    }

    /// Serves until SIGTERM or Ctrl-C, then [shuts down](Self::shutdown); a second
    /// signal ends the program at once ([`termination_signal`]). Reloads the file on
    /// SIGHUP, when an operator asks for it, and with the property `watch` when it has
    /// changed.
    ///
    /// # Errors
    /// The system does not deliver signals to the program.
    pub async fn wait_for_shutdown(&self) -> io::Result<bool> {
        self.serve_signals(signal(SignalKind::hangup())?).await
    }

    /// As [`Self::wait_for_shutdown`], with the SIGHUPs since before the start.
    pub(crate) async fn serve_signals(&self, mut hang_up: Signal) -> io::Result<bool> {
        let is_watched = self.context.properties.watch;
        let mut seen = self.loaded_versions.clone();
        let mut terminated = pin!(termination_signal());
        loop {
            // Ended by the signal too: a reload may wait for a broker.
            let reloading = async {
                let request = tokio::select! {
                    _ = hang_up.recv() => None,
                    () = changed(|| self.watched_files(), &mut seen), if is_watched => None,
                    request = self.reload_requests.next() => request,
                };
                self.reload_or_log(request).await;
            };
            tokio::select! {
                result = &mut terminated => {
                    result?;
                    break;
                }
                () = reloading => {}
            }
        }
        tracing::info!("shutting down; a second signal ends the gateway at once");
        Ok(self.shutdown().await)
    }

    async fn reload_or_log(&self, request: Option<ReloadRequest>) {
        let reloaded = self.reload().await;
        if let Err(error) = &reloaded {
            tracing::error!("can't reload, the old configuration stays in force: {error}");
        }
        if let Some(request) = request {
            request.answer(reloaded.as_ref().copied());
        }
    }

    /// With the property `watch`: the file, and those that a reload reads.
    fn watched_files(&self) -> Vec<PathBuf> {
        let Some((file, _)) = self.file.as_ref().filter(|_| self.context.properties.watch) else {
            return Vec::new();
        };
        let routes = self.context.routes.load();
        let (services, server) = (&routes.services, &routes.server);
        let mut files = vec![file.clone()];
        for id in server.listen.iter().chain(&server.upstreams) {
            let (_, tls) = services.endpoint(*id).kind.sockets().unwrap_or_default();
            let paths = tls.map(|tls| [&tls.certificate, &tls.key, &tls.authority]);
            files.extend(paths.into_iter().flatten().flatten().cloned());
        }
        files.extend(server.properties.auth_jwt_key.clone());
        if let Some(KeySetSource::File(file)) = &server.properties.auth_jwt_jwks {
            files.push(file.clone());
        }
        files
    }
}

/// Keeps the upstreams of replaced routes until the calls that they carry have
/// ended.
async fn keep_for_calls(context: Arc<SessionContext>, old: Vec<Arc<ActiveRoutes>>) {
    tokio::select! {
        () = sleep(context.properties.call_time) => {}
        () = context.reached(GatewayPhase::Ended) => {}
    }
    drop(old);
}

/// Whether a configuration has the same listeners, apart from their certificates.
fn listens_alike(services: &Services, server: &ServerConfig, old: &ActiveRoutes) -> bool {
    let new = server.listen.iter().map(|id| services.endpoint(*id));
    let ids = old.server.listen.iter();
    let old = ids.map(|id| old.services.endpoint(*id));
    new.len() == old.len() && new.zip(old).all(|(new, old)| new.is_same_place(old))
}

/// Whether a configuration has an endpoint, apart from its certificates.
fn is_defined(services: &Services, endpoint: &ServiceEndpoint) -> bool {
    let mut endpoints = services.endpoints.iter();
    endpoints.any(|other| other.name == endpoint.name && other.is_same_place(endpoint))
}

/// The properties that differ, except those that a reload puts in force.
fn changed_properties(new: &Properties, old: &Properties) -> Vec<&'static str> {
    let reloaded = |name: &str| name.starts_with("auth_jwt_") && old.auth == Auth::Jwt;
    let changed = PROPERTIES.iter().filter(|row| !(row.is_same)(new, old));
    let names = changed.map(|row| row.name);
    names.filter(|name| !reloaded(name)).collect()
}

fn tls_error(endpoint: &ServiceEndpoint, source: TlsError) -> GatewayError {
    GatewayError::Tls {
        endpoint: endpoint.name.clone(),
        source,
    }
}

/// Where the authenticator comes from.
pub(super) enum AuthenticatorOrigin {
    /// The program has added it.
    Program,
    /// The property `auth`, without a connection of its own.
    Property,
    /// `auth=interface`: a connection to this endpoint, a socket.
    Socket(String, Communicator),
}
