//! The routes of messages, by interface and by the endpoint where a message
//! arrives.

mod explain;

use std::sync::Arc;

use parking_lot::RwLock;
use tce_runtime::{Extra, config::NodeType, wire::reserved};

use crate::{
    config::{EndpointId, EndpointKind, Hop, InterfaceRoutes, ServerConfig, Services},
    metrics::RouteMetrics,
};

pub use explain::{UnknownInterface, explain};

/// A small number that stands for the name of an endpoint. It stays the same when
/// the configuration is reloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey(usize);

impl EndpointKey {
    /// Keys are numbered from 0, in the order in which they are assigned.
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// Assigns keys to the names of endpoints.
#[derive(Debug, Default)]
pub struct EndpointKeys(RwLock<Vec<Arc<str>>>);

impl EndpointKeys {
    /// The key of a name.
    pub fn key(&self, name: &str) -> EndpointKey {
        let mut names = self.0.write();
        let known = names.iter().position(|known| **known == *name);
        EndpointKey(known.unwrap_or_else(|| {
            names.push(name.into());
            names.len() - 1
        }))
    }

    /// The name of a key.
    pub fn name(&self, key: EndpointKey) -> Arc<str> {
        let names = self.0.read();
        names.get(key.0).cloned().unwrap_or_else(|| "?".into())
    }
}

/// Who receives the CALLs of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteTarget {
    /// The servers behind the endpoint that the CALL leaves by.
    Servers,
    /// The connection of the user whom `__user_id__` names.
    User,
    /// The same, or without `__user_id__` every connection at the endpoint: the
    /// CALL comes from a topic.
    AllClients,
}

/// The route of CALLs to one interface, from one endpoint.
#[derive(Debug)]
pub struct Route {
    ifidx: u16,
    from: EndpointKey,
    to: EndpointKey,
    target: RouteTarget,
    /// The roles of which a caller needs one.
    allow: Option<Arc<[String]>>,
    /// `__mq_return__`, or nothing.
    mq_return: Extra,
    metrics: Arc<RouteMetrics>,
}

impl Route {
    /// The index of the interface.
    pub fn ifidx(&self) -> u16 {
        self.ifidx
    }

    /// The endpoint where CALLs arrive.
    pub fn from(&self) -> EndpointKey {
        self.from
    }

    /// The endpoint that CALLs leave by.
    pub fn to(&self) -> EndpointKey {
        self.to
    }

    /// Who receives the CALLs.
    pub fn target(&self) -> RouteTarget {
        self.target
    }

    /// The value of `__mq_return__`; empty if it is not set.
    pub fn mq_return(&self) -> &str {
        self.mq_return.get(reserved::MQ_RETURN).unwrap_or_default()
    }

    /// The roles of which a caller needs one; `None` for all callers.
    pub fn allow(&self) -> Option<&Arc<[String]>> {
        self.allow.as_ref()
    }

    /// The extra that is added to CALLs: `__mq_return__`, or nothing.
    pub(crate) fn added_extra(&self) -> &Extra {
        &self.mq_return
    }

    pub(crate) fn metrics(&self) -> &Arc<RouteMetrics> {
        &self.metrics
    }
}

/// The routes of one configuration. A reload replaces the table.
///
/// ```
/// # use tce_gateway::{config::Services, routing::{EndpointKeys, Route, RoutingTable}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let text = r#"<SNS>
///     <InterfaceDef><if id="2" name="test.Server"/></InterfaceDef>
///     <EndPoints>
///         <ep name="socket_gateway" type="socket" port="12002"/>
///         <ep name="server" type="socket" host="localhost" port="12003"/>
///     </EndPoints>
///     <servers>
///         <server name="gwserver" type="socket server">
///             <route if="test.Server"><call in="socket_gateway" out="server"/></route>
///             <properties><property name="listen" value="socket_gateway"/></properties>
///         </server>
///     </servers>
/// </SNS>"#;
/// let services = Services::parse(text, "services.xml", &[])?.services;
/// let keys = EndpointKeys::default();
/// let table = RoutingTable::new(&services, services.server("gwserver")?, &keys);
/// let from = keys.key("socket_gateway");
/// assert_eq!(table.call(2, from).map(Route::to), Some(keys.key("server")));
/// assert!(table.call(3, from).is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RoutingTable {
    calls: RouteIndex<Route>,
    returns: RouteIndex<EndpointKey>,
}

