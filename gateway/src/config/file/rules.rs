//! Properties that only make sense together.

use tce_runtime::config::problem::quoted;

use super::{definitions::Endpoints, endpoint::Family, settings::Settings, uses::Uses, xml::Sink};
use crate::{
    auth::JwtAlgorithm,
    config::{Auth, EndpointId, PROPERTIES},
};

/// Reports properties that don't go together, and opens the endpoints that
/// they name.
pub(super) fn check_settings(
    settings: &Settings<'_>,
    uses: &mut Uses<'_>,
    endpoints: &Endpoints,
    sink: &mut Sink<'_, '_>,
) {
    check_auth(settings, sink);
    check_origins(settings, uses, endpoints, sink);
    if let Some(id) = settings.properties.user_events {
        open_events(id, settings, uses, endpoints, sink);
    }
    if let Some(id) = settings.properties.auth_endpoint {
        open_authenticator(id, settings, uses, endpoints, sink);
    }
}

fn check_auth(settings: &Settings<'_>, sink: &mut Sink<'_, '_>) {
    let properties = &settings.properties;
    match properties.auth {
        Auth::None if properties.userid_check => {
            let message = "with `userid_check` nobody can call before an authenticator knows the \
                           user, and `auth` names none: set it to token, jwt or interface, unless \
                           the program brings its own";
            settings.warn("userid_check", message, sink);
        }
        Auth::None => {}
        _ if !properties.userid_check => {
            let message = "`auth` does nothing while `userid_check` is false; set it to true";
            settings.warn("auth", message, sink);
        }
        Auth::Interface if properties.auth_endpoint.is_none() => {
            let message = "`auth` is interface, but `auth_endpoint` does not say by which \
                           endpoint its servant is called; name a queue or a socket";
            settings.error("auth", message, sink);
        }
        _ => {}
    }
    if properties.auth == Auth::Jwt {
        check_jwt(settings, sink);
    }
    for (prefix, auth) in [("auth_jwt_", Auth::Jwt), ("auth_endpoint", Auth::Interface)] {
        let mut rows = PROPERTIES.iter().filter(|row| row.name.starts_with(prefix));
        if properties.auth != auth
            && let Some(row) = rows.find(|row| settings.says(row.name))
        {
            let word = if auth == Auth::Jwt {
                "jwt"
            } else {
                "interface"
            };
            let message = format!("`{}` does nothing unless `auth` is {word}", row.name);
            settings.warn(row.name, &message, sink);
        }
    }
}

fn check_jwt(settings: &Settings<'_>, sink: &mut Sink<'_, '_>) {
    let properties = &settings.properties;
    let has_secret = properties.auth_jwt_secret.is_some();
    let takes_secret = properties.auth_jwt_algorithm == JwtAlgorithm::HS256;
    match (has_secret, properties.auth_jwt_key.is_some()) {
        (false, false) => {
            let message = "`auth` is jwt, but nothing says what tokens are signed with; set \
                           `auth_jwt_key` (a PEM file) or `auth_jwt_secret`";
            settings.error("auth", message, sink);
        }
        (true, true) => {
            let message = "`auth_jwt_key` and `auth_jwt_secret` are both set; leave one: a token \
                           is signed by a key pair or with a secret";
            settings.error("auth_jwt_secret", message, sink);
        }
        (true, false) if !takes_secret => {
            let message = "this goes with `auth_jwt_key`, but it is `auth_jwt_secret` that is \
                           set; write HS256, or set the key instead";
            settings.error("auth_jwt_algorithm", message, sink);
        }
        (false, true) if takes_secret => {
            let message = "a key is nothing to HS256, which is `auth_jwt_algorithm` unless set; \
                           set that to RS256, ES256 or EdDSA, as the key is";
            settings.error("auth_jwt_key", message, sink);
        }
        _ => {}
    }
}

fn check_origins(
    settings: &Settings<'_>,
    uses: &Uses<'_>,
    endpoints: &Endpoints,
    sink: &mut Sink<'_, '_>,
) {
    let mut families = uses.listen.iter().map(|id| endpoints.family(*id));
    let by_page = families.any(|family| family != Some(Family::Socket));
    if settings.says("origins") && !by_page {
        let message = "`origins` does nothing: `listen` names no WebSocket";
        settings.warn("origins", message, sink);
    }
}

fn open_events(
    id: EndpointId,
    settings: &Settings<'_>,
    uses: &mut Uses<'_>,
    endpoints: &Endpoints,
    sink: &mut Sink<'_, '_>,
) {
    if matches!(endpoints.family(id), Some(Family::Mq) | None) {
        uses.writes.insert(id);
        return;
    }
    let name = quoted(endpoints.name(id));
    let message =
        format!("`user_events` can't be {name}, which is no queue; name an endpoint of type qpid");
    settings.error("user_events", &message, sink);
}

fn open_authenticator(
    id: EndpointId,
    settings: &Settings<'_>,
    uses: &mut Uses<'_>,
    endpoints: &Endpoints,
    sink: &mut Sink<'_, '_>,
) {
    if settings.properties.auth != Auth::Interface {
        return;
    }
    match endpoints.family(id) {
        Some(Family::Mq) => {
            uses.writes.insert(id);
        }
        Some(Family::Socket) if !uses.listen.contains(&id) => uses.add_backend(id, sink),
        Some(_) => {
            let name = quoted(endpoints.name(id));
            let message = format!(
                "`auth_endpoint` can't be {name}, to which clients connect; name the queue or the \
                 socket of the authenticator's server"
            );
            settings.error("auth_endpoint", &message, sink);
        }
        None => {}
    }
}
