//! The core as its users see it: definitions, expressions, and the machine over time.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can not go on fails"
)]

#[path = "common.rs"]
mod common;

mod child;
mod days;
mod definitions;
mod expressions;
mod interface;
mod operators;
mod properties;
mod purity;
mod runner;
mod templates;
mod time;
