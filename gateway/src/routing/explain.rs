//! The routes of one interface as text.

use tce_runtime::config::problem::{ProblemReport, quoted};

use super::{EndpointKey, EndpointKeys, Route, RouteTarget, RoutingTable};
use crate::config::{EndpointId, EndpointKind, ServerConfig, ServiceInterface, Services};

/// The file has no interface of the given name or index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownInterface(String);

/// Describes the routes of an interface: of CALLs and their RETURNs, and of CALLs
/// from servers to clients. Proposes a row for each missing route. `interface` is
/// a name or an index.
///
/// # Errors
/// The file has no such interface.
pub fn explain(
    services: &Services,
    server: &ServerConfig,
    interface: &str,
) -> Result<String, UnknownInterface> {
    let interface = find(services, interface)?;
    let keys = EndpointKeys::default();
    let explanation = Explanation {
        table: RoutingTable::new(services, server, &keys),
        keys,
        services,
        server,
        interface,
    };
    Ok(explanation.text())
}

fn find<'a>(services: &'a Services, asked: &str) -> Result<&'a ServiceInterface, UnknownInterface> {
    let by_index = asked
        .parse()
        .ok()
        .and_then(|ifidx| services.interface(ifidx));
    let mut interfaces = services.interfaces.iter();
    let found = by_index.or_else(|| interfaces.find(|interface| interface.name == asked));
    found.ok_or_else(|| {
        let names = || {
            services
                .interfaces
                .iter()
                .map(|interface| interface.name.as_str())
        };
        let suggestion = ProblemReport::new("").suggestion(asked, names());
        let hint = suggestion.unwrap_or_else(|| "; define it in InterfaceDef".to_owned());
        UnknownInterface(format!("there is no interface {}{hint}", quoted(asked)))
    })
}

struct Explanation<'a> {
    services: &'a Services,
    server: &'a ServerConfig,
    interface: &'a ServiceInterface,
    keys: EndpointKeys,
    table: RoutingTable,
}

