//! The workflow server's core: trees of tasks, their definitions, and the machine that runs them.
//!
//! Everything here is pure: no I/O, no clock, no randomness.
//!
//! A module imports only from the modules before it in this list.

pub mod calendar;

pub mod state;

pub mod expression;

pub mod attribute;

pub mod tree;

pub mod def;

pub mod machine;
