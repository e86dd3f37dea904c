//! A gateway from its configuration to the first client.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use backon::{ConstantBuilder, Retryable};
use tce_otlp::{OtlpConfig, OtlpExporter};
use tce_runtime::{
    Communicator, Connection, MemoryBroker, Servant, WorkerPool, config::MemoryBudget,
};

use super::{
    error::GatewayError,
    running::{AuthenticatorOrigin, RunningGateway},
    threads::GatewayThreads,
};
use crate::{
    admin,
    auth::{
        AUTHENTICATOR_INDEX, AuthGuard, Authenticator, InterfaceAuthenticator, JwtAuthenticator,
        LISTENER_INDEX, TokenIsUser, UserEvents,
    },
    config::{Auth, Broker, Override, ServerConfig, Services},
    control::GatewayControl,
    listener::ClientListener,
    metrics::{ReasonCounters, install_recorder},
    presence::Presence,
    session::SessionContext,
    spans::Tracer,
    upstream::{QueueUpstreams, Upstreams},
};

/// What the gateway's spans are of, unless OTEL_SERVICE_NAME says otherwise.
const SERVICE_NAME: &str = "tce-gateway";

/// The pause between attempts to connect to the authenticator's server.
const AUTHENTICATOR_PAUSE: Duration = Duration::from_secs(1);

/// A gateway that is not running yet: the configuration of a `services.xml`, and
/// what a program adds to it.
///
/// ```no_run
/// use tce_gateway::{Gateway, auth::{Login, Refusal}};
///
/// # async fn run(servant: impl tce_runtime::Servant) -> Result<(), Box<dyn std::error::Error>> {
/// let gateway = Gateway::load("services.xml", "gwserver", &[])?
///     .servant(servant)
///     .authenticator(|login: Login| async move { Ok::<_, Refusal>(login.token) })
///     .start()
///     .await?;
/// gateway.wait_for_shutdown().await?;
/// # Ok(())
/// # }
/// ```
pub struct Gateway {
    services: Arc<Services>,
    server: Arc<ServerConfig>,
    /// The file to reload, with its overrides.
    file: Option<(PathBuf, Vec<Override>)>,
    servants: Vec<Arc<dyn Servant>>,
    authenticator: Option<AuthGuard>,
    events: UserEvents,
    memory: Option<MemoryBroker>,
}

impl Gateway {
    /// Loads a `services.xml` for the server of the given name. `overrides` take
    /// precedence over the file.
    ///
    /// # Errors
    /// Every mistake in the file, or a server that it does not define.
    pub fn load(
        file: impl AsRef<Path>,
        name: &str,
        overrides: &[Override],
    ) -> Result<Self, GatewayError> {
        let file = file.as_ref();
        let loaded = Services::load(file, overrides)?;
        for warning in loaded.warnings_of(&[name]) {
            tracing::warn!("{warning}");
        }
        Self::of_file(Arc::new(loaded.services), name, file, overrides)
    }

    /// Takes a configuration that was loaded from `file`, from where it can be
    /// reloaded.
    pub(crate) fn of_file(
        services: Arc<Services>,
        name: &str,
        file: &Path,
        overrides: &[Override],
    ) -> Result<Self, GatewayError> {
        let mut gateway = Self::new(services, name)?;
        gateway.file = Some((file.to_owned(), overrides.to_vec()));
        Ok(gateway)
    }

    /// Takes a configuration that is already loaded. It can't be reloaded.
    ///
    /// # Errors
    /// The configuration does not define the server.
    pub fn new(services: Arc<Services>, name: &str) -> Result<Self, GatewayError> {
        let server = Arc::new(services.server(name)?.clone());
        let memory = (server.properties.mq == Broker::Memory).then(MemoryBroker::default);
        Ok(Self {
            services,
            server,
            file: None,
            servants: Vec::new(),
            authenticator: None,
            events: UserEvents::default(),
            memory,
        })
    }

    /// Adds a servant. It answers the calls of clients and servers to its
    /// interfaces, which are not forwarded.
    #[must_use]
    pub fn servant(mut self, servant: impl Servant) -> Self {
        self.servants.push(Arc::new(servant));
        self
    }

