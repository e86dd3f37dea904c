//! What the sessions of a gateway share, all of them or those of one thread.

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

/// The configuration in force, with its routes and the upstreams at their ends, for
/// the sessions of one thread. A reload swaps it as a whole.
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

/// What the sessions of one thread share. The routes and the sequences are those of
/// the thread, so that its calls wait for no other one; everything else belongs to all
/// threads of the gateway.
pub(crate) struct SessionContext {
    pub(crate) routes: ArcSwap<ActiveRoutes>,
    sequences: Sequences,
    /// The name of the gateway.
    pub(crate) name: Arc<str>,
    pub(crate) start: Instant,
    pub(crate) properties: Arc<Properties>,
    /// What connections of clients and servers hold, and deferred messages.
    pub(crate) memory: MemoryBudget,
    pub(crate) endpoint_keys: Arc<EndpointKeys>,
    pub(crate) registry: Arc<SessionRegistry>,
    pub(crate) client_calls: Arc<ClientCalls>,
    pub(crate) address_limit: PerAddressLimit,
    /// `None` if each connection has a user id of its own.
    pub(crate) authenticator: Option<AuthGuard>,
    pub(crate) login_attempts: Arc<LoginAttempts>,
    pub(crate) events: UserEvents,
    /// Answer calls to the gateway itself.
    pub(crate) servants: Vec<Arc<dyn Servant>>,
    pub(crate) dropped: DropCounters,
    pub(crate) phase: watch::Sender<GatewayPhase>,
    /// Random, chosen at the start, so that the user ids of two runs or two
    /// gateways never collide.
    run_id: u64,
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
        dropped: DropCounters,
        threads: usize,
    ) -> Self {
        let properties = Arc::new(server.properties.clone());
        let endpoint_keys = Arc::new(EndpointKeys::default());
        let routes = ActiveRoutes::new(services, server, &endpoint_keys, Upstreams::default());
        let run_id = RandomState::new().hash_one(&server.name);
        // The first sequence is random, too: any 32 bits of the id.
        let [a, b, c, d, ..] = run_id.to_be_bytes();
        Self {
            routes: ArcSwap::from_pointee(routes),
            sequences: Sequences::new(u32::from_be_bytes([a, b, c, d]), 0, threads),
            name: server.name.as_str().into(),
            start: Instant::now(),
            endpoint_keys,
            registry: Arc::new(SessionRegistry::new(properties.second_login)),
            client_calls: Arc::default(),
            address_limit: PerAddressLimit::new(properties.max_connections_per_address),
            memory: MemoryBudget::new(properties.max_memory),
            login_attempts: Arc::new(LoginAttempts::new(properties.max_failed_logins)),
            properties,
            authenticator,
            events,
            servants,
            dropped,
            phase: watch::channel(GatewayPhase::Starting).0,
            run_id,
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
        );
        Self {
            routes: ArcSwap::from_pointee(routes),
            sequences: self.sequences.of_thread(thread),
            name: Arc::clone(&self.name),
            start: self.start,
            properties: Arc::clone(&self.properties),
            memory: self.memory.clone(),
            endpoint_keys: Arc::clone(&self.endpoint_keys),
            registry: Arc::clone(&self.registry),
            client_calls: Arc::clone(&self.client_calls),
            address_limit: self.address_limit.clone(),
            authenticator: self.authenticator.clone(),
            login_attempts: Arc::clone(&self.login_attempts),
            events: self.events.clone(),
            servants: self.servants.clone(),
            dropped: self.dropped.clone(),
            phase: self.phase.clone(),
            run_id: self.run_id,
            session_number: Arc::clone(&self.session_number),
        }
    }

    pub(super) fn next_session_number(&self) -> u64 {
        self.session_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The sequence of the next forwarded call.
    pub(super) fn next_sequence(&self) -> u32 {
        self.sequences.next()
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

/// The sequences of the calls that one thread forwards: those whose low bits are its
/// number, so that two threads never use the same one.
#[derive(Debug)]
struct Sequences {
    next: AtomicU32,
    /// The number of threads, rounded up to a power of two.
    step: u32,
}

impl Sequences {
    fn new(start: u32, thread: usize, threads: usize) -> Self {
        // The property allows far fewer threads.
        let step = u32::try_from(threads.next_power_of_two()).unwrap_or(1);
        let thread = u32::try_from(thread).unwrap_or(0);
        Self {
            next: AtomicU32::new((start & !(step - 1)) | thread),
            step,
        }
    }

    fn of_thread(&self, thread: usize) -> Self {
        let start = self.next.load(Ordering::Relaxed);
        Self::new(start, thread, self.step as usize)
    }

    /// A sum that exceeds 32 bits wraps, and keeps the low ones.
    fn next(&self) -> u32 {
        self.next.fetch_add(self.step, Ordering::Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_low_bits_of_a_sequence_are_the_number_of_its_thread() {
        let first = Sequences::new(u32::MAX - 5, 0, 3);
        let last = first.of_thread(2);
        for call in 0..4 {
            assert_eq!([first.next() & 3, last.next() & 3], [0, 2], "{call}");
        }
        let only = Sequences::new(u32::MAX, 0, 1);
        assert_eq!([only.next(), only.next()], [u32::MAX, 0]);
    }
}