impl RoutingTable {
    /// The routes of a server.
    pub fn new(services: &Services, server: &ServerConfig, keys: &EndpointKeys) -> Self {
        let name = |id: EndpointId| services.endpoint(id).name.as_str();
        let key = |id: EndpointId| keys.key(name(id));
        let calls = hops(server, |routes| &routes.calls).map(|(ifidx, hop)| {
            let mut pairs = server.loopback.iter();
            let pair = pairs.find(|(call, _)| *call == hop.to);
            let interface = interface_name(services, ifidx);
            let route = Route {
                ifidx,
                from: key(hop.from),
                to: key(hop.to),
                target: target(services, server, hop),
                allow: hop.allow.clone(),
                mq_return: pair
                    .map(|(_, back)| (reserved::MQ_RETURN, name(*back)))
                    .into_iter()
                    .collect(),
                metrics: Arc::new(RouteMetrics::new(&server.name, &interface, name(hop.from))),
            };
            (ifidx, route.from, route)
        });
        let returns = hops(server, |routes| &routes.returns)
            .map(|(ifidx, hop)| (ifidx, key(hop.from), key(hop.to)));
        Self {
            calls: RouteIndex::new(calls),
            returns: RouteIndex::new(returns),
        }
    }

    /// The route of a CALL.
    pub fn call(&self, ifidx: u16, from: EndpointKey) -> Option<&Route> {
        self.calls.find(ifidx, from)
    }

    /// The position of the route of a CALL in [`RoutingTable::calls`].
    pub(crate) fn position(&self, ifidx: u16, from: EndpointKey) -> Option<usize> {
        self.calls.position(ifidx, from)
    }

    /// The endpoint that a RETURN leaves by, as the file says. The gateway sends
    /// it to the connection that the CALL came from.
    pub fn returns(&self, ifidx: u16, from: EndpointKey) -> Option<EndpointKey> {
        self.returns.find(ifidx, from).copied()
    }

    /// The routes of CALLs, in ascending order of interface.
    pub fn calls(&self) -> impl Iterator<Item = &Route> {
        self.calls.entries.iter().map(|(_, route)| route)
    }
}

fn hops(
    server: &ServerConfig,
    hops: impl Fn(&InterfaceRoutes) -> &[Hop],
) -> impl Iterator<Item = (u16, &Hop)> {
    server
        .routes
        .iter()
        .flat_map(move |routes| hops(routes).iter().map(|hop| (routes.ifidx, hop)))
}

fn target(services: &Services, server: &ServerConfig, hop: &Hop) -> RouteTarget {
    if !server.listen.contains(&hop.to) {
        return RouteTarget::Servers;
    }
    match &services.endpoint(hop.from).kind {
        EndpointKind::Mq(mq) if mq.address.node == NodeType::Topic => RouteTarget::AllClients,
        _ => RouteTarget::User,
    }
}

/// The name of an interface, or its index if it is not defined.
pub(crate) fn interface_name(services: &Services, ifidx: u16) -> String {
    services
        .interface(ifidx)
        .map_or_else(|| ifidx.to_string(), |interface| interface.name.clone())
}

/// Finds entries by interface and endpoint, with one array access and a scan of
/// the interface's few entries. Those of interface `i` are
/// `entries[starts[i]..starts[i + 1]]`.
#[derive(Debug)]
struct RouteIndex<T> {
    starts: Box<[usize]>,
    entries: Box<[(EndpointKey, T)]>,
}

impl<T> RouteIndex<T> {
    /// Takes entries in ascending order of interface, as [`ServerConfig`] has them.
    fn new(routes: impl IntoIterator<Item = (u16, EndpointKey, T)>) -> Self {
        let mut starts = vec![0];
        let mut entries = Vec::new();
        for (ifidx, from, entry) in routes {
            // Interfaces without entries, up to this one, start here.
            starts.resize(starts.len().max(usize::from(ifidx) + 1), entries.len());
            entries.push((from, entry));
        }
        starts.push(entries.len());
        Self {
            starts: starts.into(),
            entries: entries.into(),
        }
    }

    fn find(&self, ifidx: u16, from: EndpointKey) -> Option<&T> {
        let (_, entry) = self.entries.get(self.position(ifidx, from)?)?;
        Some(entry)
    }

    /// The position of an entry in `entries`.
    fn position(&self, ifidx: u16, from: EndpointKey) -> Option<usize> {
        let index = usize::from(ifidx);
        let (start, end) = (self.starts.get(index)?, self.starts.get(index + 1)?);
        let entries = self.entries.get(*start..*end)?;
        let offset = entries.iter().position(|(known, _)| *known == from)?;
        Some(start + offset)
    }
}
