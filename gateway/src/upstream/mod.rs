//! Upstreams: the servers that calls are forwarded to, by queues or sockets, and
//! the calls that wait for their capacity.

mod health;
mod load;

mod direct;
mod queue;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tce_runtime::{
    Connection, RpcError,
    forwarding::{AddedExtra, ForwardError, InboundMessage},
    wire::{Header, KeySet},
};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

pub(crate) use direct::{DirectOptions, DirectServer, DirectUpstream, UpstreamHost};
pub(crate) use health::{HostHealth, HostState, UpstreamId};
pub(crate) use load::{CallPermit, CallTarget, UpstreamLoad};
pub(crate) use queue::{
    QueueUpstream, QueueUpstreams, is_read_alike, is_same_queue, own_queue, queue_endpoints,
    return_queues,
};

use crate::{metrics::RouteMetrics, routing::EndpointKey};

/// How long a message waits for capacity before the upstream counts as stuck and
/// calls fail at once: long enough for a burst, or for a broker that pauses to
/// write to its disk; short enough for a caller that gets an error
/// (`spec/gateway.md`, "What the gateway does with a message", 1).
const CAPACITY_TIME: Duration = Duration::from_secs(1);

/// The servers behind one endpoint: by a queue, which all threads share, or by the
/// connections of one thread.
pub(crate) struct Upstream {
    name: String,
    kind: UpstreamKind,
    /// The calls in flight at a queue; those of direct servers are counted for
    /// each server.
    load: Arc<UpstreamLoad>,
    waiting: WaitQueue,
}

/// How the servers are reached.
pub(crate) enum UpstreamKind {
    Queue(QueueUpstream),
    Direct(DirectUpstream),
}

impl Upstream {
    /// A queue gets at most `max_calls` calls at once.
    pub(crate) fn new(name: &str, kind: UpstreamKind, max_calls: usize) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            kind,
            load: UpstreamLoad::new(max_calls),
            waiting: WaitQueue::default(),
        })
    }

    /// The name of the endpoint.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn kind(&self) -> &UpstreamKind {
        &self.kind
    }

    /// Whether the broker is connected and accepts messages, or at least one of the
    /// servers is connected and answers.
    pub(crate) fn is_up(&self) -> bool {
        match &self.kind {
            UpstreamKind::Queue(queue) => queue.connection.is_connected(),
            UpstreamKind::Direct(direct) => direct.hosts().iter().any(UpstreamHost::answers),
        }
    }

    /// Why a queue takes no calls now; `None` for direct servers.
    pub(crate) fn unavailable(&self) -> Option<RpcError> {
        match &self.kind {
            UpstreamKind::Queue(queue) => queue.connection.unavailable(),
            UpstreamKind::Direct(_) => None,
        }
    }

    /// Whether the server that a call was sent to has been disconnected. Always
    /// false for a queue: its server may come back and read the call.
    pub(crate) fn has_lost(&self, id: UpstreamId) -> bool {
        match &self.kind {
            UpstreamKind::Queue(_) => false,
            UpstreamKind::Direct(direct) => direct.has_lost(id),
        }
    }

    /// The position of the server that the next call of a session goes to, among the
    /// [targets](Upstream::targets). `is_quiet` tells whether the session has no call
    /// in flight.
    pub(crate) fn next_host(&self, session: u64, is_quiet: impl Fn() -> bool) -> usize {
        match &self.kind {
            UpstreamKind::Queue(_) => 0,
            UpstreamKind::Direct(direct) => direct.host_of(session, is_quiet),
        }
    }

    /// What the calls of a route go to: each of the servers, or the queue.
    pub(crate) fn targets(&self, metrics: &Arc<RouteMetrics>) -> Vec<Arc<CallTarget>> {
        let target = |server, load: &Arc<UpstreamLoad>| {
            Arc::new(CallTarget {
                server,
                load: Arc::clone(load),
                metrics: Arc::clone(metrics),
            })
        };
        match &self.kind {
            UpstreamKind::Queue(_) => vec![target(None, &self.load)],
            UpstreamKind::Direct(direct) => {
                let hosts = direct.hosts().iter();
                hosts
                    .map(|host| target(Some(host.health.id), host.load()))
                    .collect()
            }
        }
    }

    /// The connection for calls of the gateway itself: to the queue, or to a server that
    /// is connected.
    pub(crate) fn connection(&self) -> Option<&Connection> {
        match &self.kind {
            UpstreamKind::Queue(queue) => Some(&queue.connection),
            UpstreamKind::Direct(direct) => direct.connection(),
        }
    }

    /// Forgets what was kept for sessions that have ended.
    pub(crate) fn retain_sessions(&self, is_open: impl Fn(u64) -> bool) {
        if let UpstreamKind::Direct(direct) = &self.kind {
            direct.retain_sessions(is_open);
        }
    }

    /// The health of a server behind this endpoint.
    fn health(&self, id: UpstreamId) -> Option<&HostHealth> {
        match &self.kind {
            UpstreamKind::Queue(_) => None,
            UpstreamKind::Direct(direct) => direct.health(id),
        }
    }

    /// The number of messages that wait, for the broker or for capacity.
    pub(crate) fn queued(&self) -> usize {
        let for_broker = match &self.kind {
            UpstreamKind::Queue(queue) => queue.connection.queued(),
            UpstreamKind::Direct(_) => 0,
        };
        for_broker + self.waiting.size()
    }

    /// Whether messages wait for capacity: later ones have to wait behind them.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.size() > 0
    }

    /// Enters a message into the queue for capacity.
    pub(crate) fn wait_ticket(self: &Arc<Self>) -> WaitTicket {
        WaitTicket::new(Arc::clone(self))
    }

    /// Waits until a message of a session may find capacity.
    async fn capacity(&self, session: u64) {
        match &self.kind {
            UpstreamKind::Queue(queue) => queue.connection.capacity().await,
            UpstreamKind::Direct(direct) => direct.capacity(session).await,
        }
    }

    /// Forwards a CALL with its [prepared extra](InboundMessage::prepare_extra), and
    /// without some keys of its own, to a host, or to another one that takes it; returns the
    /// position of the one that has taken it. The calls of one session go to one host
    /// while it is up, so that they stay in order.
    #[inline(always)]
    pub(crate) fn forward(
        &self,
        session: u64,
        host: usize,
        message: &mut InboundMessage<'_>,
        header: Header,
        without: KeySet,
        expires_in: Option<Duration>,
    ) -> Result<usize, ForwardError> {
        let taken_by = match &self.kind {
            UpstreamKind::Queue(queue) => {
                let added = AddedExtra::Prepared;
                message.forward(&queue.connection, header, without, added, expires_in)?;
                host
            }
            UpstreamKind::Direct(direct) => {
                direct.forward(session, host, message, header, without)?
            }
        };
        self.waiting.progressed();
        Ok(taken_by)
    }

    /// Waits until a server has been connected for the first time; at once for a
    /// queue, which is open.
    pub(crate) async fn connected(&self) {
        if let UpstreamKind::Direct(direct) = &self.kind {
            direct.connected().await;
        }
    }

    /// Gives up on servers that have not been connected yet.
    pub(crate) fn stop_connecting(&self) {
        if let UpstreamKind::Direct(direct) = &self.kind {
            direct.stop_connecting();
        }
    }
}

