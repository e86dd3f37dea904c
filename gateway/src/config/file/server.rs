//! A `server`: which endpoints it listens on, reads and writes, and its routes.

use tce_runtime::config::{NodeType, problem::quoted};

use super::{
    checks::Loopback,
    definitions::Endpoints,
    listen::check_listen,
    names::Definitions,
    routes::{collect_routes, read_rows},
    rules::check_settings,
    settings::Settings,
    uses::Uses,
    xml::{Element, Sink},
};
use crate::config::{EndpointKind, Server};

/// The server, as far as it is right; what is wrong is reported.
pub(super) fn read_server(
    element: Element<'_>,
    name: &str,
    definitions: &Definitions<'_>,
    sink: &mut Sink<'_, '_>,
) -> Server {
    element.know_attributes(&["name", "type", "id"], sink);
    let sections = element.children(&["route", "extra_mqs", "properties"], sink);
    let of = |name| {
        let mut sections = sections.clone();
        sections.retain(|section| section.is(name));
        sections
    };
    let endpoints = &definitions.endpoints;
    let settings = Settings::read(element, &of("properties"), definitions, sink);
    let mut uses = Uses::listen(settings.listen(), endpoints, sink);
    for section in of("extra_mqs") {
        uses.open(section, sink);
    }
    let (rows, all) = read_rows(&of("route"), definitions, sink);
    uses.broken |= !all;
    check_listen(element, &mut uses, &rows, endpoints, sink);
    let rows = uses.route(rows, sink);
    let loopback = Loopback::read(settings.loopback(), endpoints, &uses, sink);
    loopback.check(&rows, endpoints, sink);
    check_settings(&settings, &mut uses, endpoints, sink);
    check_own(element, &uses, endpoints, sink);
    Server {
        name: name.to_owned(),
        listen: uses.listen,
        routes: collect_routes(&rows),
        loopback: loopback.pairs.into_iter().collect(),
        reads: uses.reads.into_iter().collect(),
        writes: uses.writes.into_iter().collect(),
        backends: uses.backends.into_iter().collect(),
        properties: settings.properties,
        origins: settings.origins,
    }
}

/// Warns of queues of which the gateway reads what it writes: calls that it
/// takes from their servers.
fn check_own(server: Element<'_>, uses: &Uses<'_>, endpoints: &Endpoints, sink: &mut Sink<'_, '_>) {
    for id in uses.reads.intersection(&uses.writes) {
        let Some(EndpointKind::Mq(queue)) = endpoints.kind(*id) else {
            continue;
        };
        if queue.address.node == NodeType::Queue {
            let name = quoted(endpoints.name(*id));
            let message = format!(
                "{name} is read and written: the gateway takes its own messages from the servers \
                 that they are for"
            );
            sink.warn(server.at(), message);
        }
    }
}
