//! Authenticators: accepted logins, and the texts of refusals.

#[cfg(test)]
mod guard;
#[cfg(test)]
mod interface;
#[cfg(test)]
mod jwt;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod log;

use tce_gateway::auth::Login;

/// A login with this token.
fn login(token: &str) -> Login {
    Login {
        token: token.to_owned(),
        device_id: None,
        peer: "tcp://192.0.2.1:40000".to_owned(),
    }
}
