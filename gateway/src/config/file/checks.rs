//! What must agree: `listen` and the endpoints, `loopback` and the routes, and
//! properties that depend on each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tce_runtime::config::{NodeType, TlsConfig, problem::quoted};

use super::{
    definitions::{Definitions, EndpointRef, Endpoints},
    endpoint::Family,
    routes::{Direction, EndpointRoles, RouteElement},
    settings::ServerSettings,
    xml::{Reporter, XmlAttribute, XmlElement},
};
use crate::config::{
    endpoint::{EndpointId, EndpointKind, HostPort},
    properties::PROPERTIES,
    value::{Auth, EventTarget, JwtAlgorithm},
};

/// Reports a server that clients can't connect to, and endpoints that the
/// gateway can't listen on.
pub(super) fn check_listen(
    server: XmlElement<'_>,
    roles: &mut EndpointRoles<'_>,
    rows: &[RouteElement<'_>],
    endpoints: &Endpoints,
    reporter: &mut Reporter<'_, '_>,
) {
    if roles.listen.is_empty() && !roles.is_listen_incomplete {
        let mut calls = rows.iter().filter(|row| row.direction == Direction::Call);
        let likely = calls.find(|row| endpoints.family(row.from.id) != Some(Family::Mq));
        let name = likely.map_or("socket_gateway", |row| row.from.name);
        let message = format!(
            "clients can't connect: `listen` names no socket; write <property name=\"listen\" \
             value=\"{name}\"/> in <properties>"
        );
        reporter.error(server.at(), message);
        roles.is_listen_incomplete = true;
    }
    check_server_type(server, roles, endpoints, reporter);
    check_addresses(roles, endpoints, reporter);
}

/// Warns about a `type` that does not agree with `listen`.
fn check_server_type(
    server: XmlElement<'_>,
    roles: &EndpointRoles<'_>,
    endpoints: &Endpoints,
    reporter: &mut Reporter<'_, '_>,
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
            let hint = "write \"socket server\" or \"websocket server\"";
            reporter.warn(attribute.at, format!("unknown `type` {text}; {hint}"));
            return;
        }
    };
    let mut others = roles.listen.iter().filter_map(|id| endpoints.family(*id));
    if !roles.listen.is_empty() && others.all(|other| other != family) {
        let text = quoted(attribute.text);
        let message =
            format!("`type` is {text}, but `listen` names no such endpoint; `type` is ignored");
        reporter.warn(attribute.at, message);
    }
}

fn check_addresses(
    roles: &EndpointRoles<'_>,
    endpoints: &Endpoints,
    reporter: &mut Reporter<'_, '_>,
) {
    let mut taken: HashMap<u16, Vec<(&HostPort, &str)>> = HashMap::new();
    for id in &roles.listen {
        let Some((hosts, tls)) = endpoints.kind(*id).and_then(EndpointKind::sockets) else {
            continue;
        };
        let (at, name) = (endpoints.defined(*id).at, endpoints.name(*id));
        if tls.is_some_and(lacks_certificate) {
            let name = quoted(name);
            let message = format!(
                "{name} uses TLS, but has no certificate; write certfile=\"…\" and keyfile=\"…\""
            );
            reporter.error(at, message);
        }
        for host in hosts.iter().filter(|host| host.port != 0) {
            let same_port = taken.entry(host.port).or_default();
            let mut others = same_port.iter();
            if let Some((_, other)) = others.find(|(other, _)| other.overlaps(host)) {
                let (name, other) = (quoted(name), quoted(other));
                reporter.error(
                    at,
                    format!("{name} and {other} both listen on {host}; change the port of one"),
                );
            }
            same_port.push((host, name));
        }
    }
}

fn lacks_certificate(tls: &TlsConfig) -> bool {
    tls.certificate.is_none()
}

/// `loopback`: RETURNs of calls sent to the first endpoint come back by the
/// second.
#[derive(Debug, Default)]
pub(super) struct Loopback {
    pub(super) pairs: BTreeMap<EndpointId, EndpointId>,
    /// Whether it has mistakes, so that a missing pair may be one of them.
    is_incomplete: bool,
}

impl Loopback {
    pub(super) fn read(
        text: Option<XmlAttribute<'_>>,
        endpoints: &Endpoints,
        roles: &EndpointRoles<'_>,
        reporter: &mut Reporter<'_, '_>,
    ) -> Self {
        let mut loopback = Self::default();
        for pair in text.into_iter().flat_map(XmlAttribute::list) {
            match read_pair(pair, endpoints, reporter) {
                Some((call, back)) => loopback.add(&call, &back, endpoints, roles, reporter),
                None => loopback.is_incomplete = true,
            }
        }
        loopback
    }