/// The upstreams of one configuration, by endpoint key.
#[derive(Default)]
pub(crate) struct Upstreams(Vec<Option<Arc<Upstream>>>);

impl Upstreams {
    pub(crate) fn insert(&mut self, key: EndpointKey, upstream: Arc<Upstream>) {
        let index = key.index();
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(upstream);
    }

    pub(crate) fn get(&self, key: EndpointKey) -> Option<&Arc<Upstream>> {
        self.0.get(key.index())?.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.0.iter().flatten()
    }

    /// A call that was sent to a server has timed out.
    pub(crate) fn timed_out(&self, id: UpstreamId) {
        let health = self.iter().find_map(|upstream| upstream.health(id));
        if let Some(health) = health {
            health.timed_out();
        }
    }
}

/// The messages that found no capacity. They are forwarded in the order of their
/// arrival, before later messages. One at a time waits for capacity, so that a
/// message that leaves wakes one waiter.
#[derive(Debug, Default)]
struct WaitQueue {
    size: AtomicUsize,
    permit: Mutex<()>,
    /// Set when there was no capacity for [`CAPACITY_TIME`]; cleared by the next
    /// message that is sent.
    is_stuck: AtomicBool,
}

impl WaitQueue {
    fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Waits for `capacity`, or only polls it if the upstream is stuck. Returns
    /// whether there is capacity.
    async fn wait(&self, capacity: impl Future<Output = ()>) -> bool {
        let has_capacity = match self.is_stuck.load(Ordering::Relaxed) {
            true => capacity.now_or_never().is_some(),
            false => timeout(CAPACITY_TIME, capacity).await.is_ok(),
        };
        self.is_stuck.store(!has_capacity, Ordering::Relaxed);
        has_capacity
    }

    /// The upstream has taken a message.
    fn progressed(&self) {
        if self.is_stuck.load(Ordering::Relaxed) {
            self.is_stuck.store(false, Ordering::Relaxed);
        }
    }
}

/// A message's position in a [`WaitQueue`]; dropping it leaves the queue.
pub(crate) struct WaitTicket(Arc<Upstream>);

impl WaitTicket {
    fn new(upstream: Arc<Upstream>) -> Self {
        upstream.waiting.size.fetch_add(1, Ordering::Relaxed);
        Self(upstream)
    }

    /// Waits for the messages before this one, and then for capacity. The permit
    /// is held until the message is forwarded. Returns `None` if the upstream is
    /// stuck.
    pub(crate) async fn permit(&self, session: u64) -> Option<MutexGuard<'_, ()>> {
        let waiting = &self.0.waiting;
        let permit = waiting.permit.lock().await;
        let has_capacity = waiting.wait(self.0.capacity(session)).await;
        has_capacity.then_some(permit)
    }
}

impl Drop for WaitTicket {
    fn drop(&mut self) {
        self.0.waiting.size.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stuck_upstream_is_only_polled_until_it_takes_a_message() {
        let queue = WaitQueue::default();
        let waits = async || {
            let start = Instant::now();
            assert!(!queue.wait(pending()).await);
            start.elapsed() >= CAPACITY_TIME
        };
        assert!(waits().await);
        assert!(!waits().await);
        queue.progressed();
        assert!(waits().await);
        assert!(!waits().await);
        assert!(queue.wait(ready(())).await);
        assert!(waits().await);
    }
}
