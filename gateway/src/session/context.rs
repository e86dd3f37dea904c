//! What the sessions of a gateway share, all of them or those of one thread.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tce_runtime::{BUILTIN_INTERFACE, Extra, Servant, config::MemoryBudget};
use tokio::sync::watch;

use super::{
    call_guard::{CallGuard, UserRates, describe_rate},
    calls::ForwardedCalls,
    client_calls::ClientCalls,
    registry::SessionRegistry,
};
use crate::{
    auth::{AuthGuard, LoginAttempts, UserEvents},
    client_address::counted_address,
    config::{Properties, ServerConfig, Services},
    metrics::{ReasonCounters, RouteMetrics},
    presence::Presence,
    routing::{EndpointKey, EndpointKeys, RoutingTable, interface_name},
    spans::Tracer,
    upstream::{CallTarget, Upstream, Upstreams},
};

/// The phases of a gateway, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GatewayPhase {
    Starting,
    Serving,
    /// New connections are refused; the clients go elsewhere.
    Draining,
    /// New connections and calls are refused; calls in flight end.
    Stopping,
    Ended,
}

/// The configuration in force, with its routes and the upstreams at their ends, for
/// the sessions of one thread. A reload swaps it as a whole.
pub(crate) struct ActiveRoutes {
    pub(crate) services: Arc<Services>,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) table: RoutingTable,
    pub(crate) upstreams: Upstreams,
    /// Where the CALLs of clients go, by the position of the route in the table;
    /// `None` for a route to clients.
    forwarding: Box<[Option<Forwarding>]>,
}

/// Where the CALLs of one route of clients go.
pub(super) struct Forwarding {
    pub(super) upstream: Arc<Upstream>,
    pub(super) targets: Vec<Arc<CallTarget>>,
    /// Whether a servant of the gateway answers the CALLs instead.
    pub(super) has_servant: bool,
    /// What is demanded of callers, if anything.
    pub(super) guard: Option<Box<CallGuard>>,
    /// `__mq_return__`, or nothing.
    pub(super) added_extra: Extra,
    pub(super) metrics: Arc<RouteMetrics>,
}

impl ActiveRoutes {
    pub(crate) fn new(
        services: &Arc<Services>,
        server: &Arc<ServerConfig>,
        keys: &EndpointKeys,
        upstreams: Upstreams,
        servants: &[Arc<dyn Servant>],
        rates: &UserRates,
    ) -> Self {
        let table = RoutingTable::new(services, server, keys);
        let forwarding = table.calls().map(|route| {
            let upstream = upstreams.get(route.to())?;
            Some(Forwarding {
                upstream: Arc::clone(upstream),
                targets: upstream.targets(route.metrics()),
                has_servant: route.ifidx() == BUILTIN_INTERFACE
                    || has_servant(servants, route.ifidx()),
                guard: {
                    let interface = interface_name(services, route.ifidx());
                    CallGuard::new(&interface, route.allow(), rates)
                },
                added_extra: route.added_extra().clone(),
                metrics: Arc::clone(route.metrics()),
            })
        });
        Self {
            forwarding: forwarding.collect(),
            table,
            services: Arc::clone(services),
            server: Arc::clone(server),
            upstreams,
        }
    }

    /// Where a CALL of a client goes.
    pub(super) fn forwarding(&self, ifidx: u16, from: EndpointKey) -> Option<&Forwarding> {
        let position = self.table.position(ifidx, from)?;
        self.forwarding.get(position)?.as_ref()
    }
}

