//! Servers behind message queues.

use std::{collections::BTreeSet, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use tce_runtime::{
    Communicator, Connection, MemoryBroker, RpcError,
    config::{MemoryBudget, MqConfig, MqEndpoint, NodeType, Options, host::join_host_port},
};

use crate::config::{EndpointId, EndpointKind, ServerConfig, Services};

/// The pauses between attempts to open the queues at the start.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A queue or topic that calls are forwarded to.
pub(crate) struct QueueUpstream {
    /// The address of the broker, for example `amqp://host:port`.
    pub(crate) broker: String,
    pub(crate) connection: Connection,
}

/// Message queues that are opened together.
#[derive(Clone)]
pub(crate) struct QueueUpstreams {
    communicator: Communicator,
    endpoints: Vec<MqEndpoint>,
}

impl QueueUpstreams {
    /// The queues that `server` reads and writes, except those that are `open` and
    /// `read` already.
    pub(crate) fn new(
        services: &Services,
        server: &ServerConfig,
        open: &[Self],
        read: &[MqEndpoint],
    ) -> Self {
        let is_read = |endpoint: &MqEndpoint| read.iter().any(|it| is_read_alike(it, endpoint));
        let is_open = |endpoint: &MqEndpoint| open.iter().any(|queues| queues.covers(endpoint));
        let endpoints = queue_endpoints(services, server).filter_map(|mut endpoint| {
            if endpoint.exclusive && is_read(&endpoint) {
                // The broker would refuse a second reader, also of this process.
                endpoint.reads = false;
            }
            let is_needed = endpoint.reads && !is_read(&endpoint)
                || (endpoint.reads || endpoint.writes) && !is_open(&endpoint);
            is_needed.then_some(endpoint)
        });
        let options = Options {
            // The gateway's thread polls for all its connections.
            busy_poll_time: None,
            ..server
                .properties
                .upstream_options(None, &MemoryBudget::default())
        };
        Self {
            endpoints: endpoints.collect(),
            communicator: Communicator::with_options(options),
        }
    }

    /// Whether an endpoint is open, for all that it is needed for.
    fn covers(&self, endpoint: &MqEndpoint) -> bool {
        self.endpoints.iter().any(|open| {
            is_alike(open, endpoint)
                && (open.reads || !endpoint.reads)
                && (open.writes || !endpoint.writes)
        })
    }

    /// Whether no queue was opened: all were open already.
    pub(crate) fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// The names of the queues, for messages.
    pub(crate) fn names(&self) -> String {
        let names = self.endpoints.iter().map(|endpoint| endpoint.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn communicator(&self) -> &Communicator {
        &self.communicator
    }

    /// Opens the queues.
    pub(crate) async fn open(&self, memory: Option<&MemoryBroker>) -> Result<(), RpcError> {
        if self.endpoints.is_empty() {
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

    /// Opens the queues, and retries until the broker can be reached.
    pub(crate) async fn open_with_retry(
        &self,
        memory: Option<&MemoryBroker>,
    ) -> Result<(), RpcError> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(BACKOFF_MIN)
            .with_max_delay(BACKOFF_MAX)
            .with_jitter()
            .without_max_times();
        (|| self.open(memory))
            .retry(backoff)
            .notify(|error, _| tracing::warn!("can't open the message queues, retrying: {error:?}"))
            .await
    }

    /// The queues that calls are forwarded to, by name.
    pub(crate) async fn connect(&self) -> Result<Vec<(String, QueueUpstream)>, RpcError> {
        let mut upstreams = Vec::new();
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.writes) {
            let name = &endpoint.name;
            let queue = QueueUpstream {
                broker: format!("amqp://{}", join_host_port(&endpoint.host, endpoint.port)),
                connection: self.communicator.connect(&format!("mq:{name}")).await?,
            };
            upstreams.push((name.clone(), queue));
        }
        Ok(upstreams)
    }

    /// The queues that the gateway reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &MqEndpoint> {
        self.endpoints.iter().filter(|endpoint| endpoint.reads)
    }
}

/// The queues that `server` names.
pub(crate) fn queue_endpoints(
    services: &Services,
    server: &ServerConfig,
) -> impl Iterator<Item = MqEndpoint> {
    let (reads, writes) = (
        names(services, &server.reads),
        names(services, &server.writes),
    );
    let returns = return_queues(services, server);
    services.endpoints.iter().filter_map(move |endpoint| {
        let EndpointKind::Mq(mq) = &endpoint.kind else {
            return None;
        };
        let is_return = returns.contains(endpoint.name.as_str());
        Some(MqEndpoint {
            reads: reads.contains(endpoint.name.as_str()),
            writes: writes.contains(endpoint.name.as_str()),
            exclusive: is_return && mq.address.node == NodeType::Queue,
            ..mq.clone()
        })
    })
}

/// Whether the reader of `read` serves a configuration with `endpoint`. Other settings
/// of a queue of RETURNs take effect at the next start: it has one reader.
pub(crate) fn is_read_alike(read: &MqEndpoint, endpoint: &MqEndpoint) -> bool {
    let is_kept = endpoint.exclusive && read.name == endpoint.name && is_same_queue(read, endpoint);
    endpoint.reads && (is_kept || is_alike(read, endpoint))
}

/// Whether two endpoints differ in their use at most.
fn is_alike(first: &MqEndpoint, second: &MqEndpoint) -> bool {
    let same_use = MqEndpoint {
        reads: second.reads,
        writes: second.writes,
        ..first.clone()
    };
    same_use == *second
}

/// Whether two endpoints name one queue of one broker.
pub(crate) fn is_same_queue(first: &MqEndpoint, second: &MqEndpoint) -> bool {
    (&first.host, first.port, &first.vhost) == (&second.host, second.port, &second.vhost)
        && first.address.name == second.address.name
}

/// The queues that bring RETURNs: only this gateway may read them, since another one
/// would take RETURNs of calls that it does not know.
pub(crate) fn return_queues<'a>(
    services: &'a Services,
    server: &ServerConfig,
) -> BTreeSet<&'a str> {
    let of_routes = server.routes.iter().flat_map(|routes| &routes.returns);
    let of_routes = of_routes.map(|hop| hop.from);
    let of_loopback = server.loopback.iter().map(|(_, returns)| *returns);
    let ids: Vec<_> = of_routes.chain(of_loopback).collect();
    names(services, &ids)
}

/// The name at the broker of a queue that only this gateway reads, by which servers reach
/// its users; `None` without one.
pub(crate) fn own_queue(services: &Services, server: &ServerConfig) -> Option<String> {
    let returns = return_queues(services, server);
    let mut endpoints = services.endpoints.iter();
    endpoints.find_map(|endpoint| match &endpoint.kind {
        EndpointKind::Mq(mq) => {
            let is_own = returns.contains(endpoint.name.as_str());
            (is_own && mq.address.node == NodeType::Queue).then(|| mq.address.name.clone())
        }
        _ => None,
    })
}

fn names<'a>(services: &'a Services, ids: &[EndpointId]) -> BTreeSet<&'a str> {
    ids.iter()
        .map(|id| services.endpoint(*id).name.as_str())
        .collect()
}
