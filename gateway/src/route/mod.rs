//! Where a message goes: by its interface and the endpoint where it arrived.

mod explain;

use crate::config::{EndpointId, Hop, Route, Server};

pub use explain::{UnknownInterface, explain};

/// The ways of a server's messages, laid out to be looked up for each message:
/// an index by interface, and the few hops of one.
///
/// ```
/// # use tce_gateway::{config::Services, route::Routes};
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
/// let gateway = services.server("gwserver")?;
/// let routes = Routes::new(gateway);
/// assert_eq!(routes.call(2, gateway.listen[0]), Some(gateway.backends[0]));
/// assert_eq!(routes.call(3, gateway.listen[0]), None);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    calls: Table,
    returns: Table,
}

impl Routes {
    /// The ways of that server's messages.
    pub fn new(server: &Server) -> Self {
        Self {
            calls: Table::new(&server.routes, |route| &route.calls),
            returns: Table::new(&server.routes, |route| &route.returns),
        }
    }

    /// The endpoint by which a CALL leaves.
    pub fn call(&self, ifidx: u16, from: EndpointId) -> Option<EndpointId> {
        self.calls.find(ifidx, from)
    }

    /// The endpoint by which a RETURN leaves.
    pub fn returns(&self, ifidx: u16, from: EndpointId) -> Option<EndpointId> {
        self.returns.find(ifidx, from)
    }
}

/// The hops of interface `i` are those from `starts[i]` to `starts[i + 1]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    starts: Box<[usize]>,
    hops: Box<[Hop]>,
}

impl Table {
    /// `routes` by rising index, as a [`Server`] has them.
    fn new(routes: &[Route], hops_of: impl Fn(&Route) -> &[Hop]) -> Self {
        let mut starts = vec![0];
        let mut hops = Vec::new();
        for route in routes {
            starts.resize(usize::from(route.ifidx) + 1, hops.len());
            hops.extend_from_slice(hops_of(route));
            starts.push(hops.len());
        }
        Self {
            starts: starts.into(),
            hops: hops.into(),
        }
    }

    fn find(&self, ifidx: u16, from: EndpointId) -> Option<EndpointId> {
        let place = usize::from(ifidx);
        let (start, end) = (self.starts.get(place)?, self.starts.get(place + 1)?);
        let hops = self.hops.get(*start..*end)?;
        hops.iter().find(|hop| hop.from == from).map(|hop| hop.to)
    }
}
