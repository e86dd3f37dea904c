//! Calls between two sides over real sockets.

#![allow(
    clippy::cast_possible_truncation,
    reason = "numbers are cut to bytes on purpose"
)]

// The attribute marks the helpers in these modules as test code for clippy.
#[cfg(test)]
#[path = "../common/mod.rs"]
mod common;

#[cfg(test)]
mod asynchronous;
#[cfg(test)]
mod back_pressure;
#[cfg(test)]
mod bidirectional;
#[cfg(test)]
mod busy_poll;
#[cfg(test)]
mod certainty;
#[cfg(test)]
mod compression;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod events;
#[cfg(test)]
mod expiry;
#[cfg(test)]
mod extra;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod interceptors;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod legacy_client;
#[cfg(test)]
mod legacy_server;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod oneway;
#[cfg(test)]
mod runtimes;
#[cfg(test)]
mod servants;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod ssl;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod worker_pool;
