//! The authenticator that the properties name.

use std::time::Duration;

use tce_runtime::{Communicator, Connection};

use crate::{
    auth::{
        AUTHENTICATOR_INDEX, AuthGuard, InterfaceAuthenticator, JwtAuthenticator, JwtOptions,
        TokenIsUser,
    },
    config::{Auth, Properties, Server, Services},
    lifecycle::error::GatewayError,
    upstream::queue::Queues,
};

/// How long to wait before a servant that knows users is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Who knows the users; nobody where connections have user ids of their own.
pub(crate) async fn guard(
    services: &Services,
    server: &Server,
    queues: &Queues,
) -> Result<Option<AuthGuard>, GatewayError> {
    let properties = &server.properties;
    if !properties.userid_check {
        return Ok(None);
    }
    let time = properties.auth_time;
    Ok(Some(match properties.auth {
        Auth::None => return Err(GatewayError::NoAuthenticator),
        Auth::Token => AuthGuard::new(TokenIsUser, time),
        Auth::Jwt => AuthGuard::new(jwt(properties)?, time),
        Auth::Interface => {
            let ifidx = index(services, "gateway.IAuthenticator", AUTHENTICATOR_INDEX);
            let connection = reach(services, server, queues).await?;
            AuthGuard::new(InterfaceAuthenticator::new(&connection, ifidx, time), time)
        }
    }))
}

/// The index of an interface of the gateway's own.
pub(crate) fn index(services: &Services, name: &str, unless_named: u16) -> u16 {
    let mut interfaces = services.interfaces.iter();
    interfaces
        .find(|interface| interface.name == name)
        .map_or(unless_named, |interface| interface.ifidx)
}

/// Who signs tokens, and how.
fn jwt(properties: &Properties) -> Result<JwtAuthenticator, GatewayError> {
    let key = match (&properties.auth_jwt_secret, &properties.auth_jwt_key) {
        (Some(secret), _) => secret.0.clone().into_bytes(),
        (None, Some(file)) => std::fs::read(file).map_err(|error| {
            let text = format!("auth_jwt_key: can't read {}: {error}", file.display());
            std::io::Error::new(error.kind(), text)
        })?,
        (None, None) => return Err(GatewayError::NoJwtKey),
    };
    Ok(JwtAuthenticator::new(JwtOptions {
        algorithm: properties.auth_jwt_algorithm,
        key,
        issuer: properties.auth_jwt_issuer.clone(),
        audience: properties.auth_jwt_audience.clone(),
        claim: properties.auth_jwt_claim.clone(),
    })?)
}

/// A connection to the servant that knows the users, however long it is away.
async fn reach(
    services: &Services,
    server: &Server,
    queues: &Queues,
) -> Result<Connection, GatewayError> {
    let Some(id) = server.properties.auth_endpoint else {
        return Err(GatewayError::NoAuthEndpoint);
    };
    let endpoint = services.endpoint(id);
    let (communicator, at) = match endpoint.kind.sockets() {
        None => (
            queues.communicator().clone(),
            format!("mq:{}", endpoint.name),
        ),
        Some((hosts, tls)) => {
            let options = server.properties.upstream_options(tls);
            let host = hosts.first().map(|host| endpoint.address(host).to_string());
            (
                Communicator::with_options(options),
                host.unwrap_or_default(),
            )
        }
    };
    loop {
        match communicator.connect(&at).await {
            Ok(connection) => return Ok(connection),
            Err(error) => tracing::warn!("waits for the authenticator: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
