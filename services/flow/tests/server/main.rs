//! The server as its clients see it, over sockets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can not go on fails"
)]

mod common;

mod access;
mod calls;
mod changes;
mod crashes;
mod installation;
mod suites;
mod process;
mod store;
