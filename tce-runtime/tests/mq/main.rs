//! Calls over message queues: at a real broker, at what goes wrong with one,
//! and in memory.

#![allow(
    clippy::cast_possible_truncation,
    reason = "numbers are cut to bytes on purpose"
)]

// The attribute tells clippy that the helpers in these are tests too.
#[cfg(test)]
#[path = "../common/mod.rs"]
mod common;
#[cfg(test)]
mod process;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod raw;
#[cfg(test)]
mod recorder;
#[cfg(test)]
mod wire;

#[cfg(test)]
mod acknowledged;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod blocked;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod declared;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod steady;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod topics;
#[cfg(test)]
mod unheard;