    /// Sets the authenticator, instead of the property `auth`. Each connection
    /// must log in then.
    #[must_use]
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        let time = self.server.properties.auth_time;
        self.authenticator = Some(AuthGuard::new(authenticator, time));
        self
    }

    /// Calls `listener` when a user logs in (`true`) or disconnects (`false`),
    /// with the user id, in the order of the events. It must not block: the thread of
    /// the connection handles no message meanwhile.
    #[must_use]
    pub fn on_user(mut self, listener: impl Fn(&str, bool) + Send + Sync + 'static) -> Self {
        self.events.add_listener(listener);
        self
    }

    /// Uses a broker within this process for all message queues.
    #[must_use]
    pub fn in_memory(mut self, broker: &MemoryBroker) -> Self {
        self.memory = Some(broker.clone());
        self
    }

    /// Opens the queues, starts to connect to the servers, and accepts clients.
    /// Waits until the broker can be reached.
    ///
    /// # Errors
    /// An address is in use, or a certificate or key can't be read.
    pub async fn start(self) -> Result<RunningGateway, GatewayError> {
        let admin = match &self.server.properties.admin {
            Some(at) => {
                let properties = &self.server.properties;
                let admin = admin::AdminServer::bind(at, install_recorder().ok()).await?;
                let token = properties.admin_token.as_ref().map(|token| token.0.clone());
                let hosts = properties.admin_hosts.0.iter().cloned();
                Some(admin.with_hosts(hosts).with_token(token))
            }
            None => None,
        };
        let name = self.server.name.clone();
        let running = match &admin {
            Some(admin) => admin.while_starting(&name, self.open()).await?,
            None => self.open().await?,
        };
        running.serve(admin);
        Ok(running)
    }

    /// Everything that must be ready before clients are accepted.
    async fn open(self) -> Result<RunningGateway, GatewayError> {
        let queues = QueueUpstreams::new(&self.services, &self.server, &[], &[]);
        queues.open_with_retry(self.memory.as_ref()).await?;
        let pool = self.worker_pool()?;
        let count = pool.as_ref().map_or(1, |pool| pool.runtimes().len());
        let (context, authenticator, control) = self.context(&queues, count).await?;
        let threads = GatewayThreads::new(context, pool);
        let contexts = threads.contexts();
        let mut listeners = Vec::new();
        for id in &self.server.listen {
            let endpoint = self.services.endpoint(*id);
            listeners.push(ClientListener::bind(&contexts, threads.pool(), endpoint).await?);
        }
        let running = RunningGateway::new(
            threads,
            listeners,
            self.file,
            self.memory,
            authenticator,
            control,
        );
        let upstreams = contexts.iter().map(|_| Upstreams::default()).collect();
        // Before the queues are read, whose pushes the histories of an earlier run keep.
        running.start_histories().await;
        running
            .activate(&self.services, &self.server, queues, upstreams)
            .await?;
        Ok(running)
    }

    /// The threads that serve connections; `None` for the runtime that accepts them.
    fn worker_pool(&self) -> io::Result<Option<WorkerPool>> {
        let properties = &self.server.properties;
        let threads = properties.threads.count();
        if threads == 1 {
            return Ok(None);
        }
        let pool = WorkerPool::start(threads)?;
        if let Some(longest) = properties.busy_poll_time.0 {
            pool.busy_poll(longest);
        }
        Ok(Some(pool))
    }

    async fn context(
        &self,
        queues: &QueueUpstreams,
        threads: usize,
    ) -> Result<(SessionContext, AuthenticatorOrigin, GatewayControl), GatewayError> {
        let (services, server) = (&self.services, &self.server);
        let dropped = ReasonCounters::default();
        let mut events = self.events.clone();
        if let Some(target) = &server.properties.user_events {
            let endpoint = format!("mq:{}", services.endpoint(target.endpoint).name);
            let connection = queues.communicator().connect(&endpoint).await?;
            let name = target.interface.as_deref();
            let name = name.unwrap_or("gateway.IUserEventListener");
            let ifidx = interface_index(services, name, LISTENER_INDEX);
            events.send_to(&connection, ifidx, &server.name, &dropped);
        }
        let (authenticator, origin) = match &self.authenticator {
            Some(authenticator) => (Some(authenticator.clone()), AuthenticatorOrigin::Program),
            None => authenticator(services, server, queues).await?,
        };
        let authenticator = authenticator.map(|guard| guard.of_gateway(&server.name));
        let servants = self.servants.clone();
        let mut context = SessionContext::new(
            services,
            server,
            authenticator,
            events,
            servants,
            dropped,
            threads,
        );
        context.presence = Presence::new(&server.properties, &server.name)?;
        let collector = server.properties.otlp_endpoint.as_ref();
        let collector = collector.map(|url| url.0.as_str());
        if let Some(config) = OtlpConfig::from_env_or(collector, SERVICE_NAME)? {
            let exporter = OtlpExporter::start(config);
            context.tracer = Some(Tracer::new(exporter, &context.name));
        }
        let control = GatewayControl::new(&context);
        context.server_servants.extend(control.servant(services));
        Ok((context, origin, control))
    }
}

