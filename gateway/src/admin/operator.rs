//! What operators ask of a gateway, and change: users, their sessions, reload.

use std::pin::Pin;

use serde::{Deserialize, Serialize};

/// The result of an operation, when it is there.
pub type Operation<'a, T> = Pin<Box<dyn Future<Output = Result<T, OperatorError>> + Send + 'a>>;

/// What operators may ask and do. Called on several threads.
pub trait Operator: Send + Sync + 'static {
    /// About `limit` of the users who are on line, from a cursor on.
    fn users(&self, cursor: String, limit: usize) -> Operation<'_, OnLineUsers>;
    /// The sessions of a user, at all gateways.
    fn sessions(&self, user: String) -> Operation<'_, Vec<SessionRow>>;
    /// How many are on line.
    fn count(&self) -> Operation<'_, OnLineCount>;
    /// Closes connections. Returns how many.
    fn disconnect(&self, which: Disconnection) -> Operation<'_, usize>;
    /// Reloads the configuration.
    fn reload(&self) -> Operation<'_, ()>;
}

/// A page of users who are on line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OnLineUsers {
    /// The user ids.
    pub users: Vec<String>,
    /// Where the next page begins; empty after the last one.
    pub cursor: String,
}

/// A session of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SessionRow {
    /// The user id.
    pub user: String,
    /// The device id; empty without one.
    pub device: String,
    /// The name of the gateway.
    pub gateway: String,
    /// The address of the client; empty while it is away.
    pub address: String,
    /// The endpoint that the client connected to.
    pub endpoint: String,
    /// Unique among the connections of all gateways; empty while the client is away and
    /// its pushes are kept.
    pub connection: String,
    /// When the connection was accepted or lost, as Unix time in milliseconds.
    pub since_ms: i64,
}

/// How many are on line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OnLineCount {
    /// Gateways that share their presence.
    pub gateways: i64,
    /// Users, counted once for each gateway where they have a session.
    pub users: i64,
    /// Their sessions.
    pub sessions: i64,
}

/// Which connections are closed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disconnection {
    /// The user; `None` for the connections of all users.
    pub user: Option<String>,
    /// The device; empty for all devices of the user.
    #[serde(default)]
    pub device: String,
    /// The text for the clients.
    #[serde(default)]
    pub reason: String,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// It can't be done now.
    #[error("{0}")]
    Unavailable(String),
}

/// The answer to a request that fails.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) error: String,
}

/// The answer to a change of connections.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Disconnected {
    pub(crate) disconnected: usize,
}
