//! The configuration in force, with the origin of each value.

use std::fmt::{self, Write as _};

use tce_runtime::config::problem::Location;

use super::{
    endpoint::EndpointId,
    overrides::ValueOrigin,
    properties::{FILE_PROPERTIES, PROPERTIES},
    services::{Hop, ServerConfig, Services},
};

/// All properties with their values, defaults and purposes, as a table in
/// Markdown.
pub fn properties_table() -> String {
    let of_file = FILE_PROPERTIES
        .iter()
        .map(|row| (row.name, row.values, String::new(), row.doc));
    let others = PROPERTIES
        .iter()
        .map(|row| (row.name, row.values, row.default_value(), row.doc));
    let mut table = "| property | value | default | |\n| --- | --- | --- | --- |\n".to_owned();
    for (name, values, default, doc) in of_file.chain(others) {
        let default = match default.as_str() {
            "" => default,
            default => format!("`{default}`"),
        };
        table += &format!("| `{name}` | {values} | {default} | {doc} |\n");
    }
    table
}

/// The configuration of a server as text: endpoints, routes, and each property
/// with its value and the origin of the value. Secrets and passwords are not
/// shown.
pub fn print_config(services: &Services, server: &ServerConfig) -> String {
    let mut text = String::new();
    // Writing to a `String` can't fail.
    let _ = write_config(&mut text, services, server);
    text
}

fn write_config(out: &mut String, services: &Services, server: &ServerConfig) -> fmt::Result {
    writeln!(out, "server {}", server.name)?;
    let lists = [
        ("listen", &server.listen),
        ("read", &server.reads),
        ("write", &server.writes),
        ("connect", &server.upstreams),
    ];
    for (title, ids) in lists {
        if !ids.is_empty() {
            writeln!(out, "\n{title}")?;
        }
        for id in ids {
            let endpoint = services.endpoint(*id);
            writeln!(out, "  {:<24} {}", endpoint.name, endpoint.kind)?;
        }
    }
    write_routes(out, services, server)?;
    write_properties(out, services, server)
}

fn write_routes(out: &mut String, services: &Services, server: &ServerConfig) -> fmt::Result {
    let name = |id: EndpointId| services.endpoint(id).name.as_str();
    if !server.loopback.is_empty() {
        writeln!(out, "\nloopback")?;
    }
    for (call, back) in &server.loopback {
        writeln!(out, "  {:<24} {}", name(*call), name(*back))?;
    }
    writeln!(out, "\nroutes")?;
    for route in &server.routes {
        let interface = services.interface(route.ifidx);
        let interface = interface.map_or("", |interface| interface.name.as_str());
        writeln!(out, "  {interface} ({})", route.ifidx)?;
        for (what, hops) in [("call", &route.calls), ("return", &route.returns)] {
            for Hop { from, to, allow } in hops {
                write!(out, "    {what:<6}  {} -> {}", name(*from), name(*to))?;
                match allow {
                    Some(roles) => writeln!(out, "  allow {}", roles.join(","))?,
                    None => writeln!(out)?,
                }
            }
        }
    }
    Ok(())
}

fn write_properties(out: &mut String, services: &Services, server: &ServerConfig) -> fmt::Result {
    writeln!(out, "\nproperties")?;
    for (property, origin) in PROPERTIES.iter().zip(&server.origins) {
        let value = (property.show)(&server.properties, &services.endpoints);
        let value = if value.is_empty() { "-" } else { &value };
        let origin = match origin {
            ValueOrigin::Default => "default".to_owned(),
            ValueOrigin::File(Location { line, .. }) => {
                format!("line {}", line.unwrap_or_default())
            }
            ValueOrigin::Override(source) => source.name_of(property.name),
        };
        writeln!(out, "  {:<28} {value:<24} {origin}", property.name)?;
    }
    Ok(())
}
