//! A gateway while it runs: it is loaded anew, looked at, and ended.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tce_runtime::{Communicator, MemoryBroker, MessageHandler, config::Endpoint as Address};

use crate::{
    admin,
    config::{Endpoint, Override, Server, Services},
    lifecycle::error::GatewayError,
    lifecycle::live::State,
    listener::Listening,
    phase::{Phase, reached},
    session::Clients,
    session::context::Core,
    session::deliver::Arrivals,
    table::{Backends, Table},
    tend::tend,
    upstream::queue::Queues,
    upstream::{Backend, Direct, Kind, Making},
};

/// A gateway that runs. Dropped, it still does: [`Running::shutdown`] ends it.
pub struct Running {
    pub(crate) clients: Arc<Clients>,
    pub(crate) listening: Arc<Vec<Listening>>,
    /// The connections to direct backends, by whom they are made.
    pub(crate) backs: Mutex<Vec<Communicator>>,
    pub(crate) queues: Mutex<Vec<Queues>>,
    /// Held while the configuration is loaded anew.
    pub(crate) loading: tokio::sync::Mutex<()>,
    pub(crate) file: Option<(PathBuf, Vec<Override>)>,
    pub(crate) memory: Option<MemoryBroker>,
}

impl Running {
    /// Where clients connect to, with the ports that are really used.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listening.iter().flat_map(Listening::addresses)
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.clients.connections()
    }

    /// What the admin page shows.
    #[must_use]
    pub fn source(&self) -> impl admin::Source + use<> {
        State {
            clients: Arc::clone(&self.clients),
            listening: Arc::clone(&self.listening),
        }
    }

    /// Begins to serve clients.
    pub(crate) fn serve(&self, admin: Option<admin::Server>) {
        tokio::spawn(tend(Arc::clone(&self.clients)));
        if let Some(admin) = admin {
            let (source, phase) = (self.source(), self.clients.core.progress());
            tokio::spawn(async move {
                admin.serve(source, reached(phase, Phase::Ended)).await;
            });
        }
        for listening in self.listening.iter() {
            listening.start();
        }
        self.clients.core.phase.send_replace(Phase::Serving);
    }

    /// Has calls take the ways of another configuration. Backends that are the
    /// same in both stay as they are.
    pub(crate) async fn take_over(
        &self,
        services: &Arc<Services>,
        server: &Arc<Server>,
        opened: &Queues,
        kept: Backends,
    ) -> Result<(), GatewayError> {
        let core = &self.clients.core;
        let mut backends = kept;
        backends.append(&mut opened.backends().await?);
        for id in &server.upstreams {
            let endpoint = services.endpoint(*id);
            if !backends.contains_key(&endpoint.name) {
                let direct = Kind::Direct(self.connect(endpoint));
                backends.insert(endpoint.name.clone(), Backend::new(direct));
            }
        }
        let table = Table::new(services, server, backends, &core.slots);
        core.table.store(Arc::new(table));
        // Read from only now that what comes finds its way.
        opened.read(&self.clients).await?;
        Ok(())
    }

    fn connect(&self, endpoint: &Endpoint) -> Direct {
        let (hosts, tls) = endpoint.kind.sockets().unwrap_or_default();
        let communicator =
            Communicator::with_options(self.clients.core.properties.upstream_options(tls));
        let hosts = hosts.iter().map(|host| endpoint.address(host).to_string());
        let core = &self.clients.core;
        let slot = core.slots.of(&endpoint.name);
        let relay = |via| -> Arc<dyn MessageHandler> {
            Arc::new(Arrivals::new(&self.clients, slot, Some(via)))
        };
        let making = Making {
            communicator: &communicator,
            servants: &core.servants,
            relay: &relay,
            phase: core.progress(),
        };
        let direct = Direct::connect(&endpoint.name, hosts, &making);
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
        let server = Arc::new(services.server(&self.clients.core.name)?.clone());
        let table = self.clients.core.table.load_full();
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
        tokio::spawn(outlive(Arc::clone(&self.clients.core), table));
        tracing::info!(file = %file.display(), "loaded anew");
        Ok(())
    }

    /// Accepts nobody any more, lets the calls in flight end for as long as
    /// `shutdown_time`, and closes everything. Returns whether all calls ended
    /// by themselves.
    pub async fn shutdown(&self) -> bool {
        self.clients.core.phase.send_replace(Phase::Stopping);
        let time = self.clients.core.properties.shutdown_time;
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
        self.clients.core.phase.send_replace(Phase::Ended);
        // The table and the connections in it hold the core, and it them.
        let table = self.clients.core.table.load();
        let end = Table::new(
            &table.services,
            &table.server,
            Backends::new(),
            &self.clients.core.slots,
        );
        self.clients.core.table.store(Arc::new(end));
        ended.into_iter().all(|ended| ended)
    }

    pub(crate) fn watched_file(&self) -> Option<&Path> {
        let (file, _) = self.file.as_ref()?;
        self.clients.core.properties.watch.then_some(file)
    }
}

/// How long what leaves for brokers and servers may take at the end, when no
/// client waits any more.
const BACK_TIME: Duration = Duration::from_secs(2);

/// Keeps what calls under way have left by, though it is not used any more.
async fn outlive(core: Arc<Core>, table: Arc<Table>) {
    tokio::select! {
        () = tokio::time::sleep(core.properties.call_time) => {}
        () = reached(core.progress(), Phase::Ended) => {}
    }
    drop(table);
}

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
