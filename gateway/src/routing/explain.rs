//! The ways of one interface's messages, for people.

use tce_runtime::config::{
    NodeType,
    problem::{Report, quoted},
};

use super::Routes;
use crate::config::{EndpointId, EndpointKind, Hop, Interface, InterfaceRoutes, Server, Services};

/// A file has no interface of the name or index that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownInterface(String);

/// How a CALL to an interface goes through the gateway, how its RETURN comes
/// back, and how servers call it at clients; what has no way, and what would
/// give it one. `interface` is a name or an index.
///
/// # Errors
/// The file has no such interface.
pub fn explain(
    services: &Services,
    server: &Server,
    interface: &str,
) -> Result<String, UnknownInterface> {
    let interface = find(services, interface)?;
    let found = server
        .routes
        .iter()
        .find(|route| route.ifidx == interface.ifidx);
    let none = InterfaceRoutes {
        ifidx: interface.ifidx,
        calls: Vec::new(),
        returns: Vec::new(),
    };
    let explained = Explained {
        services,
        server,
        interface,
        route: found.unwrap_or(&none),
        routes: Routes::new(server),
    };
    Ok(explained.text())
}

fn find<'a>(services: &'a Services, asked: &str) -> Result<&'a Interface, UnknownInterface> {
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
        let suggestion = Report::new("").suggestion(asked, names());
        let right = suggestion.unwrap_or_else(|| "; define it in InterfaceDef".to_owned());
        UnknownInterface(format!("there is no interface {}{right}", quoted(asked)))
    })
}

struct Explained<'a> {
    services: &'a Services,
    server: &'a Server,
    interface: &'a Interface,
    route: &'a InterfaceRoutes,
    routes: Routes,
}

impl Explained<'_> {
    fn text(&self) -> String {
        let Interface { ifidx, name } = self.interface;
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

    fn title(&self, id: EndpointId) -> String {
        let endpoint = self.services.endpoint(id);
        format!("{} ({})", endpoint.name, endpoint.kind)
    }

    /// The way of a client's CALL, and of its RETURN.
    fn call(&self, from: EndpointId) -> Vec<String> {
        let mut lines = vec![format!("A client calls it by {}", self.title(from))];
        if self.server.properties.userid_check {
            lines.push(
                "  before its user is known: CONNECT_REJECT (a oneway call is dropped)".to_owned(),
            );
        }
        let Some(to) = self.routes.call(self.interface.ifidx, from) else {
            lines.push(
                "  no route: INTERFACE_NOTFOUND (a oneway call is dropped), unless the program \
                 itself serves it"
                    .to_owned(),
            );
            lines.push(self.proposal(&self.missing_call(from)));
            return lines;
        };
        lines.push(
            "  the gateway sets the top bit of call_id, and __user_id__ over what the client sent"
                .to_owned(),
        );
        lines.push(format!("  the CALL leaves by {}", self.title(to)));
        lines.extend(self.way_back(from, to));
        lines
    }

    fn way_back(&self, from: EndpointId, to: EndpointId) -> Vec<String> {
        let back = match &self.services.endpoint(to).kind {
            EndpointKind::Mq(_) => self.server.loopback.iter().find(|(call, _)| *call == to),
            _ => Some(&(to, to)),
        };
        let Some((_, back)) = back else {
            return vec![
                format!(
                    "  no RETURN: `loopback` names no queue for {}, so that __mq_return__ is not \
                     set; a twoway call ends by TIMEOUT after {} s",
                    self.name(to),
                    self.server.properties.call_time.as_secs_f64(),
                ),
                format!("  a way back would be {}#… in `loopback`", self.name(to)),
            ];
        };
        let mut lines = Vec::new();
        if *back == to {
            lines.push("  the RETURN comes back on the same connection".to_owned());
        } else {
            lines.push(format!("    with __mq_return__ = {}", self.name(*back)));
            lines.push(format!("  the RETURN comes by {}", self.title(*back)));
            if self.routes.returns(self.interface.ifidx, *back).is_none() {
                let row = row("return", self.name(*back), self.name(from));
                lines.push(format!(
                    "    from where no row routes it; that would be {row}"
                ));
            }
        }
        lines.push(format!(
            "  and goes to the connection of __user_id__, if it still is there; none after {} s \
             is TIMEOUT",
            self.server.properties.call_time.as_secs_f64(),
        ));
        lines
    }

    /// The ways of servers' CALLs to clients.
    fn pushes(&self) -> Vec<String> {
        let mut lines = vec!["A server calls it at clients, oneway".to_owned()];
        let is_clients = |hop: &&Hop| self.server.listen.contains(&hop.to);
        for hop in self.route.calls.iter().filter(is_clients) {
            lines.push(format!("  by {}", self.title(hop.from)));
            let to = self.name(hop.to);
            lines.push(if self.is_topic(hop.from) {
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

    fn is_topic(&self, id: EndpointId) -> bool {
        let kind = &self.services.endpoint(id).kind;
        matches!(kind, EndpointKind::Mq(queue) if queue.address.node == NodeType::Topic)
    }

    fn proposal(&self, row: &str) -> String {
        let name = &self.interface.name;
        format!("  a route would be <route if=\"{name}\">{row}</route>")
    }

    /// A row for a client's CALL, to where others go from there.
    fn missing_call(&self, from: EndpointId) -> String {
        let mut hops = self.server.routes.iter().flat_map(|route| &route.calls);
        let other = hops.find(|hop| hop.from == from);
        row(
            "call",
            self.name(from),
            other.map_or("…", |hop| self.name(hop.to)),
        )
    }

    /// A row for a server's CALL, from where others come.
    fn missing_push(&self) -> String {
        let listen = self.server.listen.first();
        let ways = self.server.routes.iter();
        let mut hops = ways.flat_map(|route| route.returns.iter().chain(&route.calls));
        let other = hops.find(|hop| Some(&hop.to) == listen);
        let from = other.map_or("…", |hop| self.name(hop.from));
        row("call", from, listen.map_or("…", |id| self.name(*id)))
    }
}

fn row(element: &str, from: &str, to: &str) -> String {
    format!("<{element} in=\"{from}\" out=\"{to}\"/>")
}
