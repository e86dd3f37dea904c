//! A gateway, from its configuration to its end.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tce_runtime::{Communicator, MemoryBroker, RpcError, Servant, config::Endpoint as Address};

use crate::{
    admin,
    auth::{Authenticator, Guard},
    config::{Broker, Endpoint, EndpointKind, Override, Server, Services},
    core::{Core, Parts, Phase},
    drops::Drops,
    endpoint::{Backend, Direct},
    error::GatewayError,
    events::{LISTENER_INDEX, UserEvents},
    listen::{Listening, address, options},
    queues::Queues,
    slots::Slots,
    state::State,
    table::{Backends, Table},
    tend::tend,
    who,
};

/// A gateway that is not running yet: what a `services.xml` says, and what a
/// program adds to it.
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
    server: Arc<Server>,
    /// Where it was loaded from, to be loaded again.
    file: Option<(PathBuf, Vec<Override>)>,
    servants: Vec<Arc<dyn Servant>>,
    authenticator: Option<Guard>,
    events: UserEvents,
    memory: Option<MemoryBroker>,
}

impl Gateway {
    /// Loads a `services.xml`, for the server of that name; `overrides` go
    /// before what it says.
    ///
    /// # Errors
    /// Every mistake in the file; a server that it does not have.
    pub fn load(
        file: impl AsRef<Path>,
        name: &str,
        overrides: &[Override],
    ) -> Result<Self, GatewayError> {
        let file = file.as_ref();
        let loaded = Services::load(file, overrides)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let mut gateway = Self::new(Arc::new(loaded.services), name)?;
        gateway.file = Some((file.to_owned(), overrides.to_vec()));
        Ok(gateway)
    }

    /// The same, of a configuration that was loaded. It can't be loaded anew.
    ///
    /// # Errors
    /// Where there is no server of that name.
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

    /// Adds a servant: it answers calls to its interfaces, of clients and of
    /// servers, instead of passing them on.
    #[must_use]
    pub fn servant(mut self, servant: impl Servant) -> Self {
        self.servants.push(Arc::new(servant));
        self
    }

    /// Has `authenticator` decide who a client is, instead of what the property
    /// `auth` names. Each connection has to log in then.
    #[must_use]
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        let time = self.server.properties.auth_time;
        self.authenticator = Some(Guard::new(authenticator, time));
        self
    }

    /// Tells `listener` of users who come and go: the user's id, and whether it
    /// came. It runs between two messages: what takes long belongs into a task
    /// of its own.
    #[must_use]
    pub fn on_user(mut self, listener: impl Fn(&str, bool) + Send + Sync + 'static) -> Self {
        self.events.listen(listener);
        self
    }

    /// Puts all message queues at a broker within this process.
    #[must_use]
    pub fn in_memory(mut self, broker: &MemoryBroker) -> Self {
        self.memory = Some(broker.clone());
        self
    }

    /// Opens the queues, reaches for the servers, and serves clients. A broker
    /// that is away is waited for.
    ///
    /// # Errors
    /// An address that is taken, a certificate or key that can't be read.
    pub async fn start(self) -> Result<Running, GatewayError> {
        let recorder = match &self.server.properties.admin {
            Some(_) => admin::install_recorder().ok(),
            None => None,
        };
        let admin = match &self.server.properties.admin {
            Some(at) => Some(admin::Server::bind(&at.to_string().parse()?, recorder).await?),
            None => None,
        };
        let queues = Queues::of(&self.services, &self.server, &[]);
        queues.open_in_time(self.memory.as_ref()).await;
        let core = self.core(&queues).await?;
        let mut listening = Vec::new();
        for id in &self.server.listen {
            listening.push(Listening::bind(&core, self.services.endpoint(*id)).await?);
        }
        let running = Running {
            listening: Arc::new(listening),
            backs: Mutex::default(),
            queues: Mutex::new(vec![queues.clone()]),
            loading: tokio::sync::Mutex::default(),
            file: self.file,
            memory: self.memory,
            core,
        };
        running
            .take_over(&self.services, &self.server, &queues, Backends::new())
            .await?;
        running.serve(admin);
        Ok(running)
    }

    /// The core, with nowhere to pass calls on to yet.
    async fn core(&self, queues: &Queues) -> Result<Arc<Core>, GatewayError> {
        let (server, slots, drops) = (&self.server, Slots::default(), Drops::default());
        let mut events = self.events.clone();
        if let Some(id) = server.properties.user_events {
            let endpoint = format!("mq:{}", self.services.endpoint(id).name);
            let connection = queues.communicator().connect(&endpoint).await?;
            let ifidx = who::index(&self.services, "gateway.IUserEventListener", LISTENER_INDEX);
            events.send(&connection, ifidx, &server.name, &drops);
        }
        let authenticator = match &self.authenticator {
            Some(guard) => Some(guard.clone()),
            None => who::guard(&self.services, server, queues).await?,
        };
        Ok(Core::new(Parts {
            name: server.name.clone(),
            properties: server.properties.clone(),
            table: Table::new(&self.services, server, Backends::new(), &slots),
            slots,
            authenticator,
            events,
            servants: self.servants.clone(),
            drops,
        }))
    }
}

