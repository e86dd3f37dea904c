//! Calls over WebSocket, between two peers of this runtime and with other ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, in its helpers too"
)]

#[path = "../common/mod.rs"]
mod common;

mod bytes;
mod calls;
mod ending;
mod handshake;
mod limits;
mod peer;
