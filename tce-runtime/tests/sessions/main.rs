//! Sessions that last: calls while a connection is down, reconnecting, logging in
//! again, and staying connected in silence.

#![allow(
    clippy::cast_possible_truncation,
    reason = "numbers are cut to bytes on purpose"
)]

// The attribute marks the helpers in these modules as test code for clippy.
#[cfg(test)]
#[path = "../common/mod.rs"]
mod common;
#[cfg(test)]
#[path = "../websocket/peer.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod peer;

#[cfg(test)]
mod backoff;
#[cfg(test)]
mod go_away;
#[cfg(test)]
mod login;
#[cfg(test)]
mod nested;
#[cfg(test)]
mod numbers;
#[cfg(test)]
mod queued_calls;
#[cfg(test)]
mod silence;

/// The transports that reconnect.
#[cfg(test)]
const SCHEMES: [&str; 2] = ["tcp://127.0.0.1:0", "ws://127.0.0.1:0/"];
