//! Where calls go: the routes of one configuration, with the backends at their
//! ends.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    config::{EndpointId, EndpointKind, Server, Services},
    endpoint::Backend,
    meter::Meter,
    slots::{Slot, Slots},
};

/// Backends by the names of their endpoints.
pub(crate) type Backends = BTreeMap<String, Arc<Backend>>;

/// The way of the calls to one interface from one endpoint.
pub(crate) struct Way {
    ifidx: u16,
    from: Slot,
    backend: Arc<Backend>,
    meter: Arc<Meter>,
    /// What is set as `__mq_return__`; empty where nothing is.
    returns_by: String,
}

/// All ways that calls take. It is replaced as a whole when the configuration
/// is loaded anew.
pub(crate) struct Table {
    pub(crate) services: Arc<Services>,
    pub(crate) server: Arc<Server>,
    pub(crate) backends: Backends,
    /// In the order of interface and endpoint.
    ways: Vec<Way>,
    /// Calls from topics, to all clients of an endpoint.
    broadcasts: Vec<(u16, Slot, Slot)>,
}

impl Table {
    pub(crate) fn new(
        services: &Arc<Services>,
        server: &Arc<Server>,
        backends: Backends,
        slots: &Slots,
    ) -> Self {
        let mut table = Self {
            services: Arc::clone(services),
            server: Arc::clone(server),
            backends,
            ways: Vec::new(),
            broadcasts: Vec::new(),
        };
        let hops = server.routes.iter().flat_map(|route| {
            let calls = route.calls.iter();
            calls.map(|hop| (route.ifidx, hop.from, hop.to))
        });
        for (ifidx, from, to) in hops {
            let slot = |id: EndpointId| slots.of(table.name(id));
            if server.listen.contains(&to) && table.is_topic(from) {
                let broadcast = (ifidx, slot(from), slot(to));
                table.broadcasts.push(broadcast);
            } else if let Some(way) = table.way(ifidx, from, to, slot(from)) {
                table.ways.push(way);
            }
        }
        table.ways.sort_unstable_by_key(|way| (way.ifidx, way.from));
        table
    }

    fn way(&self, ifidx: u16, from: EndpointId, to: EndpointId, slot: Slot) -> Option<Way> {
        let backend = self.backends.get(self.name(to))?;
        let back = self.server.loopback.iter().find(|(call, _)| *call == to);
        Some(Way {
            ifidx,
            from: slot,
            backend: Arc::clone(backend),
            meter: Arc::new(Meter::new(&self.interface(ifidx), self.name(from))),
            returns_by: back.map_or_else(String::new, |(_, back)| self.name(*back).to_owned()),
        })
    }

    fn name(&self, id: EndpointId) -> &str {
        &self.services.endpoint(id).name
    }

    fn is_topic(&self, id: EndpointId) -> bool {
        use tce_runtime::config::NodeType;
        matches!(
            &self.services.endpoint(id).kind,
            EndpointKind::Mq(mq) if mq.address.node == NodeType::Topic
        )
    }

    pub(crate) fn interface(&self, ifidx: u16) -> String {
        let mut interfaces = self.services.interfaces.iter();
        interfaces
            .find(|interface| interface.ifidx == ifidx)
            .map_or_else(|| ifidx.to_string(), |interface| interface.name.clone())
    }

    /// The way of a call that a client makes.
    pub(crate) fn call(&self, ifidx: u16, from: Slot) -> Option<&Way> {
        let place = self
            .ways
            .binary_search_by_key(&(ifidx, from), |way| (way.ifidx, way.from));
        self.ways.get(place.ok()?)
    }

    /// The endpoint whose clients all get a call that comes by a topic and names
    /// no user.
    pub(crate) fn broadcast(&self, ifidx: u16, from: Slot) -> Option<Slot> {
        let mut broadcasts = self.broadcasts.iter();
        broadcasts
            .find(|(index, topic, _)| (*index, *topic) == (ifidx, from))
            .map(|(.., to)| *to)
    }

    pub(crate) fn ways(&self) -> &[Way] {
        &self.ways
    }
}

impl Way {
    pub(crate) fn ifidx(&self) -> u16 {
        self.ifidx
    }

    pub(crate) fn from(&self) -> Slot {
        self.from
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    pub(crate) fn returns_by(&self) -> &str {
        &self.returns_by
    }
}
