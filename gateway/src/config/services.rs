//! The checked configuration: immutable, with ids instead of names.

use std::{collections::BTreeSet, sync::Arc};

use tce_runtime::config::problem::Location;

use super::{
    endpoint::{EndpointId, ServiceEndpoint},
    overrides::ValueOrigin,
    properties::{PROPERTIES, Properties},
};

/// All of a `services.xml` (`spec/gateway.md`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Services {
    /// The interfaces that routes may name, in ascending order of index.
    pub interfaces: Vec<ServiceInterface>,
    /// All endpoints, in the order of the file; an [`EndpointId`] is an index
    /// into it.
    pub endpoints: Vec<ServiceEndpoint>,
    /// The locations of the endpoints in the file, in the same order.
    pub endpoint_locations: Vec<Location>,
    /// The gateways that the file configures.
    pub servers: Vec<ServerConfig>,
}

/// An interface whose messages the gateway routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInterface {
    /// Its index on the wire; never 65535, the index of the built-in interface.
    pub ifidx: u16,
    /// `module.Interface`
    pub name: String,
}

/// The configuration of one gateway, which is started by its name.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// The name, for example `gwserver`.
    pub name: String,
    /// The location in the file.
    pub location: Location,
    /// The sockets and WebSockets that clients connect to; at least one.
    pub listen: Vec<EndpointId>,
    /// The routes of each interface, in ascending order of index.
    pub routes: Vec<InterfaceRoutes>,
    /// Pairs of queues: a CALL sent to the first asks for its RETURN by the
    /// second (`__mq_return__`). At most one pair for each first.
    pub loopback: Vec<(EndpointId, EndpointId)>,
    /// The MQ endpoints to read from.
    pub reads: Vec<EndpointId>,
    /// The MQ endpoints to write to.
    pub writes: Vec<EndpointId>,
    /// The sockets of servers to connect to.
    pub upstreams: Vec<EndpointId>,
    /// All other settings.
    pub properties: Properties,
    /// Where each property's value comes from, in the order of
    /// [`PROPERTIES`](super::PROPERTIES).
    pub origins: Vec<ValueOrigin>,
}

impl ServerConfig {
    /// The endpoints that the server uses.
    pub(super) fn endpoints(&self) -> BTreeSet<EndpointId> {
        let routes = self.routes.iter();
        let hops = routes.flat_map(|routes| routes.calls.iter().chain(&routes.returns));
        let pairs = self.loopback.iter();
        [&self.listen, &self.reads, &self.writes, &self.upstreams]
            .into_iter()
            .flatten()
            .copied()
            .chain(hops.flat_map(|hop| [hop.from, hop.to]))
            .chain(pairs.flat_map(|(call, back)| [*call, *back]))
            .collect()
    }

    /// Where the value of a property comes from.
    pub(crate) fn origin(&self, property: &str) -> ValueOrigin {
        let row = PROPERTIES.iter().position(|row| row.name == property);
        row.map_or(ValueOrigin::Default, |row| self.origins[row])
    }
}

/// The routes of one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceRoutes {
    /// The interface's index.
    pub ifidx: u16,
    /// The routes of CALLs; at most one from each endpoint.
    pub calls: Vec<Hop>,
    /// The routes of RETURNs; at most one from each endpoint.
    pub returns: Vec<Hop>,
}

/// One route: the endpoint where a message arrives, and the one it leaves by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// `in`
    pub from: EndpointId,
    /// `out`
    pub to: EndpointId,
    /// `allow`: the roles of which a caller needs one; `None` for all callers.
    pub allow: Option<Arc<[String]>>,
}

/// The file has no server of the given name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownServer(pub(super) String);
