//! The routes of a server, and the role that each endpoint has in them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tce_runtime::config::problem::quoted;

use super::{
    definitions::{Definitions, EndpointRef, Endpoints},
    endpoint::Family,
    xml::{Reporter, XmlAttribute, XmlElement},
};
use crate::config::{
    endpoint::{EndpointId, EndpointKind},
    services::{Hop, InterfaceRoutes},
};

/// The kind of message that a row routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    Call,
    Return,
}

/// A `call` or `return` row whose names are all defined.
#[derive(Debug, Clone, Copy)]
pub(super) struct RouteElement<'a> {
    pub(super) direction: Direction,
    pub(super) ifidx: u16,
    /// The interface's name.
    pub(super) interface: &'a str,
    pub(super) from: EndpointRef<'a>,
    pub(super) to: EndpointRef<'a>,
    /// The roles that may call; `None` for all callers.
    pub(super) allow: Option<XmlAttribute<'a>>,
    pub(super) at: usize,
}

/// The rows of these `route` elements that have no mistakes, and whether all
/// have none; reports mistakes.
pub(super) fn read_rows<'a>(
    routes: &[XmlElement<'a>],
    definitions: &Definitions<'_>,
    reporter: &mut Reporter<'_, '_>,
) -> (Vec<RouteElement<'a>>, bool) {
    let mut rows = Vec::new();
    let mut is_complete = true;
    let mut seen = HashMap::new();
    for route in routes {
        route.warn_unknown_attributes(&["if", ALLOW], reporter);
        let interface = route.require("if", "test.Server", reporter);
        let ifidx = interface.and_then(|name| definitions.interfaces.find(name, reporter));
        let allow = read_allow(*route, reporter);
        for element in route.children(&["call", "return"], reporter) {
            // Endpoints are checked even if the interface is wrong.
            let ends = ends(element, definitions, reporter);
            let (Some(interface), Some(ifidx), Some((from, to))) = (interface, ifidx, ends) else {
                is_complete = false;
                continue;
            };
            let direction = if element.is("call") {
                Direction::Call
            } else {
                Direction::Return
            };
            let row = RouteElement {
                direction,
                ifidx,
                interface: interface.text,
                from,
                to,
                allow,
                at: element.at(),
            };
            let first: &mut RouteElement<'_> =
                seen.entry((direction, ifidx, from.id)).or_insert(row);
            if first.at == row.at {
                rows.push(row);
            } else {
                report_duplicate(&row, first, reporter);
            }
        }
    }
    (rows, is_complete)
}

/// The attribute with the roles that may call an interface.
const ALLOW: &str = "allow";

/// The roles that a route allows; reports an attribute that names none: it must not open
/// the route to everybody.
fn read_allow<'a>(
    route: XmlElement<'a>,
    reporter: &mut Reporter<'_, '_>,
) -> Option<XmlAttribute<'a>> {
    let allow = route.attribute(ALLOW);
    let names_one = |allow: XmlAttribute<'_>| allow.list().next().is_some();
    if route.has_attribute(ALLOW) && !allow.is_some_and(names_one) {
        let hint = "write allow=\"role1,role2\", or remove it to let all users call";
        reporter.error(route.at(), format!("`allow` names no role; {hint}"));
    }
    allow
}

fn ends<'a>(
    element: XmlElement<'a>,
    definitions: &Definitions<'_>,
    reporter: &mut Reporter<'_, '_>,
) -> Option<(EndpointRef<'a>, EndpointRef<'a>)> {
    element.warn_unknown_attributes(&["in", "out"], reporter);
    let mut end = |attribute, example| {
        let name = element.require(attribute, example, reporter)?;
        definitions.endpoints.resolve(name, reporter)
    };
    let ends = if element.is("call") {
        (end("in", "socket_gateway"), end("out", "mq_server"))
    } else {
        (end("in", "mq_gateway"), end("out", "socket_gateway"))
    };
    Some((ends.0?, ends.1?))
}

