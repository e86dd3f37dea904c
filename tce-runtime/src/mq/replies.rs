//! Queues of this process alone, for the RETURNs of calls by endpoints that no
//! pair names.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::config::{Address, MqEndpoint, NodeType};

const PREFIX: &str = "tce.reply.";

/// Whether an endpoint is such a queue.
pub(super) fn is_own(endpoint: &MqEndpoint) -> bool {
    is_own_name(&endpoint.name)
}

pub(super) fn is_own_name(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Such a queue, at the broker of `endpoint`.
pub(super) fn reply_endpoint(endpoint: &MqEndpoint) -> MqEndpoint {
    let name = format!("{PREFIX}{:08x}{:08x}", random_32(), random_32());
    MqEndpoint {
        address: named(name.clone()),
        name,
        reads: true,
        writes: false,
        batch: false,
        ..endpoint.clone()
    }
}

/// The default exchange of the broker of `endpoint`: each message names its
/// queue.
pub(super) fn default_exchange(endpoint: &MqEndpoint) -> MqEndpoint {
    MqEndpoint {
        address: named(String::new()),
        reads: false,
        writes: true,
        batch: false,
        ..endpoint.clone()
    }
}

fn named(name: String) -> Address {
    Address {
        name,
        subject: None,
        node: NodeType::Queue,
        create: false,
        durable: false,
    }
}

/// A number that another process, or this one's next life, hardly has.
pub(super) fn random_32() -> u32 {
    let bytes = RandomState::new().build_hasher().finish().to_be_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