impl Explanation<'_> {
    fn text(&self) -> String {
        let ServiceInterface { ifidx, name } = self.interface;
        let mut lines = vec![format!(
            "{name} (interface {ifidx}) at server {}",
            self.server.name
        )];
        for from in &self.server.listen {
            lines.push(String::new());
            lines.extend(self.call(*from));
        }
        lines.push(String::new());
        lines.extend(self.pushes());
        lines.push(String::new());
        lines.join("\n")
    }

    fn name(&self, id: EndpointId) -> &str {
        &self.services.endpoint(id).name
    }

    /// The name, transport and address of an endpoint.
    fn title(&self, name: &str) -> String {
        let mut endpoints = self.services.endpoints.iter();
        let kind = endpoints
            .find(|endpoint| endpoint.name == name)
            .map(|endpoint| endpoint.kind.to_string());
        format!("{name} ({})", kind.unwrap_or_default())
    }

    fn title_of(&self, key: EndpointKey) -> String {
        self.title(&self.keys.name(key))
    }

    /// The route of a client's CALL, and of its RETURN.
    fn call(&self, from: EndpointId) -> Vec<String> {
        let name = self.name(from);
        let mut lines = vec![format!("A client calls it by {}", self.title(name))];
        if self.server.properties.userid_check {
            lines.push(
                "  before its user is known: CONNECT_REJECT (a oneway call is dropped)".to_owned(),
            );
        }
        let key = self.keys.key(name);
        let Some(route) = self.table.call(self.interface.ifidx, key) else {
            lines.push(
                "  no route: INTERFACE_NOTFOUND (a oneway call is dropped), unless the program \
                 itself serves it"
                    .to_owned(),
            );
            lines.push(self.proposal(&self.missing_call(from)));
            return lines;
        };
        if let Some(roles) = route.allow() {
            let roles = roles.join(", ");
            lines.push(format!(
                "  without one of these roles: CONNECT_REJECT (a oneway call is dropped): {roles}"
            ));
        }
        lines.push(
            "  the gateway sets the top bit of call_id, and __user_id__ to the user of the client"
                .to_owned(),
        );
        lines.push(format!(
            "  the CALL leaves by {}",
            self.title_of(route.to())
        ));
        lines.extend(self.return_of(name, route));
        lines
    }

    /// The route of the RETURN to a CALL that arrived by `from`.
    fn return_of(&self, from: &str, route: &Route) -> Vec<String> {
        let call_time = self.server.properties.call_time.as_secs_f64();
        let mut lines = Vec::new();
        if !route.mq_return().is_empty() {
            let back = route.mq_return();
            lines.push(format!("    with __mq_return__ = {back}"));
            lines.push(format!("  the RETURN arrives by {}", self.title(back)));
            let key = self.keys.key(back);
            if self.table.returns(route.ifidx(), key).is_none() {
                let row = row("return", back, from);
                lines.push(format!(
                    "    without a row that routes it; to add one: {row}"
                ));
            }
        } else if self.is_queue(route.to()) {
            let to = self.keys.name(route.to());
            return vec![
                format!(
                    "  no RETURN: `loopback` names no queue for {to}, so that __mq_return__ is not \
                     set; a twoway call ends by TIMEOUT after {call_time} s"
                ),
                format!("  to receive RETURNs, add {to}#… to `loopback`"),
            ];
        } else {
            lines.push("  the RETURN arrives by the same connection".to_owned());
        }
        lines.push(format!(
            "  and goes to the connection of __user_id__, unless it has closed; without a RETURN \
             within {call_time} s the call ends by TIMEOUT"
        ));
        lines
    }

    fn is_queue(&self, key: EndpointKey) -> bool {
        let name = self.keys.name(key);
        let mut endpoints = self.services.endpoints.iter();
        endpoints
            .any(|endpoint| endpoint.name == *name && matches!(endpoint.kind, EndpointKind::Mq(_)))
    }

    /// The routes of CALLs from servers to clients.
    fn pushes(&self) -> Vec<String> {
        let mut lines = vec!["A server calls it at clients, oneway".to_owned()];
        let routes = self.table.calls().filter(|route| {
            route.ifidx() == self.interface.ifidx && route.target() != RouteTarget::Servers
        });
        for route in routes {
            lines.push(format!("  by {}", self.title_of(route.from())));
            let to = self.keys.name(route.to());
            lines.push(if route.target() == RouteTarget::AllClients {
                format!(
                    "    to the connection of __user_id__ at {to}; without __user_id__ to every \
                     connection there"
                )
            } else {
                format!("    to the connection of __user_id__ at {to}")
            });
        }
        if lines.len() == 1 {
            let without =
                "  no route: it goes to the connection of __user_id__, and is dropped without one";
            lines.push(without.to_owned());
            lines.push(self.proposal(&self.missing_push()));
        }
        lines
    }

    fn proposal(&self, row: &str) -> String {
        let name = &self.interface.name;
        format!("  to add a route: <route if=\"{name}\">{row}</route>")
    }

    /// A row for a client's CALL, with the `out` of another interface's row.
    fn missing_call(&self, from: EndpointId) -> String {
        let routes = self.server.routes.iter();
        let mut hops = routes.flat_map(|routes| &routes.calls);
        let other = hops.find(|hop| hop.from == from);
        row(
            "call",
            self.name(from),
            other.map_or("…", |hop| self.name(hop.to)),
        )
    }

    /// A row for a server's CALL, with the `in` of another row to clients.
    fn missing_push(&self) -> String {
        let listen = self.server.listen.first();
        let routes = self.server.routes.iter();
        let mut hops = routes.flat_map(|routes| routes.returns.iter().chain(&routes.calls));
        let other = hops.find(|hop| Some(&hop.to) == listen);
        let from = other.map_or("…", |hop| self.name(hop.from));
        row("call", from, listen.map_or("…", |id| self.name(*id)))
    }
}

fn row(element: &str, from: &str, to: &str) -> String {
    format!("<{element} in=\"{from}\" out=\"{to}\"/>")
}