    fn add(
        &mut self,
        call: &EndpointRef<'_>,
        back: &EndpointRef<'_>,
        endpoints: &Endpoints,
        roles: &EndpointRoles<'_>,
        reporter: &mut Reporter<'_, '_>,
    ) {
        if let Some((at, message)) = self.mistake(call, back, endpoints, roles) {
            reporter.error(at, message);
            self.is_incomplete = true;
        } else if !roles.writes.contains(&call.id) {
            let name = quoted(call.name);
            reporter.warn(
                call.at,
                format!("this pair has no effect: no CALL goes to {name}"),
            );
        }
        self.pairs.insert(call.id, back.id);
    }

    fn mistake(
        &self,
        call: &EndpointRef<'_>,
        back: &EndpointRef<'_>,
        endpoints: &Endpoints,
        roles: &EndpointRoles<'_>,
    ) -> Option<(usize, String)> {
        for end in [call, back] {
            if endpoints
                .family(end.id)
                .is_some_and(|family| family != Family::Mq)
            {
                let name = quoted(end.name);
                let message = format!("{name} is not a queue; `loopback` takes pairs of queues");
                return Some((end.at, message));
            }
        }
        let (call_name, back_name) = (quoted(call.name), quoted(back.name));
        if call.id == back.id {
            let message = format!(
                "the gateway would read its own CALLs from {call_name}; name another queue for RETURNs"
            );
            return Some((back.at, message));
        }
        if self.pairs.contains_key(&call.id) {
            let message = format!("{call_name} is the first of two pairs; remove one");
            return Some((call.at, message));
        }
        let is_queue = endpoints.family(back.id).is_some();
        let unread = is_queue && !roles.is_incomplete && !roles.reads.contains(&back.id);
        unread.then(|| {
            let message = format!(
                "the gateway does not read {back_name}, so RETURNs would stay in it; add it to \
                 `listen`, or write a `return` row from it"
            );
            (back.at, message)
        })
    }

    /// Warns about CALLs whose RETURN can't come back.
    pub(super) fn check(
        &self,
        rows: &[RouteElement<'_>],
        endpoints: &Endpoints,
        reporter: &mut Reporter<'_, '_>,
    ) {
        let returned: BTreeSet<_> = rows
            .iter()
            .filter(|row| row.direction == Direction::Return)
            .map(|row| (row.ifidx, row.from.id))
            .collect();
        for row in rows.iter().filter(|row| row.direction == Direction::Call) {
            if !matches!(endpoints.kind(row.to.id), Some(EndpointKind::Mq(_))) {
                continue;
            }
            let to = quoted(row.to.name);
            match self.pairs.get(&row.to.id) {
                None if self.is_incomplete => {}
                None => reporter.warn(
                    row.to.at,
                    format!(
                        "twoway CALLs to {to} get no RETURN: `loopback` has no pair for it; add \
                         {}#<the queue that this gateway reads>",
                        row.to.name
                    ),
                ),
                Some(back) if returned.contains(&(row.ifidx, *back)) => {}
                Some(back) => {
                    let back = endpoints.name(*back);
                    let (interface, from) = (quoted(row.interface), row.from.name);
                    reporter.warn(
                        row.at,
                        format!(
                            "RETURNs of {interface} arrive by {}, but no `return` row routes them; \
                             write <return in=\"{back}\" out=\"{from}\"/>",
                            quoted(back)
                        ),
                    );
                }
            }
        }
    }
}

fn read_pair<'a>(
    pair: XmlAttribute<'a>,
    endpoints: &Endpoints,
    reporter: &mut Reporter<'_, '_>,
) -> Option<(EndpointRef<'a>, EndpointRef<'a>)> {
    let mut ends = pair.split('#').filter(|end| !end.text.is_empty());
    let (Some(call), Some(back), None) = (ends.next(), ends.next(), ends.next()) else {
        let text = quoted(pair.text);
        reporter.error(
            pair.at,
            format!("{text} is not a pair of queues; write, for example, mq_server#mq_gateway"),
        );
        return None;
    };
    let (call, back) = (
        endpoints.resolve(call, reporter),
        endpoints.resolve(back, reporter),
    );
    Some((call?, back?))
}

