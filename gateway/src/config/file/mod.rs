//! The structure of `services.xml`: definitions first, then the servers that use
//! them.

mod xml;

mod endpoint;

mod definitions;

mod settings;

mod routes;

mod checks;

use std::collections::HashMap;

use tce_runtime::config::problem::{ProblemReport, quoted};

use crate::config::{
    overrides::Override,
    services::{ServerConfig, Services},
    warnings::{WarningScope, WarningScopes},
};
use checks::{Loopback, check_listen, check_read_and_written, check_roles, check_settings};
use definitions::{Definitions, Endpoints, InterfaceDefinitions};
use endpoint::Variables;
use routes::{EndpointRoles, collect_routes, read_rows};
use settings::ServerSettings;
use xml::{Reporter, XmlElement};

/// The configuration as far as it has no mistakes; reports mistakes.
pub(super) fn read(
    text: &str,
    overrides: &[Override],
    report: &mut ProblemReport,
) -> (Services, WarningScopes) {
    let mut reporter = Reporter::new(report, text);
    let Some(document) = xml::parse(text, &mut reporter) else {
        return Default::default();
    };
    // The root may have any name.
    let root = XmlElement::root(&document);
    let names = ["InterfaceDef", "VariantDef", "EndPoints", "servers"];
    let sections = root.children(&names, &mut reporter);
    let [interface_defs, variant_defs, end_points, servers] = names.map(|name| {
        sections
            .iter()
            .copied()
            .filter(move |section| section.is(name))
    });

    let mut variables = Variables::default();
    for section in variant_defs {
        variables.read(section, &mut reporter);
    }
    let mut definitions = Definitions {
        interfaces: InterfaceDefinitions::default(),
        endpoints: Endpoints::default(),
        overrides,
    };
    for section in interface_defs {
        definitions.interfaces.read(section, &mut reporter);
    }
    for section in end_points {
        definitions
            .endpoints
            .read(section, &variables, &mut reporter);
    }
    let servers = read_servers(servers, &definitions, &mut reporter);
    if servers.is_empty() {
        let hint = "write <servers><server name=\"gwserver\" type=\"socket server\">…";
        reporter.error(root.at(), format!("the file has no server; {hint}"));
    }
    let services = Services {
        interfaces: definitions.interfaces.finish(),
        endpoint_locations: definitions.endpoints.locations(&reporter),
        endpoints: definitions.endpoints.finish(),
        servers,
    };
    (services, reporter.scopes)
}

fn read_servers<'a>(
    sections: impl Iterator<Item = XmlElement<'a>>,
    definitions: &Definitions<'_>,
    reporter: &mut Reporter<'_, '_>,
) -> Vec<ServerConfig> {
    let mut servers = Vec::new();
    let mut names: HashMap<&str, usize> = HashMap::new();
    for section in sections {
        for element in section.children(&["server"], reporter) {
            let name = element.require("name", "gwserver", reporter);
            if let Some(name) = name
                && let Some(first) = names.insert(name.text, name.at)
            {
                let (text, line) = (quoted(name.text), reporter.line(first));
                reporter.error(
                    name.at,
                    format!("server {text} is defined twice; first on line {line}"),
                );
            }
            let name = name.map_or("", |name| name.text);
            let scope = WarningScope::Server(servers.len());
            servers.push(reporter.scoped(scope, |reporter| {
                read_server(element, name, definitions, reporter)
            }));
        }
    }
    servers
}

/// The server as far as it has no mistakes; reports mistakes.
fn read_server(
    element: XmlElement<'_>,
    name: &str,
    definitions: &Definitions<'_>,
    reporter: &mut Reporter<'_, '_>,
) -> ServerConfig {
    element.warn_unknown_attributes(&["name", "type", "id"], reporter);
    let sections = element.children(&["route", "extra_mqs", "properties"], reporter);
    let of = |name| {
        let mut sections = sections.clone();
        sections.retain(|section| section.is(name));
        sections
    };
    let endpoints = &definitions.endpoints;
    let settings = ServerSettings::read(element, &of("properties"), definitions, reporter);
    let mut roles = EndpointRoles::listen(settings.listen(), endpoints, reporter);
    for section in of("extra_mqs") {
        roles.open(section, reporter);
    }
    let (rows, is_complete) = read_rows(&of("route"), definitions, reporter);
    roles.is_incomplete |= !is_complete;
    check_listen(element, &mut roles, &rows, endpoints, reporter);
    let rows = roles.check_rows(rows, reporter);
    let loopback = Loopback::read(settings.loopback(), endpoints, &roles, reporter);
    loopback.check(&rows, endpoints, reporter);
    check_settings(&settings, &mut roles, definitions, reporter);
    check_roles(&settings, &rows, reporter);
    check_read_and_written(element, &roles, endpoints, reporter);
    ServerConfig {
        name: name.to_owned(),
        location: reporter.location(element.at()),
        listen: roles.listen,
        routes: collect_routes(&rows),
        loopback: loopback.pairs.into_iter().collect(),
        reads: roles.reads.into_iter().collect(),
        writes: roles.writes.into_iter().collect(),
        upstreams: roles.upstreams.into_iter().collect(),
        properties: settings.properties,
        origins: settings.origins,
    }
}