/// A gateway that runs. Dropped, it still does: [`Running::shutdown`] ends it.
pub struct Running {
    core: Arc<Core>,
    listening: Arc<Vec<Listening>>,
    /// The connections to direct backends, by whom they are made.
    backs: Mutex<Vec<Communicator>>,
    queues: Mutex<Vec<Queues>>,
    /// Held while the configuration is loaded anew.
    loading: tokio::sync::Mutex<()>,
    file: Option<(PathBuf, Vec<Override>)>,
    memory: Option<MemoryBroker>,
}

impl Running {
    /// Where clients connect to, with the ports that are really used.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listening.iter().flat_map(Listening::addresses)
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.core.connections()
    }

    /// What the admin page shows.
    #[must_use]
    pub fn source(&self) -> impl admin::Source + use<> {
        State {
            core: Arc::clone(&self.core),
            listening: Arc::clone(&self.listening),
        }
    }

    fn serve(&self, admin: Option<admin::Server>) {
        tokio::spawn(tend(Arc::clone(&self.core)));
        if let Some(admin) = admin {
            let (source, core) = (self.source(), Arc::clone(&self.core));
            tokio::spawn(async move {
                admin.serve(source, core.reached(Phase::Ended)).await;
            });
        }
        for listening in self.listening.iter() {
            listening.start();
        }
        self.core.phase.send_replace(Phase::Serving);
    }

    /// Has calls take the ways of another configuration. Backends that are the
    /// same in both stay as they are.
    async fn take_over(
        &self,
        services: &Arc<Services>,
        server: &Arc<Server>,
        opened: &Queues,
        kept: Backends,
    ) -> Result<(), GatewayError> {
        let core = &self.core;
        let mut backends = kept;
        backends.append(&mut opened.backends(core).await?);
        for id in &server.backends {
            let endpoint = services.endpoint(*id);
            if !backends.contains_key(&endpoint.name) {
                let direct = Backend::Direct(self.connect(endpoint));
                backends.insert(endpoint.name.clone(), Arc::new(direct));
            }
        }
        let table = Table::new(services, server, backends, &core.slots);
        core.table.store(Arc::new(table));
        // Read from only now that what comes finds its way.
        opened.read(core).await?;
        Ok(())
    }

    fn connect(&self, endpoint: &Endpoint) -> Direct {
        let (hosts, tls) = match &endpoint.kind {
            EndpointKind::Socket { hosts, tls, .. }
            | EndpointKind::WebSocket { hosts, tls, .. } => (hosts.as_slice(), tls.clone()),
            EndpointKind::Mq(_) => (&[][..], None),
        };
        let communicator = Communicator::with_options(options(&self.core.properties, tls));
        let hosts = hosts.iter().map(|host| address(endpoint, host).to_string());
        let direct = Direct::connect(&self.core, &communicator, &endpoint.name, hosts);
        let mut backs = self.backs.lock().unwrap_or_else(PoisonError::into_inner);
        backs.push(communicator);
        direct
    }

    /// Loads the file anew: routes, variables, and the queues and servers that
    /// calls are passed on to. Connections stay. What clients connect to, and
    /// the properties, stay as they were until the process is started again.
    ///
    /// # Errors
    /// Every mistake in the file, a broker that can't be reached: then nothing
    /// changes.
    pub async fn reload(&self) -> Result<(), GatewayError> {
        let _one_at_a_time = self.loading.lock().await;
        let (file, overrides) = self.file.as_ref().ok_or(GatewayError::NoFile)?;
        let services = Arc::new(Services::load(file, overrides)?.services);
        let server = Arc::new(services.server(&self.core.name)?.clone());
        let table = self.core.table.load_full();
        if listens(&services, &server) != listens(&table.services, &table.server) {
            return Err(GatewayError::OtherListeners);
        }
        if server.properties != table.server.properties {
            tracing::warn!("changed properties hold from the next start on");
        }
        let open = self
            .queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let opened = Queues::of(&services, &server, &open);
        opened.open(self.memory.as_ref()).await?;
        let kept = kept(&table, &services);
        self.take_over(&services, &server, &opened, kept).await?;
        self.queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(opened);
        tracing::info!(file = %file.display(), "loaded anew");
        Ok(())
    }

    /// Accepts nobody any more, lets the calls in flight end for as long as
    /// `shutdown_time`, and closes everything. Returns whether all calls ended
    /// by themselves.
    pub async fn shutdown(&self) -> bool {
        self.core.phase.send_replace(Phase::Stopping);
        let time = self.core.properties.shutdown_time;
        let fronts = self.listening.iter().map(|front| front.shutdown(time));
        let ended = futures_util::future::join_all(fronts).await;
        let backs = std::mem::take(&mut *self.backs.lock().unwrap_or_else(PoisonError::into_inner));
        let queues = self
            .queues
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let queues = queues.iter().map(|queues| queues.communicator().clone());
        let backs: Vec<_> = backs.into_iter().chain(queues).collect();
        let backs = backs.iter().map(|back| back.shutdown(BACK_TIME));
        futures_util::future::join_all(backs).await;
        self.core.phase.send_replace(Phase::Ended);
        ended.into_iter().all(|ended| ended)
    }

    /// Serves until SIGTERM or Ctrl-C, then [shuts down](Running::shutdown). On
    /// SIGHUP, and with the property `watch` when the file has changed, it is
    /// loaded anew.
    ///
    /// # Errors
    /// Where the system does not let a program hear of signals.
    pub async fn wait_for_shutdown(&self) -> std::io::Result<bool> {
        crate::signals::until_told(self).await?;
        Ok(self.shutdown().await)
    }

    pub(crate) fn watched_file(&self) -> Option<&Path> {
        let (file, _) = self.file.as_ref()?;
        self.core.properties.watch.then_some(file)
    }
}

/// How long what leaves for brokers and servers may take at the end, when no
/// client waits any more.
const BACK_TIME: std::time::Duration = std::time::Duration::from_secs(2);

fn listens<'a>(services: &'a Services, server: &Server) -> Vec<&'a Endpoint> {
    let ids = server.listen.iter();
    ids.map(|id| services.endpoint(*id)).collect()
}

/// The backends of `table` whose endpoints are the same in `services`.
fn kept(table: &Table, services: &Services) -> Backends {
    let is_same = |name: &str| {
        let old = table.services.endpoints.iter().find(|old| old.name == name);
        old.is_some_and(|old| services.endpoints.contains(old))
    };
    let backends = table.backends.iter().filter(|(name, _)| is_same(name));
    backends
        .map(|(name, backend)| (name.clone(), Arc::clone(backend)))
        .collect()
}

impl From<RpcError> for GatewayError {
    fn from(error: RpcError) -> Self {
        Self::Rpc(error)
    }
}
