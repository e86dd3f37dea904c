//! Where a broker is.

use std::fmt;

use crate::config::{Endpoint, MqEndpoint, Scheme};

/// Where a broker is, and who we are there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct AmqpAddress {
    host: String,
    port: u16,
    pub(super) vhost: String,
    pub(super) user: String,
    pub(super) password: String,
    tls: bool,
}

impl AmqpAddress {
    pub(super) fn of(endpoint: &MqEndpoint) -> Self {
        Self {
            host: endpoint.host.clone(),
            port: endpoint.port,
            vhost: endpoint.vhost.clone(),
            user: endpoint.user.clone(),
            password: endpoint.password.clone(),
            tls: endpoint.tls,
        }
    }

    /// What a socket connects to.
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint {
            scheme: if self.tls { Scheme::Ssl } else { Scheme::Tcp },
            host: self.host.clone(),
            port: self.port,
            path: String::new(),
            compress: false,
        }
    }
}

impl fmt::Debug for AmqpAddress {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            vhost,
            user,
            ..
        } = self;
        write!(f, "{user}@{host}:{port}, {vhost}")
    }
}
