//! The configuration as it is used: checked, immutable, ids instead of names.

use super::{Endpoint, EndpointId, Origin, Properties};

/// All of a `services.xml` (`spec/gateway.md`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Services {
    /// The interfaces that routes may name, by rising index.
    pub interfaces: Vec<Interface>,
    /// All endpoints, in the order of the file: an [`EndpointId`] is a place
    /// in it.
    pub endpoints: Vec<Endpoint>,
    /// The gateways that can be started with this file.
    pub servers: Vec<Server>,
}

/// An interface that travels through the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its index on the wire; never 65535, which is the built-in interface's.
    pub ifidx: u16,
    /// `module.Interface`
    pub name: String,
}

/// One gateway's configuration: a process is started with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// `gwserver`
    pub name: String,
    /// The sockets and WebSockets that clients connect to; at least one.
    pub listen: Vec<EndpointId>,
    /// Where messages go, an interface each.
    pub routes: Vec<Route>,
    /// What is sent to the first of a pair gets its RETURN by the second
    /// (`__mq_return__`); one pair at most for each first.
    pub loopback: Vec<(EndpointId, EndpointId)>,
    /// The MQ endpoints to read from.
    pub reads: Vec<EndpointId>,
    /// The MQ endpoints to write to.
    pub writes: Vec<EndpointId>,
    /// The direct backends: sockets to connect to.
    pub backends: Vec<EndpointId>,
    /// Everything else.
    pub properties: Properties,
    /// Where each property's value comes from, in the order of
    /// [`PROPERTIES`](super::PROPERTIES).
    pub origins: Vec<Origin>,
}

/// The ways of one interface's messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The interface's index.
    pub ifidx: u16,
    /// The ways of CALLs; one at most from each endpoint.
    pub calls: Vec<Hop>,
    /// The ways of RETURNs; one at most from each endpoint.
    pub returns: Vec<Hop>,
}

/// From the endpoint where a message arrives to the one by which it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// `in`
    pub from: EndpointId,
    /// `out`
    pub to: EndpointId,
}

/// A file has no server of the name that a process was started with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownServer(pub(super) String);