/// The index of an interface between gateways and servers.
fn interface_index(services: &Services, name: &str, default: u16) -> u16 {
    let mut interfaces = services.interfaces.iter();
    interfaces
        .find(|interface| interface.name == name)
        .map_or(default, |interface| interface.ifidx)
}

/// The authenticator of the property `auth`; `None` without `userid_check`.
async fn authenticator(
    services: &Services,
    server: &ServerConfig,
    queues: &QueueUpstreams,
) -> Result<(Option<AuthGuard>, AuthenticatorOrigin), GatewayError> {
    let properties = &server.properties;
    let mut origin = AuthenticatorOrigin::Property;
    if !properties.userid_check {
        return Ok((None, origin));
    }
    let time = properties.auth_time;
    let guard = match properties.auth {
        Auth::None => return Err(GatewayError::NoAuthenticator),
        Auth::Token => AuthGuard::new(TokenIsUser, time),
        Auth::Jwt => {
            let jwt = JwtAuthenticator::from_properties(properties)?;
            AuthGuard::new(jwt.keep_fresh(properties.auth_jwt_jwks_time), time)
        }
        Auth::Interface => {
            let ifidx = interface_index(services, "gateway.IAuthenticator", AUTHENTICATOR_INDEX);
            let connection;
            (connection, origin) = connect_authenticator(services, server, queues).await?;
            AuthGuard::new(InterfaceAuthenticator::new(&connection, ifidx, time), time)
        }
    };
    Ok((Some(guard), origin))
}

/// Connects to the authenticator's server, and retries until it can be reached.
async fn connect_authenticator(
    services: &Services,
    server: &ServerConfig,
    queues: &QueueUpstreams,
) -> Result<(Connection, AuthenticatorOrigin), GatewayError> {
    let Some(id) = server.properties.auth_endpoint else {
        return Err(GatewayError::NoAuthEndpoint);
    };
    let endpoint = services.endpoint(id);
    let (communicator, address, origin) = match endpoint.kind.sockets() {
        None => (
            queues.communicator().clone(),
            format!("mq:{}", endpoint.name),
            AuthenticatorOrigin::Property,
        ),
        Some((hosts, tls)) => {
            let host = hosts.first();
            let address = host.map(|host| endpoint.address(host).to_string());
            let properties = &server.properties;
            let options = properties.upstream_options(tls, &MemoryBudget::default());
            let communicator = Communicator::with_options(options);
            let name = endpoint.name.clone();
            (
                communicator.clone(),
                address.unwrap_or_default(),
                AuthenticatorOrigin::Socket(name, communicator),
            )
        }
    };
    let backoff = ConstantBuilder::default()
        .with_delay(AUTHENTICATOR_PAUSE)
        .without_max_times();
    let connecting = (|| communicator.connect(&address))
        .retry(backoff)
        .notify(|error, _| tracing::warn!("can't connect to the authenticator, retrying: {error}"));
    Ok((connecting.await?, origin))
}
