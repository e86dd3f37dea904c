//! Where calls go: the routes of one configuration, with the backends at their
//! ends.

use std::{collections::BTreeMap, sync::Arc};

use tce_runtime::config::NodeType;

use crate::{
    config::{EndpointId, EndpointKind, Hop, Server, Services},
    metrics::RouteMetrics,
    routing::Ways,
    slots::{Slot, Slots},
    upstream::Backend,
};

/// Backends by the names of their endpoints.
pub(crate) type Backends = BTreeMap<String, Arc<Backend>>;

/// The way of the calls to one interface from one endpoint.
pub(crate) struct Way {
    ifidx: u16,
    from: Slot,
    backend: Arc<Backend>,
    meter: Arc<RouteMetrics>,
    /// What is set as `__mq_return__`; empty where nothing is.
    returns_by: String,
}

/// All ways that calls take. It is replaced as a whole when the configuration
/// is loaded anew.
pub(crate) struct Table {
    pub(crate) services: Arc<Services>,
    pub(crate) server: Arc<Server>,
    pub(crate) backends: Backends,
    ways: Ways<Slot, Way>,
    /// Calls from topics, to all clients of an endpoint.
    broadcasts: Ways<Slot, Slot>,
}

impl Table {
    pub(crate) fn new(
        services: &Arc<Services>,
        server: &Arc<Server>,
        backends: Backends,
        slots: &Slots,
    ) -> Self {
        let ends = Ends {
            services,
            server,
            backends: &backends,
        };
        let hops: Vec<_> = server
            .routes
            .iter()
            .flat_map(|route| route.calls.iter().map(|hop| (route.ifidx, *hop)))
            .collect();
        let slot = |id: EndpointId| slots.of(ends.name(id));
        let ways = hops.iter().filter_map(|(ifidx, hop)| {
            let way = ends.way(*ifidx, hop, slot(hop.from))?;
            Some((*ifidx, slot(hop.from), way))
        });
        let broadcasts = hops.iter().filter(|(_, hop)| ends.is_broadcast(hop));
        Self {
            ways: Ways::new(ways),
            broadcasts: Ways::new(
                broadcasts.map(|(ifidx, hop)| (*ifidx, slot(hop.from), slot(hop.to))),
            ),
            services: Arc::clone(services),
            server: Arc::clone(server),
            backends,
        }
    }

    /// The way of a call that a client makes.
    pub(crate) fn call(&self, ifidx: u16, from: Slot) -> Option<&Way> {
        self.ways.find(ifidx, from)
    }

    /// The endpoint whose clients all get a call that comes by a topic and names
    /// no user.
    pub(crate) fn broadcast(&self, ifidx: u16, from: Slot) -> Option<Slot> {
        self.broadcasts.find(ifidx, from).copied()
    }

    pub(crate) fn ways(&self) -> impl Iterator<Item = &Way> {
        self.ways.ends()
    }
}

/// What the ways of a table lead to.
struct Ends<'a> {
    services: &'a Services,
    server: &'a Server,
    backends: &'a Backends,
}

impl Ends<'_> {
    fn name(&self, id: EndpointId) -> &str {
        &self.services.endpoint(id).name
    }

    fn way(&self, ifidx: u16, hop: &Hop, from: Slot) -> Option<Way> {
        let backend = self.backends.get(self.name(hop.to))?;
        let mut pairs = self.server.loopback.iter();
        let back = pairs.find(|(call, _)| *call == hop.to);
        let interface = interface(self.services, ifidx);
        Some(Way {
            ifidx,
            from,
            backend: Arc::clone(backend),
            meter: Arc::new(RouteMetrics::new(&interface, self.name(hop.from))),
            returns_by: back.map_or_else(String::new, |(_, back)| self.name(*back).to_owned()),
        })
    }

    fn is_broadcast(&self, hop: &Hop) -> bool {
        let from = &self.services.endpoint(hop.from).kind;
        let is_topic = matches!(from, EndpointKind::Mq(mq) if mq.address.node == NodeType::Topic);
        is_topic && self.server.listen.contains(&hop.to)
    }
}

/// The name of an interface, or its index where it has none.
pub(crate) fn interface(services: &Services, ifidx: u16) -> String {
    services
        .interface(ifidx)
        .map_or_else(|| ifidx.to_string(), |interface| interface.name.clone())
}

impl Way {
    pub(crate) fn ifidx(&self) -> u16 {
        self.ifidx
    }

    pub(crate) fn from(&self) -> Slot {
        self.from
    }

    pub(crate) fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    pub(crate) fn meter(&self) -> &Arc<RouteMetrics> {
        &self.meter
    }

    pub(crate) fn returns_by(&self) -> &str {
        &self.returns_by
    }
}