fn report_duplicate(
    row: &RouteElement<'_>,
    first: &RouteElement<'_>,
    reporter: &mut Reporter<'_, '_>,
) {
    let messages = match row.direction {
        Direction::Call => "CALLs",
        Direction::Return => "RETURNs",
    };
    let line = reporter.line(first.at);
    let (interface, from) = (quoted(row.interface), quoted(row.from.name));
    let message =
        format!("{messages} of {interface} from {from} are already routed on line {line}");
    let roles = |row: &RouteElement<'_>| {
        let roles = row.allow.into_iter().flat_map(XmlAttribute::list);
        roles.map(|role| role.text.to_owned()).collect::<Vec<_>>()
    };
    if roles(row) != roles(first) {
        // Otherwise the first one would decide who may call.
        reporter.error(
            row.at,
            format!("{message}, with another `allow`; remove one"),
        );
    } else if row.to.id == first.to.id {
        reporter.warn(row.at, message);
    } else {
        let (to, other) = (quoted(row.to.name), quoted(first.to.name));
        reporter.error(
            row.at,
            format!("{message}: to {other}, not to {to}; remove one"),
        );
    }
}

/// The routes of each interface, in ascending order of index.
pub(super) fn collect_routes(rows: &[RouteElement<'_>]) -> Vec<InterfaceRoutes> {
    let mut routes: BTreeMap<u16, InterfaceRoutes> = BTreeMap::new();
    for row in rows {
        let route = routes.entry(row.ifidx).or_insert_with(|| InterfaceRoutes {
            ifidx: row.ifidx,
            calls: Vec::new(),
            returns: Vec::new(),
        });
        let allow = row.allow.filter(|_| row.direction == Direction::Call);
        let hop = Hop {
            from: row.from.id,
            to: row.to.id,
            allow: allow.map(|allow| {
                let roles = allow.list().map(|role| role.text.to_owned());
                roles.collect()
            }),
        };
        match row.direction {
            Direction::Call => route.calls.push(hop),
            Direction::Return => route.returns.push(hop),
        }
    }
    routes.into_values().collect()
}

/// The role of an endpoint for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Clients connect to it.
    Clients,
    /// A queue or topic, with servers behind it.
    Queue,
    /// A socket outside `listen`: a server's, or a mistake.
    Socket,
    /// A WebSocket outside `listen`: a mistake.
    WebSocket,
}

/// The role of each endpoint for a server.
#[derive(Debug)]
pub(super) struct EndpointRoles<'e> {
    endpoints: &'e Endpoints,
    pub(super) listen: Vec<EndpointId>,
    /// Whether `listen` has mistakes, so that any socket may be meant to be in
    /// it.
    pub(super) is_listen_incomplete: bool,
    /// Whether other elements that open endpoints have mistakes.
    pub(super) is_incomplete: bool,
    pub(super) reads: BTreeSet<EndpointId>,
    pub(super) writes: BTreeSet<EndpointId>,
    pub(super) upstreams: BTreeSet<EndpointId>,
}

impl<'e> EndpointRoles<'e> {
    /// The roles that `listen` gives: sockets for clients, and queues to read.
    pub(super) fn listen(
        names: Option<XmlAttribute<'_>>,
        endpoints: &'e Endpoints,
        reporter: &mut Reporter<'_, '_>,
    ) -> Self {
        let mut roles = Self {
            endpoints,
            listen: Vec::new(),
            is_listen_incomplete: false,
            is_incomplete: false,
            reads: BTreeSet::new(),
            writes: BTreeSet::new(),
            upstreams: BTreeSet::new(),
        };
        for name in names.into_iter().flat_map(XmlAttribute::list) {
            let Some(named) = endpoints.resolve(name, reporter) else {
                roles.is_listen_incomplete = true;
                continue;
            };
            if endpoints.family(named.id) == Some(Family::Mq) {
                roles.reads.insert(named.id);
            } else if roles.listen.contains(&named.id) {
                let name = quoted(named.name);
                reporter.warn(named.at, format!("{name} is in `listen` twice"));
            } else {
                roles.listen.push(named.id);
            }
        }
        roles
    }

    /// Adds the queues that an `extra_mqs` opens.
    pub(super) fn open(&mut self, element: XmlElement<'_>, reporter: &mut Reporter<'_, '_>) {
        element.warn_unknown_attributes(&["ins", "outs"], reporter);
        for (attribute, opened) in [("ins", &mut self.reads), ("outs", &mut self.writes)] {
            let names = element.attribute(attribute);
            for name in names.into_iter().flat_map(XmlAttribute::list) {
                let Some(named) = self.endpoints.resolve(name, reporter) else {
                    self.is_incomplete = true;
                    continue;
                };
                match self.endpoints.family(named.id) {
                    Some(Family::Mq) => {
                        opened.insert(named.id);
                    }
                    Some(Family::Socket | Family::WebSocket) => {
                        let name = quoted(named.name);
                        reporter.error(
                            named.at,
                            format!("{name} is not a queue; `{attribute}` opens queues and topics only, and `listen` names what clients connect to"),
                        );
                    }
                    None => {}
                }
            }
        }
    }