/// Reports properties that contradict each other, and opens the endpoints that
/// they name.
pub(super) fn check_settings(
    settings: &ServerSettings<'_>,
    roles: &mut EndpointRoles<'_>,
    definitions: &Definitions<'_>,
    reporter: &mut Reporter<'_, '_>,
) {
    let endpoints = &definitions.endpoints;
    check_auth(settings, reporter);
    check_origins(settings, roles, endpoints, reporter);
    check_rates(settings, definitions, reporter);
    if let Some(target) = &settings.properties.user_events {
        open_events(target, settings, roles, definitions, reporter);
    }
    if let Some(id) = settings.properties.auth_endpoint {
        open_authenticator(id, settings, roles, endpoints, reporter);
    }
}

fn check_auth(settings: &ServerSettings<'_>, reporter: &mut Reporter<'_, '_>) {
    let properties = &settings.properties;
    match properties.auth {
        Auth::None if properties.userid_check => {
            let message = "`userid_check` needs an authenticator, but `auth` is none; set `auth` to \
                           token, jwt or interface, unless the program adds an authenticator";
            settings.warn("userid_check", message, reporter);
        }
        Auth::None => {}
        _ if !properties.userid_check => {
            let message =
                "`auth` has no effect while `userid_check` is false; set `userid_check` to true";
            settings.warn("auth", message, reporter);
        }
        Auth::Interface if properties.auth_endpoint.is_none() => {
            let message = "`auth` is interface, but `auth_endpoint` is not set; set it to the queue \
                           or socket of the authenticator's server";
            settings.error("auth", message, reporter);
        }
        _ => {}
    }
    if properties.auth == Auth::Jwt {
        check_jwt(settings, reporter);
    }
    for (prefix, auth) in [("auth_jwt_", Auth::Jwt), ("auth_endpoint", Auth::Interface)] {
        let mut rows = PROPERTIES.iter().filter(|row| row.name.starts_with(prefix));
        if properties.auth != auth
            && let Some(row) = rows.find(|row| settings.is_set(row.name))
        {
            let word = if auth == Auth::Jwt {
                "jwt"
            } else {
                "interface"
            };
            let message = format!("`{}` has no effect unless `auth` is {word}", row.name);
            settings.warn(row.name, &message, reporter);
        }
    }
}

fn check_jwt(settings: &ServerSettings<'_>, reporter: &mut Reporter<'_, '_>) {
    let properties = &settings.properties;
    let has_secret = properties.auth_jwt_secret.is_some();
    let takes_secret = properties.auth_jwt_algorithm == JwtAlgorithm::HS256;
    if properties.auth_jwt_jwks.is_some() {
        if has_secret || properties.auth_jwt_key.is_some() {
            let message = "`auth_jwt_jwks` is set beside `auth_jwt_key` or `auth_jwt_secret`; \
                           remove one: tokens are verified with a key set or with one key";
            settings.error("auth_jwt_jwks", message, reporter);
        } else if takes_secret {
            let message = "`auth_jwt_jwks` can't be used with `auth_jwt_algorithm` HS256, the \
                           default; set that to RS256, ES256 or EdDSA, as the issuer signs";
            settings.error("auth_jwt_jwks", message, reporter);
        }
        return;
    }
    match (has_secret, properties.auth_jwt_key.is_some()) {
        (false, false) => {
            let message = "`auth` is jwt, but there is no key to verify tokens with; set \
                           `auth_jwt_key` (a PEM file), `auth_jwt_jwks` or `auth_jwt_secret`";
            settings.error("auth", message, reporter);
        }
        (true, true) => {
            let message = "`auth_jwt_key` and `auth_jwt_secret` are both set; remove one: tokens are \
                           signed either with a key pair or with a secret";
            settings.error("auth_jwt_secret", message, reporter);
        }
        (true, false) if !takes_secret => {
            let message = "this algorithm needs `auth_jwt_key`, but `auth_jwt_secret` is set; \
                           write HS256, or set `auth_jwt_key` instead";
            settings.error("auth_jwt_algorithm", message, reporter);
        }
        (false, true) if takes_secret => {
            let message = "`auth_jwt_key` can't be used with `auth_jwt_algorithm` HS256, the \
                           default; set that to RS256, ES256 or EdDSA, as the key requires";
            settings.error("auth_jwt_key", message, reporter);
        }
        _ => {}
    }
}

