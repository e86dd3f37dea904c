//! A `server`: which endpoints it listens on, reads and writes, and its routes.

use super::{
    Definitions,
    checks::check_settings,
    listen::check_listen,
    loopback::Loopback,
    rows::{collect_routes, read_rows},
    settings::Settings,
    uses::Uses,
    xml::{Element, Sink},
};
use crate::config::Server;

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
    let rows = read_rows(&of("route"), definitions, sink);
    check_listen(element, &uses, &rows, endpoints, sink);
    let rows = uses.route(rows, sink);
    let loopback = Loopback::read(settings.loopback(), endpoints, &uses, sink);
    loopback.check(&rows, endpoints, sink);
    check_settings(&settings, &mut uses, endpoints, sink);
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
