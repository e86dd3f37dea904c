//! Where clients connect.

use std::collections::HashMap;

use tce_runtime::config::{TlsConfig, problem::quoted};

use super::{
    definitions::Endpoints,
    endpoint::Family,
    routes::{Direction, Row},
    uses::Uses,
    xml::{Element, Sink},
};
use crate::config::{EndpointKind, HostPort};

/// Reports a server that nobody can connect to, and endpoints that can't be
/// listened on.
pub(super) fn check_listen(
    server: Element<'_>,
    uses: &mut Uses<'_>,
    rows: &[Row<'_>],
    endpoints: &Endpoints,
    sink: &mut Sink<'_, '_>,
) {
    if uses.listen.is_empty() && !uses.listen_broken {
        let mut calls = rows.iter().filter(|row| row.direction == Direction::Call);
        let meant = calls.find(|row| endpoints.family(row.from.id) != Some(Family::Mq));
        let name = meant.map_or("socket_gateway", |row| row.from.name);
        let message = format!(
            "clients connect nowhere: `listen` names no socket; write <property name=\"listen\" \
             value=\"{name}\"/> in <properties>"
        );
        sink.error(server.at(), message);
        uses.listen_broken = true;
    }
    check_type(server, uses, endpoints, sink);
    check_addresses(uses, endpoints, sink);
}

/// The type says again what `listen` says.
fn check_type(
    server: Element<'_>,
    uses: &Uses<'_>,
    endpoints: &Endpoints,
    sink: &mut Sink<'_, '_>,
) {
    let Some(attribute) = server.attribute("type") else {
        return;
    };
    let text = attribute.text.to_ascii_lowercase();
    let family = match text.strip_suffix("server").unwrap_or(&text).trim() {
        "socket" => Family::Socket,
        "websocket" => Family::WebSocket,
        _ => {
            let text = quoted(attribute.text);
            let right = "write \"socket server\" or \"websocket server\"";
            sink.warn(
                attribute.at,
                format!("`type` {text} means nothing here; {right}"),
            );
            return;
        }
    };
    let mut others = uses.listen.iter().filter_map(|id| endpoints.family(*id));
    if !uses.listen.is_empty() && others.all(|other| other != family) {
        let text = quoted(attribute.text);
        let message = format!(
            "`type` is {text}, but `listen` names none of that kind; `listen` is what counts"
        );
        sink.warn(attribute.at, message);
    }
}

fn check_addresses(uses: &Uses<'_>, endpoints: &Endpoints, sink: &mut Sink<'_, '_>) {
    let mut taken: HashMap<&HostPort, &str> = HashMap::new();
    for id in &uses.listen {
        let Some((hosts, tls)) = endpoints.kind(*id).and_then(EndpointKind::sockets) else {
            continue;
        };
        let (at, name) = (endpoints.defined(*id).at, endpoints.name(*id));
        if tls.is_some_and(lacks_certificate) {
            let name = quoted(name);
            let message = format!(
                "clients connect to {name} under TLS, for which it has no certificate; write certfile=\"…\" and keyfile=\"…\""
            );
            sink.error(at, message);
        }
        for host in hosts.iter().filter(|host| host.port != 0) {
            if let Some(other) = taken.insert(host, name) {
                let (name, other) = (quoted(name), quoted(other));
                sink.error(
                    at,
                    format!("{name} and {other} both listen on {host}; give one another port"),
                );
            }
        }
    }
}

fn lacks_certificate(tls: &TlsConfig) -> bool {
    tls.certificate.is_none()
}
