//! Where a message goes: by its interface and the endpoint where it arrived.

mod explain;

use crate::config::{EndpointId, Hop, InterfaceRoutes, Server};

pub use explain::{UnknownInterface, explain};

/// The ways of a server's messages, laid out to be looked up for each message:
/// an index by interface, and the few hops of one.
///
/// ```
/// # use tce_gateway::{config::Services, routing::Routes};
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
    calls: Ways<EndpointId, EndpointId>,
    returns: Ways<EndpointId, EndpointId>,
}

impl Routes {
    /// The ways of that server's messages.
    pub fn new(server: &Server) -> Self {
        let ways = |hops_of: fn(&InterfaceRoutes) -> &[Hop]| {
            let routes = server.routes.iter();
            let hops = routes.flat_map(|route| {
                let hops = hops_of(route).iter();
                hops.map(|hop| (route.ifidx, hop.from, hop.to))
            });
            Ways::new(hops)
        };
        Self {
            calls: ways(|route| &route.calls),
            returns: ways(|route| &route.returns),
        }
    }

    /// The endpoint by which a CALL leaves.
    pub fn call(&self, ifidx: u16, from: EndpointId) -> Option<EndpointId> {
        self.calls.find(ifidx, from).copied()
    }

    /// The endpoint by which a RETURN leaves.
    pub fn returns(&self, ifidx: u16, from: EndpointId) -> Option<EndpointId> {
        self.returns.find(ifidx, from).copied()
    }
}

/// What lies at the end of each way, by interface and the place where the way
/// begins. Those of interface `i` are from `starts[i]` to `starts[i + 1]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ways<P, T> {
    starts: Box<[usize]>,
    ends: Box<[(P, T)]>,
}

impl<P: Copy + PartialEq, T> Ways<P, T> {
    /// `ways` by rising interface, as a [`Server`] has its routes.
    pub(crate) fn new(ways: impl IntoIterator<Item = (u16, P, T)>) -> Self {
        let mut starts = vec![0];
        let mut ends = Vec::new();
        for (ifidx, place, end) in ways {
            // Those without a way of their own begin and end here.
            starts.resize(starts.len().max(usize::from(ifidx) + 1), ends.len());
            ends.push((place, end));
        }
        starts.push(ends.len());
        Self {
            starts: starts.into(),
            ends: ends.into(),
        }
    }

    pub(crate) fn find(&self, ifidx: u16, from: P) -> Option<&T> {
        let index = usize::from(ifidx);
        let (start, end) = (self.starts.get(index)?, self.starts.get(index + 1)?);
        let ends = self.ends.get(*start..*end)?;
        ends.iter()
            .find(|(place, _)| *place == from)
            .map(|(_, end)| end)
    }

    pub(crate) fn ends(&self) -> impl Iterator<Item = &T> {
        self.ends.iter().map(|(_, end)| end)
    }
}
