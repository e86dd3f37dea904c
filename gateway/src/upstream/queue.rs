//! The message queues of a gateway.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tce_runtime::{
    Adapter, Communicator, MemoryBroker, MessageHandler, RpcError,
    config::{MqConfig, MqEndpoint},
};

use crate::{
    config::{EndpointId, EndpointKind, Server, Services},
    session::Clients,
    session::deliver::Arrivals,
    table::Backends,
    upstream::{Backend, Kind, Queue},
};

/// The pauses between attempts to reach a broker at the start.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Message queues that were opened together.
#[derive(Clone)]
pub(crate) struct Queues {
    communicator: Communicator,
    endpoints: Vec<MqEndpoint>,
}

impl Queues {
    /// Those that `server` reads and writes, without those that are open
    /// already.
    pub(crate) fn of(services: &Services, server: &Server, open: &[Self]) -> Self {
        let (reads, writes) = (
            by_name(services, &server.reads),
            by_name(services, &server.writes),
        );
        let is_open = |endpoint: &MqEndpoint| open.iter().any(|queues| queues.covers(endpoint));
        let endpoints = services.endpoints.iter().filter_map(|endpoint| {
            let EndpointKind::Mq(mq) = &endpoint.kind else {
                return None;
            };
            let endpoint = MqEndpoint {
                reads: reads.contains(endpoint.name.as_str()),
                writes: writes.contains(endpoint.name.as_str()),
                ..mq.clone()
            };
            ((endpoint.reads || endpoint.writes) && !is_open(&endpoint)).then_some(endpoint)
        });
        Self {
            endpoints: endpoints.collect(),
            communicator: Communicator::with_options(server.properties.upstream_options(None)),
        }
    }

    /// Whether an endpoint is open here for all that it is used for.
    fn covers(&self, endpoint: &MqEndpoint) -> bool {
        self.endpoints.iter().any(|open| {
            let used_alike = MqEndpoint {
                reads: endpoint.reads,
                writes: endpoint.writes,
                ..open.clone()
            };
            used_alike == *endpoint
                && (open.reads || !endpoint.reads)
                && (open.writes || !endpoint.writes)
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    pub(crate) fn communicator(&self) -> &Communicator {
        &self.communicator
    }

    /// Opens them.
    pub(crate) async fn open(&self, memory: Option<&MemoryBroker>) -> Result<(), RpcError> {
        if self.is_empty() {
            return Ok(());
        }
        let config = MqConfig {
            endpoints: self.endpoints.clone(),
            pairs: Vec::new(),
            warnings: Vec::new(),
        };
        match memory {
            Some(broker) => self.communicator.open_mq_in_memory(config, broker).await,
            None => self.communicator.open_mq(config).await,
        }
    }

    /// The same, however long the broker is away.
    pub(crate) async fn open_in_time(&self, memory: Option<&MemoryBroker>) {
        let mut pause = PAUSE_MIN;
        while let Err(error) = self.open(memory).await {
            tracing::warn!("waits for the message queues: {error}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Those that are written, to pass calls on to.
    pub(crate) async fn backends(&self) -> Result<Backends, RpcError> {
        let mut backends = Backends::new();
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.writes) {
            let name = &endpoint.name;
            let queue = Queue {
                name: name.clone(),
                address: format!("amqp://{}:{}", endpoint.host, endpoint.port),
                connection: self.communicator.connect(&format!("mq:{name}")).await?,
            };
            backends.insert(name.clone(), Backend::new(Kind::Queue(queue)));
        }
        Ok(backends)
    }

    /// Begins to read those that are read.
    pub(crate) async fn read(&self, clients: &Arc<Clients>) -> Result<(), RpcError> {
        let core = &clients.core;
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.reads) {
            let name = &endpoint.name;
            let relay: Arc<dyn MessageHandler> =
                Arc::new(Arrivals::new(clients, core.slots.of(name), None));
            let adapter = Adapter::listen(&self.communicator, &format!("mq:{name}")).await?;
            for servant in &core.servants {
                adapter.add_servant(Arc::clone(servant));
            }
            adapter.handle_queues(&relay).start();
        }
        Ok(())
    }
}

fn by_name<'a>(services: &'a Services, ids: &[EndpointId]) -> BTreeSet<&'a str> {
    ids.iter()
        .map(|id| services.endpoint(*id).name.as_str())
        .collect()
}