/// What the sessions of one thread share. The routes are those of the thread, so that its
/// calls wait for no other one; everything else belongs to all threads of the gateway.
pub(crate) struct SessionContext {
    pub(crate) routes: ArcSwap<ActiveRoutes>,
    /// The number of the thread.
    pub(super) thread: usize,
    pub(super) calls: Arc<ForwardedCalls>,
    /// The name of the gateway.
    pub(crate) name: Arc<str>,
    pub(crate) start: Instant,
    pub(crate) properties: Arc<Properties>,
    /// What connections of clients and servers hold, and deferred messages.
    pub(crate) memory: MemoryBudget,
    pub(crate) endpoint_keys: Arc<EndpointKeys>,
    pub(crate) registry: Arc<SessionRegistry>,
    pub(crate) client_calls: Arc<ClientCalls>,
    pub(crate) rates: Arc<UserRates>,
    /// What is demanded of clients that ask which interfaces the servers have; `None` if
    /// none may.
    pub(super) describe_guard: Option<Arc<CallGuard>>,
    pub(crate) address_limit: PerAddressLimit,
    /// `None` if each connection has a user id of its own.
    pub(crate) authenticator: Option<AuthGuard>,
    pub(crate) login_attempts: Arc<LoginAttempts>,
    pub(crate) events: UserEvents,
    /// Told of each user who logs in and disconnects.
    pub(crate) presence: Presence,
    /// Answer calls to the gateway itself.
    pub(crate) servants: Vec<Arc<dyn Servant>>,
    /// Answer calls of servers to the gateway itself; clients do not reach them.
    pub(crate) server_servants: Vec<Arc<dyn Servant>>,
    pub(crate) dropped: ReasonCounters,
    /// Twoway calls that were answered with an error of the gateway.
    pub(crate) refused: ReasonCounters,
    /// Makes spans of forwarded calls; `None` without a collector.
    pub(crate) tracer: Option<Tracer>,
    pub(crate) phase: watch::Sender<GatewayPhase>,
    /// Random, chosen at the start, so that the user ids of two runs or two
    /// gateways never collide.
    run_id: u64,
    /// The random key of the hashes by which the tokens of logins are compared.
    pub(super) token_keys: RandomState,
    session_number: Arc<AtomicU64>,
}

impl SessionContext {
    /// The context of the first of `threads` threads of a gateway without upstreams.
    pub(crate) fn new(
        services: &Arc<Services>,
        server: &Arc<ServerConfig>,
        authenticator: Option<AuthGuard>,
        events: UserEvents,
        servants: Vec<Arc<dyn Servant>>,
        dropped: ReasonCounters,
        threads: usize,
    ) -> Self {
        let properties = Arc::new(server.properties.clone());
        let endpoint_keys = Arc::new(EndpointKeys::default());
        let mut rates = properties.rate.clone();
        rates.0.extend(describe_rate(&properties.describe));
        let rates = Arc::new(UserRates::new(&rates));
        let describe_guard = CallGuard::of_describe(&properties.describe, &rates);
        let routes = ActiveRoutes::new(
            services,
            server,
            &endpoint_keys,
            Upstreams::default(),
            &servants,
            &rates,
        );
        let run_id = RandomState::new().hash_one(&server.name);
        // The first sequence is random, too: any 32 bits of the id.
        let [a, b, c, d, ..] = run_id.to_be_bytes();
        Self {
            routes: ArcSwap::from_pointee(routes),
            thread: 0,
            calls: ForwardedCalls::new(u32::from_be_bytes([a, b, c, d]), threads),
            name: server.name.as_str().into(),
            start: Instant::now(),
            registry: Arc::new(SessionRegistry::new(
                &properties,
                &server.name,
                run_id,
                &endpoint_keys,
            )),
            endpoint_keys,
            client_calls: Arc::default(),
            rates,
            describe_guard: describe_guard.map(Arc::from),
            address_limit: PerAddressLimit::new(properties.max_connections_per_address),
            memory: MemoryBudget::new(properties.max_memory),
            login_attempts: Arc::new(LoginAttempts::new(properties.max_failed_logins)),
            properties,
            authenticator,
            events,
            presence: Presence::Memory,
            servants,
            server_servants: Vec::new(),
            dropped,
            refused: ReasonCounters::default(),
            tracer: None,
            phase: watch::channel(GatewayPhase::Starting).0,
            run_id,
            token_keys: RandomState::new(),
            session_number: Arc::default(),
        }
    }

