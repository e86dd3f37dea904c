//! What a server does with which endpoint.

use std::collections::BTreeSet;

use tce_runtime::config::problem::quoted;

use super::{
    definitions::Endpoints,
    endpoint::Family,
    routes::{Direction, Row},
    xml::{Attribute, Element, Sink},
};
use crate::config::{EndpointId, EndpointKind};

/// What an endpoint is to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Clients connect to it.
    Clients,
    /// Servers are behind it, at a broker.
    Queue,
    /// A socket that is not listened on: a server's, or a slip.
    Socket,
    /// A WebSocket that is not listened on: a slip.
    WebSocket,
}

/// What a server does with which endpoint.
#[derive(Debug)]
pub(super) struct Uses<'e> {
    endpoints: &'e Endpoints,
    pub(super) listen: Vec<EndpointId>,
    /// Whether `listen` is not right, so that any socket may be meant to be in
    /// it.
    pub(super) listen_broken: bool,
    /// Whether that is so of anything else that opens endpoints.
    pub(super) broken: bool,
    pub(super) reads: BTreeSet<EndpointId>,
    pub(super) writes: BTreeSet<EndpointId>,
    pub(super) backends: BTreeSet<EndpointId>,
}

impl<'e> Uses<'e> {
    /// What `listen` says: sockets for clients, and queues to read.
    pub(super) fn listen(
        names: Option<Attribute<'_>>,
        endpoints: &'e Endpoints,
        sink: &mut Sink<'_, '_>,
    ) -> Self {
        let mut uses = Self {
            endpoints,
            listen: Vec::new(),
            listen_broken: false,
            broken: false,
            reads: BTreeSet::new(),
            writes: BTreeSet::new(),
            backends: BTreeSet::new(),
        };
        for name in names.into_iter().flat_map(Attribute::list) {
            let Some(named) = endpoints.named(name, sink) else {
                uses.listen_broken = true;
                continue;
            };
            if endpoints.family(named.id) == Some(Family::Mq) {
                uses.reads.insert(named.id);
            } else if uses.listen.contains(&named.id) {
                let name = quoted(named.name);
                sink.warn(named.at, format!("{name} is in `listen` twice"));
            } else {
                uses.listen.push(named.id);
            }
        }
        uses
    }

    /// Takes what an `extra_mqs` opens.
    pub(super) fn open(&mut self, element: Element<'_>, sink: &mut Sink<'_, '_>) {
        element.know_attributes(&["ins", "outs"], sink);
        for (attribute, opened) in [("ins", &mut self.reads), ("outs", &mut self.writes)] {
            let names = element.attribute(attribute);
            for name in names.into_iter().flat_map(Attribute::list) {
                let Some(named) = self.endpoints.named(name, sink) else {
                    self.broken = true;
                    continue;
                };
                match self.endpoints.family(named.id) {
                    Some(Family::Mq) => {
                        opened.insert(named.id);
                    }
                    Some(Family::Socket | Family::WebSocket) => {
                        let name = quoted(named.name);
                        sink.error(
                            named.at,
                            format!("{name} is no queue, which is all that `{attribute}` opens; clients connect to what `listen` names"),
                        );
                    }
                    None => {}
                }
            }
        }
    }

    /// None where that can't be told for a mistake that is reported: what is
    /// said of the endpoint then is let pass.
    fn role(&self, id: EndpointId) -> Option<Role> {
        let family = self.endpoints.family(id)?;
        Some(match family {
            Family::Mq => Role::Queue,
            _ if self.listen.contains(&id) => Role::Clients,
            _ if self.listen_broken => return None,
            Family::Socket => Role::Socket,
            Family::WebSocket => Role::WebSocket,
        })
    }
}

impl Uses<'_> {
    /// The rows that work, and opens what they go by; of the others it is told
    /// why they don't.
    pub(super) fn route<'a>(
        &mut self,
        rows: Vec<Row<'a>>,
        sink: &mut Sink<'_, '_>,
    ) -> Vec<Row<'a>> {
        // A backend is what calls of clients go to: whether a row may come from
        // one is known when all these are.
        let (outwards, inwards): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|row| self.role(row.from.id) == Some(Role::Clients));
        let mut kept: Vec<_> = outwards
            .into_iter()
            .filter(|row| self.check_outwards(row, sink))
            .collect();
        kept.extend(
            inwards
                .into_iter()
                .filter(|row| self.check_inwards(row, sink)),
        );
        kept
    }

    /// A row from where clients are.
    fn check_outwards(&mut self, row: &Row<'_>, sink: &mut Sink<'_, '_>) -> bool {
        let to = quoted(row.to.name);
        if row.direction == Direction::Return {
            let why = "this row does nothing: what servers send to clients is oneway, so that \
                       clients send no RETURN";
            sink.warn(row.at, why);
            return false;
        }
        let wrong = match self.role(row.to.id) {
            Some(Role::Queue) => {
                self.writes.insert(row.to.id);
                return true;
            }
            Some(Role::Socket) => {
                self.add_backend(row.to.id, sink);
                return true;
            }
            None => return true,
            Some(Role::Clients) => format!(
                "clients are at both ends: {to} is in `listen`, as `in` is; write the queue or \
                 socket of the server that is called"
            ),
            Some(Role::WebSocket) => format!(
                "{to} is a WebSocket, by which clients come; servers are reached by a queue or a \
                 socket"
            ),
        };
        sink.error(row.to.at, wrong);
        self.broken = true;
        false
    }

    /// A row from where servers are.
    fn check_inwards(&mut self, row: &Row<'_>, sink: &mut Sink<'_, '_>) -> bool {
        let (from, to) = (quoted(row.from.name), quoted(row.to.name));
        match self.role(row.from.id) {
            Some(Role::Queue) => {
                self.reads.insert(row.from.id);
            }
            Some(Role::Socket | Role::WebSocket)
                if !self.broken && !self.backends.contains(&row.from.id) =>
            {
                let message = format!(
                    "nothing arrives by {from}: it is not in `listen`, and no CALL goes to it; \
                     add it to `listen`"
                );
                sink.error(row.from.at, message);
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
            "a {what} from {from} goes to clients, and none are at {to}, which is not in \
             `listen`; write an endpoint of `listen`"
        );
        sink.error(row.to.at, message);
        self.broken = true;
        false
    }

    /// Connects to a server's socket.
    pub(super) fn add_backend(&mut self, id: EndpointId, sink: &mut Sink<'_, '_>) {
        if !self.backends.insert(id) {
            return;
        }
        let defined = self.endpoints.defined(id);
        let any_port = matches!(
            self.endpoints.kind(id),
            Some(EndpointKind::Socket { hosts, .. }) if hosts.iter().any(|host| host.port == 0)
        );
        for (missing, lacks, example) in [
            ("host", !defined.has_host, "localhost"),
            ("port", any_port, "12003"),
        ] {
            if lacks {
                let name = quoted(self.endpoints.name(id));
                let message = format!(
                    "{name} is a server's socket, and has no `{missing}` to connect to; write \
                     {missing}=\"{example}\""
                );
                sink.error(defined.at, message);
            }
        }
    }
}
