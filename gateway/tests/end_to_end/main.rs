//! Clients, gateways and servers together: over every transport, under load, with
//! hostile clients, and with outages of brokers, servers and gateways.

#![allow(
    clippy::cast_possible_truncation,
    reason = "numbers are cut to bytes on purpose"
)]

// The attribute tells clippy that the helpers in these are tests too.
#[cfg(test)]
#[path = "../common/mod.rs"]
mod common;

#[cfg(test)]
#[path = "../../../tce-runtime/tests/websocket/peer.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod peer;
#[cfg(test)]
#[path = "../../../tce-runtime/tests/mq/raw.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod queue;
#[cfg(test)]
#[path = "../../../tests/recorded/vectors.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod vectors;
#[cfg(test)]
#[path = "../../../tce-runtime/tests/mq/wire.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod wire;

#[cfg(test)]
mod broker;
#[cfg(test)]
mod capacity;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod certainty;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod custom;
#[cfg(test)]
mod describe;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod fairness;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod forgery;
#[cfg(test)]
mod health;
#[cfg(test)]
mod hostile;
#[cfg(test)]
#[cfg(test)]
mod legacy;
#[cfg(test)]
mod legacy_servers;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod load;
#[cfg(test)]
mod login;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod presence;
#[cfg(test)]
mod program;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod scaling_out;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod spans;
#[cfg(test)]
mod table;
#[cfg(test)]
mod threads;
#[cfg(test)]
mod users;