    /// The context of another thread, with routes of its own.
    pub(crate) fn for_thread(&self, thread: usize) -> Self {
        let active = self.routes.load();
        let routes = ActiveRoutes::new(
            &active.services,
            &active.server,
            &self.endpoint_keys,
            Upstreams::default(),
            &self.servants,
            &self.rates,
        );
        Self {
            routes: ArcSwap::from_pointee(routes),
            thread,
            calls: Arc::clone(&self.calls),
            name: Arc::clone(&self.name),
            start: self.start,
            properties: Arc::clone(&self.properties),
            memory: self.memory.clone(),
            endpoint_keys: Arc::clone(&self.endpoint_keys),
            registry: Arc::clone(&self.registry),
            client_calls: Arc::clone(&self.client_calls),
            rates: Arc::clone(&self.rates),
            describe_guard: self.describe_guard.clone(),
            address_limit: self.address_limit.clone(),
            authenticator: self.authenticator.clone(),
            login_attempts: Arc::clone(&self.login_attempts),
            events: self.events.clone(),
            presence: self.presence.clone(),
            servants: self.servants.clone(),
            server_servants: self.server_servants.clone(),
            dropped: self.dropped.clone(),
            refused: self.refused.clone(),
            tracer: self.tracer.clone(),
            phase: self.phase.clone(),
            run_id: self.run_id,
            token_keys: self.token_keys.clone(),
            session_number: Arc::clone(&self.session_number),
        }
    }

    pub(super) fn next_session_number(&self) -> u64 {
        self.session_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Identifies a session among those of all gateways, and of all their runs.
    pub(super) fn connection_id(&self, session: u64) -> String {
        format!("{:016x}-{session}", self.run_id)
    }

    /// The user id of a session that does not log in.
    pub(super) fn anonymous_user(&self, session: u64) -> Arc<str> {
        format!("{}-{:016x}-{session}", self.name, self.run_id).into()
    }

    /// Whether a servant of the gateway answers calls of servers to an interface.
    pub(super) fn serves_servers(&self, ifidx: u16) -> bool {
        has_servant(&self.servants, ifidx) || has_servant(&self.server_servants, ifidx)
    }

    /// What answers calls of servers to the gateway itself.
    pub(crate) fn servants_for_servers(&self) -> Vec<Arc<dyn Servant>> {
        let servants = self.servants.iter().chain(&self.server_servants);
        servants.cloned().collect()
    }

    /// Waits until the gateway has reached a phase.
    pub(crate) fn reached(&self, phase: GatewayPhase) -> impl Future<Output = ()> + use<> {
        let mut phases = self.phase.subscribe();
        async move {
            // The sender is dropped with the gateway, which has then ended.
            let _ = phases.wait_for(|current| *current >= phase).await;
        }
    }
}

fn has_servant(servants: &[Arc<dyn Servant>], ifidx: u16) -> bool {
    let mut servants = servants.iter();
    servants.any(|servant| servant.interfaces().contains(&ifidx))
}

/// Limits the connections of each IP address.
#[derive(Debug, Clone)]
pub(crate) struct PerAddressLimit {
    counts: ConnectionCounts,
    limit: Option<usize>,
}

/// Counts as a connection of an address until it is dropped.
#[derive(Debug)]
pub(crate) struct AddressPermit(Option<(IpAddr, ConnectionCounts)>);

type ConnectionCounts = Arc<Mutex<HashMap<IpAddr, usize>>>;

impl PerAddressLimit {
    fn new(limit: Option<usize>) -> Self {
        Self {
            counts: Arc::default(),
            limit,
        }
    }

    /// Returns `None` if the address has reached the limit.
    pub(crate) fn acquire(&self, address: IpAddr) -> Option<AddressPermit> {
        let Some(limit) = self.limit else {
            return Some(AddressPermit(None));
        };
        let address = counted_address(address);
        let mut counts = self.counts.lock();
        let count = counts.entry(address).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(AddressPermit(Some((address, Arc::clone(&self.counts)))))
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let Some((address, counts)) = &self.0 else {
            return;
        };
        if let Entry::Occupied(mut count) = counts.lock().entry(*address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
