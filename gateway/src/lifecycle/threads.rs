//! The threads that serve connections, and the state of the upstreams over all of
//! them.

use std::{iter::once, sync::Arc};

use tce_runtime::{RpcError, WorkerPool};
use tokio::runtime::Handle;

use crate::{
    session::{ActiveRoutes, SessionContext},
    upstream::{HostState, Upstream, UpstreamKind},
};

/// The threads of a gateway, at least one.
pub(super) struct GatewayThreads {
    /// `None` where the runtime that accepts connections also serves them.
    pool: Option<WorkerPool>,
    threads: Vec<GatewayThread>,
}

pub(super) struct GatewayThread {
    pub(super) context: Arc<SessionContext>,
    pub(super) runtime: Handle,
}

impl GatewayThreads {
    /// The threads of `pool`, or without one the runtime that this runs in. `context` is
    /// that of the first one.
    pub(super) fn new(context: SessionContext, pool: Option<WorkerPool>) -> Self {
        let runtimes: Vec<_> = match &pool {
            Some(pool) => pool.runtimes().cloned().collect(),
            None => vec![Handle::current()],
        };
        let others = (1..runtimes.len()).map(|thread| context.for_thread(thread));
        let others: Vec<_> = others.collect();
        let threads = once(context).chain(others).zip(runtimes);
        let threads = threads.map(|(context, runtime)| GatewayThread {
            context: Arc::new(context),
            runtime,
        });
        Self {
            threads: threads.collect(),
            pool,
        }
    }

    /// The context of the first thread, for what all threads share.
    pub(super) fn context(&self) -> &Arc<SessionContext> {
        &self.threads[0].context
    }

    pub(super) fn contexts(&self) -> Vec<Arc<SessionContext>> {
        let contexts = self.threads.iter().map(|thread| &thread.context);
        contexts.cloned().collect()
    }

    pub(super) fn pool(&self) -> Option<&WorkerPool> {
        self.pool.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &GatewayThread> {
        self.threads.iter()
    }

    /// The routes of each thread.
    pub(super) fn routes(&self) -> Vec<Arc<ActiveRoutes>> {
        let routes = self
            .threads
            .iter()
            .map(|thread| thread.context.routes.load_full());
        routes.collect()
    }

    /// The upstreams of all threads, each once.
    pub(super) fn upstreams(&self) -> Vec<UpstreamStatus> {
        let mut all: Vec<UpstreamStatus> = Vec::new();
        for routes in self.routes() {
            for upstream in routes.upstreams.iter() {
                let name = upstream.name();
                match all.iter_mut().find(|status| status.name == name) {
                    Some(status) => status.add(upstream),
                    None => all.push(UpstreamStatus::of(upstream)),
                }
            }
        }
        all
    }
}

/// An upstream over all threads. The worst of a server's connections counts, since the
/// clients of its thread are not served.
pub(super) struct UpstreamStatus {
    pub(super) name: String,
    pub(super) is_up: bool,
    /// Why a queue takes no calls now.
    pub(super) unavailable: Option<RpcError>,
    /// The number of messages that wait, for the broker or for capacity.
    pub(super) queued: usize,
    pub(super) hosts: UpstreamHosts,
}

/// Where the messages of an upstream go.
pub(super) enum UpstreamHosts {
    /// The address of a broker.
    Broker(String),
    /// The servers that are connected directly.
    Servers(Vec<(String, HostState)>),
}

impl UpstreamStatus {
    fn of(upstream: &Upstream) -> Self {
        Self {
            name: upstream.name().to_owned(),
            is_up: upstream.is_up(),
            unavailable: upstream.unavailable(),
            queued: upstream.queued(),
            hosts: match upstream.kind() {
                UpstreamKind::Queue(queue) => UpstreamHosts::Broker(queue.broker.clone()),
                UpstreamKind::Direct(direct) => {
                    let hosts = direct.hosts().iter();
                    let hosts = hosts.map(|host| (host.address().to_owned(), host.state()));
                    UpstreamHosts::Servers(hosts.collect())
                }
            },
        }
    }

    /// Adds the connections of another thread. All threads share a queue.
    fn add(&mut self, upstream: &Upstream) {
        let (UpstreamHosts::Servers(known), UpstreamKind::Direct(direct)) =
            (&mut self.hosts, upstream.kind())
        else {
            return;
        };
        self.is_up &= upstream.is_up();
        self.queued += upstream.queued();
        for host in direct.hosts() {
            let (address, state) = (host.address(), host.state());
            match known.iter_mut().find(|(known, _)| known == address) {
                Some((_, worst)) => *worst = state.min(*worst),
                None => known.push((address.to_owned(), state)),
            }
        }
    }
}