    /// Returns `None` if a reported mistake leaves the role open: then nothing
    /// about the endpoint is reported.
    fn role(&self, id: EndpointId) -> Option<Role> {
        let family = self.endpoints.family(id)?;
        Some(match family {
            Family::Mq => Role::Queue,
            _ if self.listen.contains(&id) => Role::Clients,
            _ if self.is_listen_incomplete => return None,
            Family::Socket => Role::Socket,
            Family::WebSocket => Role::WebSocket,
        })
    }
}

impl EndpointRoles<'_> {
    /// Opens the endpoints of the rows and returns those that work; reports why
    /// the others don't.
    pub(super) fn check_rows<'a>(
        &mut self,
        rows: Vec<RouteElement<'a>>,
        reporter: &mut Reporter<'_, '_>,
    ) -> Vec<RouteElement<'a>> {
        // The calls of clients make a socket a server's. Only when all of them
        // are known is it clear whether a row may come from a socket.
        let (outwards, inwards): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|row| self.role(row.from.id) == Some(Role::Clients));
        let mut kept: Vec<_> = outwards
            .into_iter()
            .filter(|row| self.check_outwards(row, reporter))
            .collect();
        kept.extend(
            inwards
                .into_iter()
                .filter(|row| self.check_inwards(row, reporter)),
        );
        kept
    }

    /// Checks a row from clients to servers.
    fn check_outwards(&mut self, row: &RouteElement<'_>, reporter: &mut Reporter<'_, '_>) -> bool {
        let to = quoted(row.to.name);
        if row.direction == Direction::Return {
            let why = "this row has no effect: calls of servers to clients are oneway, so clients send \
                       no RETURN";
            reporter.warn(row.at, why);
            return false;
        }
        let message = match self.role(row.to.id) {
            Some(Role::Queue) => {
                self.writes.insert(row.to.id);
                return true;
            }
            Some(Role::Socket) => {
                self.add_upstream(row.to.id, reporter);
                return true;
            }
            None => return true,
            Some(Role::Clients) => format!(
                "{to} is in `listen`, where clients connect, as `in` is; write the queue or socket \
                 of the server that is called"
            ),
            Some(Role::WebSocket) => format!(
                "{to} is a WebSocket, which is for clients only; servers are reached by a queue or \
                 a socket"
            ),
        };
        reporter.error(row.to.at, message);
        self.is_incomplete = true;
        false
    }

    /// Checks a row from servers to clients.
    fn check_inwards(&mut self, row: &RouteElement<'_>, reporter: &mut Reporter<'_, '_>) -> bool {
        let (from, to) = (quoted(row.from.name), quoted(row.to.name));
        match self.role(row.from.id) {
            Some(Role::Queue) => {
                self.reads.insert(row.from.id);
            }
            Some(Role::Socket | Role::WebSocket)
                if !self.is_incomplete && !self.upstreams.contains(&row.from.id) =>
            {
                let message = format!(
                    "no message arrives by {from}: it is not in `listen`, and no CALL goes to it; \
                     add it to `listen`"
                );
                reporter.error(row.from.at, message);
                return false;
            }
            Some(_) => {}
            None => return true,
        }
        if matches!(self.role(row.to.id), Some(Role::Clients) | None) {
            return true;
        }
        let what = match row.direction {
            Direction::Call => "CALL",
            Direction::Return => "RETURN",
        };
        let message = format!(
            "a {what} from {from} goes to clients, but {to} is not in `listen`; write an \
             endpoint of `listen`"
        );
        reporter.error(row.to.at, message);
        self.is_incomplete = true;
        false
    }

    /// Adds a server's socket to connect to.
    pub(super) fn add_upstream(&mut self, id: EndpointId, reporter: &mut Reporter<'_, '_>) {
        if !self.upstreams.insert(id) {
            return;
        }
        let defined = self.endpoints.defined(id);
        let any_port = matches!(
            self.endpoints.kind(id),
            Some(EndpointKind::Socket { hosts, .. }) if hosts.iter().any(|host| host.port == 0)
        );
        for (missing, is_missing, example) in [
            ("host", !defined.has_host, "localhost"),
            ("port", any_port, "12003"),
        ] {
            if is_missing {
                let name = quoted(self.endpoints.name(id));
                let message = format!(
                    "{name} is the socket of a server, but has no `{missing}` to connect to; write \
                     {missing}=\"{example}\""
                );
                reporter.error(defined.at, message);
            }
        }
    }
}