fn check_rates(
    settings: &ServerSettings<'_>,
    definitions: &Definitions<'_>,
    reporter: &mut Reporter<'_, '_>,
) {
    for rate in &settings.properties.rate.0 {
        let hint = definitions
            .interfaces
            .undefined_hint(&rate.interface, reporter);
        if let Some(hint) = hint {
            let name = quoted(&rate.interface);
            let message = format!("`rate` names interface {name}, which is not defined{hint}");
            settings.error("rate", &message, reporter);
        }
    }
}

/// Reports routes that no user may call, since users have no roles.
pub(super) fn check_roles(
    settings: &ServerSettings<'_>,
    rows: &[RouteElement<'_>],
    reporter: &mut Reporter<'_, '_>,
) {
    let Some(allow) = rows.iter().find_map(|row| row.allow) else {
        return;
    };
    let properties = &settings.properties;
    let message = match properties.auth {
        _ if !properties.userid_check => {
            "`allow` lets no user call while `userid_check` is false, unless the program adds an \
             authenticator"
        }
        Auth::Jwt if properties.auth_jwt_roles.is_none() => {
            "`allow` lets no user call, since no user has a role; set `auth_jwt_roles` to the \
             claim that names the roles"
        }
        Auth::Token | Auth::Interface => {
            "`allow` lets no user call: only `auth` jwt gives roles, or an authenticator that the \
             program adds"
        }
        Auth::Jwt | Auth::None => return,
    };
    reporter.warn(allow.at, message);
}

fn check_origins(
    settings: &ServerSettings<'_>,
    roles: &EndpointRoles<'_>,
    endpoints: &Endpoints,
    reporter: &mut Reporter<'_, '_>,
) {
    let mut families = roles.listen.iter().map(|id| endpoints.family(*id));
    let has_websocket = families.any(|family| family != Some(Family::Socket));
    if settings.is_set("origins") && !has_websocket {
        let message = "`origins` has no effect: `listen` names no WebSocket";
        settings.warn("origins", message, reporter);
    }
}

fn open_events(
    target: &EventTarget,
    settings: &ServerSettings<'_>,
    roles: &mut EndpointRoles<'_>,
    definitions: &Definitions<'_>,
    reporter: &mut Reporter<'_, '_>,
) {
    let (id, endpoints) = (target.endpoint, &definitions.endpoints);
    if let Some(name) = &target.interface
        && let Some(hint) = definitions.interfaces.undefined_hint(name, reporter)
    {
        let name = quoted(name);
        let message = format!("`user_events` names interface {name}, which is not defined{hint}");
        settings.error("user_events", &message, reporter);
    }
    if matches!(endpoints.family(id), Some(Family::Mq) | None) {
        roles.writes.insert(id);
        return;
    }
    let name = quoted(endpoints.name(id));
    let message = format!(
        "`user_events` can't be {name}, which is not a queue; name an endpoint of type qpid"
    );
    settings.error("user_events", &message, reporter);
}

fn open_authenticator(
    id: EndpointId,
    settings: &ServerSettings<'_>,
    roles: &mut EndpointRoles<'_>,
    endpoints: &Endpoints,
    reporter: &mut Reporter<'_, '_>,
) {
    if settings.properties.auth != Auth::Interface {
        return;
    }
    match endpoints.family(id) {
        Some(Family::Mq) => {
            roles.writes.insert(id);
        }
        Some(Family::Socket) if !roles.listen.contains(&id) => roles.add_upstream(id, reporter),
        Some(_) => {
            let name = quoted(endpoints.name(id));
            let message = format!(
                "`auth_endpoint` can't be {name}, which clients connect to; name the queue or \
                 socket of the authenticator's server"
            );
            settings.error("auth_endpoint", &message, reporter);
        }
        None => {}
    }
}

/// Warns about queues that the gateway reads and writes: it would consume calls
/// that are meant for servers.
pub(super) fn check_read_and_written(
    server: XmlElement<'_>,
    roles: &EndpointRoles<'_>,
    endpoints: &Endpoints,
    reporter: &mut Reporter<'_, '_>,
) {
    for id in roles.reads.intersection(&roles.writes) {
        let Some(EndpointKind::Mq(queue)) = endpoints.kind(*id) else {
            continue;
        };
        if queue.address.node == NodeType::Queue {
            let name = quoted(endpoints.name(*id));
            let message = format!(
                "{name} is both read and written: the gateway would consume messages that it sends \
                 to servers"
            );
            reporter.warn(server.at(), message);
        }
    }
}
