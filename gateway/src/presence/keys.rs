//! What is kept in Redis.
//!
//! | key | type | content |
//! | --- | --- | --- |
//! | `PREFIX:gateways` | set | the instances of gateways: `NAME:RUN` |
//! | `PREFIX:gateway:INSTANCE` | hash, expires | by user id the sessions there, and the gateway itself under the empty field |
//! | `PREFIX:control:INSTANCE` | channel | commands for the gateway |
//!
//! All users of a gateway are in one key: one command keeps them alive, and they vanish
//! together when the gateway has died.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};

/// The field of a gateway itself; a user id is never empty.
pub(super) const GATEWAY_FIELD: &str = "";

/// The names of keys and channels.
#[derive(Debug)]
pub(super) struct Keys {
    prefix: String,
    /// This run of this gateway.
    pub(super) instance: Arc<str>,
}

impl Keys {
    /// The keys of this run of the gateway `name`: a random number distinguishes it from
    /// earlier ones, and from other gateways of that name.
    pub(super) fn new(prefix: &str, name: &str) -> Self {
        let run_id = RandomState::new().hash_one(name);
        Self {
            prefix: prefix.to_owned(),
            instance: format!("{name}:{run_id:016x}").into(),
        }
    }

    pub(super) fn gateways(&self) -> String {
        format!("{}:gateways", self.prefix)
    }

    pub(super) fn gateway(&self, instance: &str) -> String {
        format!("{}:gateway:{instance}", self.prefix)
    }

    pub(super) fn control(&self, instance: &str) -> String {
        format!("{}:control:{instance}", self.prefix)
    }
}

/// The value of a field.
pub(super) fn encode(value: &impl Serialize) -> String {
    // Texts and numbers alone, which JSON has.
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads a field; `None` if it is missing, or of a later version that this one does not
/// understand.
pub(super) fn decode<T: DeserializeOwned>(value: Option<&str>) -> Option<T> {
    serde_json::from_str(value?).ok()
}
