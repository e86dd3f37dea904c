//! What all sessions of a gateway share.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Instant,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tce_runtime::{Servant, config::MemoryBudget};
use tokio::sync::watch;

use super::{client_calls::ClientCalls, registry::SessionRegistry};
use crate::{
    auth::{AuthGuard, LoginAttempts, UserEvents},
    client_address::counted_address,
    config::{Properties, ServerConfig, Services},
    metrics::DropCounters,
    routing::{EndpointKeys, RoutingTable},
    upstream::Upstreams,
};

/// The phases of a gateway, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GatewayPhase {
    Starting,
    Serving,
    /// New connections and calls are refused; calls in flight end.
    Stopping,
    Ended,
}

/// The configuration in force, with its routes and the upstreams at their ends.
/// A reload swaps it as a whole.
pub(crate) struct ActiveRoutes {
    pub(crate) services: Arc<Services>,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) table: RoutingTable,
    pub(crate) upstreams: Upstreams,
}

impl ActiveRoutes {
    pub(crate) fn new(
        services: &Arc<Services>,
        server: &Arc<ServerConfig>,
        keys: &EndpointKeys,
        upstreams: Upstreams,
    ) -> Self {
        Self {
            table: RoutingTable::new(services, server, keys),
            services: Arc::clone(services),
            server: Arc::clone(server),
            upstreams,
        }
    }
}

/// What all sessions of a gateway share.
pub(crate) struct SessionContext {
    /// The name of the gateway.
    pub(crate) name: String,
    pub(crate) start: Instant,
    pub(crate) properties: Properties,
    /// What connections of clients and servers hold, and deferred messages.
    pub(crate) memory: MemoryBudget,
    pub(crate) endpoint_keys: EndpointKeys,
    pub(crate) routes: ArcSwap<ActiveRoutes>,
    pub(crate) registry: SessionRegistry,
    pub(crate) client_calls: ClientCalls,
    pub(crate) address_limit: PerAddressLimit,
    /// `None` if each connection has a user id of its own.
    pub(crate) authenticator: Option<AuthGuard>,
    pub(crate) login_attempts: LoginAttempts,
    pub(crate) events: UserEvents,
    /// Answer calls to the gateway itself.
    pub(crate) servants: Vec<Arc<dyn Servant>>,
    pub(crate) dropped: DropCounters,
    pub(crate) phase: watch::Sender<GatewayPhase>,
    /// Random, chosen at the start, so that the user ids of two runs or two
    /// gateways never collide.
    run_id: u64,
    session_number: AtomicU64,
    sequence: AtomicU32,
}

impl SessionContext {
    /// The context of a gateway without upstreams.
    pub(crate) fn new(
        services: &Arc<Services>,
        server: &Arc<ServerConfig>,
        authenticator: Option<AuthGuard>,
        events: UserEvents,
        servants: Vec<Arc<dyn Servant>>,
        dropped: DropCounters,
    ) -> Arc<Self> {
        let properties = server.properties.clone();
        let endpoint_keys = EndpointKeys::default();
        let routes = ActiveRoutes::new(services, server, &endpoint_keys, Upstreams::default());
        let run_id = RandomState::new().hash_one(&server.name);
        // The first sequence is random, too: any 32 bits of the id.
        let [a, b, c, d, ..] = run_id.to_be_bytes();
        Arc::new(Self {
            name: server.name.clone(),
            start: Instant::now(),
            endpoint_keys,
            routes: ArcSwap::from_pointee(routes),
            registry: SessionRegistry::new(properties.second_login),
            client_calls: ClientCalls::default(),
            address_limit: PerAddressLimit::new(properties.max_connections_per_address),
            memory: MemoryBudget::new(properties.max_memory),
            login_attempts: LoginAttempts::new(properties.max_failed_logins),
            properties,
            authenticator,
            events,
            servants,
            dropped,
            phase: watch::channel(GatewayPhase::Starting).0,
            run_id,
            session_number: AtomicU64::new(0),
            sequence: AtomicU32::new(u32::from_be_bytes([a, b, c, d])),
        })
    }

    pub(super) fn next_session_number(&self) -> u64 {
        self.session_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The sequence of the next forwarded call.
    pub(super) fn next_sequence(&self) -> u32 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// The user id of a session that does not log in.
    pub(super) fn anonymous_user(&self, session: u64) -> Arc<str> {
        format!("{}-{:016x}-{session}", self.name, self.run_id).into()
    }

    /// Whether a servant of the gateway answers calls to an interface.
    pub(super) fn has_servant(&self, ifidx: u16) -> bool {
        let mut servants = self.servants.iter();
        servants.any(|servant| servant.interfaces().contains(&ifidx))
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

/// Limits the connections of each IP address.
#[derive(Debug, Clone)]
pub(crate) struct PerAddressLimit {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    limit: Option<usize>,
}

/// Counts as a connection of an address until it is dropped.
#[derive(Debug)]
pub(crate) struct AddressPermit(Option<(IpAddr, PerAddressLimit)>);

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
        Some(AddressPermit(Some((address, self.clone()))))
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let Some((address, limit)) = &self.0 else {
            return;
        };
        if let Entry::Occupied(mut count) = limit.counts.lock().entry(*address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
