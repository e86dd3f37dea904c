//! The shape of `services.xml`: definitions first, then the servers that use
//! them.

mod checks;
mod definitions;
mod endpoint;
mod interfaces;
mod kind;
mod listen;
mod names;
mod routes;
mod rules;
mod server;
mod settings;
mod uses;
mod variables;
mod xml;

use std::collections::HashMap;

use tce_runtime::config::problem::{Report, quoted};

use super::{Override, Server, Services};
use definitions::Endpoints;
use interfaces::Interfaces;
use names::Definitions;
use server::read_server;
use variables::Variables;
use xml::{Element, Sink};

/// The configuration, as far as it is right; what is wrong is reported.
pub(super) fn read(text: &str, overrides: &[Override], report: &mut Report) -> Services {
    let mut sink = Sink::new(report, text);
    let Some(document) = xml::parse(text, &mut sink) else {
        return Services::default();
    };
    // Its name does not matter.
    let root = Element::root(&document);
    let names = ["InterfaceDef", "VariantDef", "EndPoints", "servers"];
    let sections = root.children(&names, &mut sink);
    let [interface_defs, variant_defs, end_points, servers] = names.map(|name| {
        sections
            .iter()
            .copied()
            .filter(move |section| section.is(name))
    });

    let mut variables = Variables::default();
    for section in variant_defs {
        variables.read(section, &mut sink);
    }
    let mut definitions = Definitions {
        interfaces: Interfaces::default(),
        endpoints: Endpoints::default(),
        overrides,
    };
    for section in interface_defs {
        definitions.interfaces.read(section, &mut sink);
    }
    for section in end_points {
        definitions.endpoints.read(section, &variables, &mut sink);
    }
    let servers = read_servers(servers, &definitions, &mut sink);
    if servers.is_empty() {
        let right = "write <servers><server name=\"gwserver\" type=\"socket server\">…";
        sink.error(root.at(), format!("the file has no server; {right}"));
    }
    Services {
        interfaces: definitions.interfaces.finish(),
        endpoints: definitions.endpoints.finish(),
        servers,
    }
}

fn read_servers<'a>(
    sections: impl Iterator<Item = Element<'a>>,
    definitions: &Definitions<'_>,
    sink: &mut Sink<'_, '_>,
) -> Vec<Server> {
    let mut servers = Vec::new();
    let mut names: HashMap<&str, usize> = HashMap::new();
    for section in sections {
        for element in section.children(&["server"], sink) {
            let name = element.demand("name", "gwserver", sink);
            if let Some(name) = name
                && let Some(first) = names.insert(name.text, name.at)
            {
                let (text, line) = (quoted(name.text), sink.line(first));
                sink.error(
                    name.at,
                    format!("server {text} is defined twice; line {line} has it"),
                );
            }
            let name = name.map_or("", |name| name.text);
            servers.push(read_server(element, name, definitions, sink));
        }
    }
    servers
}
