//! Calls over message queues: at RabbitMQ, at faulty brokers, and in memory.

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
mod certainty;
#[cfg(test)]
mod declared;
#[cfg(test)]
mod deliveries;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod multi_calls;
#[cfg(test)]
mod poison;
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
