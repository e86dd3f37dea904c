//! What users of the work frame rely on.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test without its broker, agent or files fails"
)]

mod changes;
mod client;
mod commands;
mod common;
mod configuration;
mod crontabs;
mod example;
mod interface;
mod services;
