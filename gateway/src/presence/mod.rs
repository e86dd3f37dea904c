//! Presence: which users are on line, at this gateway and at those that share their
//! presence with it in Redis.

mod changes;

mod command;
mod keys;

mod redis;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use command::Command;
pub(crate) use redis::RedisPresence;

use crate::config::{PresenceStore, Properties};

/// Where the presence of this gateway's users is kept. Clones are the same.
#[derive(Clone)]
pub(crate) enum Presence {
    /// In this gateway alone.
    Memory,
    /// In Redis, for all gateways with the same prefix.
    Redis(RedisPresence),
}

/// One session, as servers and other gateways see it: with a client that is connected, or
/// away while the gateway keeps its pushes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionRecord {
    /// Unique among the sessions of all gateways; empty while the client is away.
    #[serde(rename = "c", default, skip_serializing_if = "String::is_empty")]
    pub(crate) connection_id: String,
    /// Empty if the login had none.
    #[serde(rename = "d", default, skip_serializing_if = "String::is_empty")]
    pub(crate) device_id: String,
    /// Empty while the client is away.
    #[serde(rename = "a", default, skip_serializing_if = "String::is_empty")]
    pub(crate) address: String,
    /// The name of the endpoint that the client connected to.
    #[serde(rename = "e")]
    pub(crate) endpoint: String,
    /// Since when the client is connected or away: Unix time in milliseconds.
    #[serde(rename = "s")]
    pub(crate) since: u64,
    /// The history that keeps the pushes. Two gateways may have it for a moment, while its
    /// client comes back at the other one.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<u64>,
}

impl SessionRecord {
    pub(crate) fn is_connected(&self) -> bool {
        !self.connection_id.is_empty()
    }
}

/// What other gateways know of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GatewayRecord {
    pub(crate) name: String,
    /// The queue at the broker that only this gateway reads; empty without one.
    pub(crate) queue: String,
    /// The number of its users at the last refresh.
    pub(crate) users: u64,
    /// The number of its sessions at the last refresh.
    pub(crate) sessions: u64,
}

/// The sessions of this gateway.
pub(crate) trait LocalSessions: Send + Sync + 'static {
    /// The sessions of a user, those of clients that are away included.
    fn of_user(&self, user: &str) -> Vec<SessionRecord>;
    /// The users who are on line, each once.
    fn users(&self) -> Vec<Arc<str>>;
    /// The users with clients that are away, each once.
    fn users_away(&self) -> Vec<Arc<str>>;
    /// The number of users who are on line.
    fn user_count(&self) -> usize;
    /// The number of sessions with a user.
    fn session_count(&self) -> usize;
}

/// Why other gateways are not known now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the presence of other gateways can't be read: {0}")]
pub(crate) struct PresenceError(String);

impl Presence {
    /// The store that the properties name, for the gateway `name`.
    ///
    /// # Errors
    /// `presence` is redis without a valid `redis`.
    pub(crate) fn new(properties: &Properties, name: &str) -> Result<Self, InvalidPresence> {
        Ok(match properties.presence {
            PresenceStore::Memory => Self::Memory,
            PresenceStore::Redis => {
                let url = properties.redis.as_ref().ok_or(InvalidPresence)?;
                let keys = keys::Keys::new(&properties.redis_prefix, name);
                let refresh = properties.presence_refresh;
                let redis = RedisPresence::new(url, keys, refresh);
                Self::Redis(redis.ok_or(InvalidPresence)?)
            }
        })
    }

    /// Starts to announce the users of this gateway, which `gateway` describes. `execute`
    /// gets the commands of other gateways, and must not block.
    pub(crate) fn start(
        &self,
        gateway: impl Fn() -> GatewayRecord + Send + Sync + 'static,
        local: Arc<dyn LocalSessions>,
        execute: impl Fn(Command) + Send + Sync + 'static,
    ) {
        if let Self::Redis(redis) = self {
            redis.start(Box::new(gateway), local, Arc::new(execute));
        }
    }

    /// Removes the users of this gateway, which ends: within seconds if Redis does not
    /// answer.
    pub(crate) async fn end(&self) {
        if let Self::Redis(redis) = self {
            redis.end().await;
        }
    }

    /// The sessions of a user have changed.
    pub(crate) fn changed(&self, user: &Arc<str>) {
        if let Self::Redis(redis) = self {
            redis.changed(user);
        }
    }
}

/// `presence` is redis, and `redis` is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("presence=redis needs `redis`, the URL of the server, for example redis://localhost:6379")]
pub struct InvalidPresence;
