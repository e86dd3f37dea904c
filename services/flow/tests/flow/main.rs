//! The core as its users see it: definitions, expressions, and the machine over time.

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
mod time;
