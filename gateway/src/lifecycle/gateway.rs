//! A gateway, from its configuration to its end.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tce_runtime::{MemoryBroker, Servant};

use crate::{
    admin,
    auth::{AuthGuard, Authenticator, LISTENER_INDEX, UserEvents},
    config::{Broker, Override, Server, Services},
    lifecycle::error::GatewayError,
    lifecycle::running::Running,
    listener::Listening,
    metrics::DropCounters,
    session::Clients,
    session::context::{Core, Parts},
    slots::Slots,
    table::{Backends, Table},
    upstream::queue::Queues,
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
    authenticator: Option<AuthGuard>,
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
        self.authenticator = Some(AuthGuard::new(authenticator, time));
        self
    }

    /// Tells `listener` of users who come and go: the user's id, and whether it
    /// came. It runs between two messages: what takes long belongs into a task
    /// of its own.
    #[must_use]
    pub fn on_user(mut self, listener: impl Fn(&str, bool) + Send + Sync + 'static) -> Self {
        self.events.add_listener(listener);
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
            Some(at) => Some(admin::Server::bind(at, recorder).await?),
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

    /// All that there is to do before clients are served.
    async fn open(self) -> Result<Running, GatewayError> {
        let queues = Queues::of(&self.services, &self.server, &[]);
        queues.open_in_time(self.memory.as_ref()).await;
        let clients = Clients::new(&self.core(&queues).await?);
        let mut listening = Vec::new();
        for id in &self.server.listen {
            listening.push(Listening::bind(&clients, self.services.endpoint(*id)).await?);
        }
        let running = Running {
            listening: Arc::new(listening),
            backs: Mutex::default(),
            queues: Mutex::new(vec![queues.clone()]),
            loading: tokio::sync::Mutex::default(),
            file: self.file,
            memory: self.memory,
            clients,
        };
        running
            .take_over(&self.services, &self.server, &queues, Backends::new())
            .await?;
        Ok(running)
    }

    /// The core, with nowhere to pass calls on to yet.
    async fn core(&self, queues: &Queues) -> Result<Arc<Core>, GatewayError> {
        let (server, slots, drops) = (&self.server, Slots::default(), DropCounters::default());
        let mut events = self.events.clone();
        if let Some(id) = server.properties.user_events {
            let endpoint = format!("mq:{}", self.services.endpoint(id).name);
            let connection = queues.communicator().connect(&endpoint).await?;
            let ifidx = who::index(&self.services, "gateway.IUserEventListener", LISTENER_INDEX);
            events.send_to(&connection, ifidx, &server.name, &drops);
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
