#![doc = include_str!("../README.md")]
//!
//! A module imports only from the modules before it in this list.

pub mod calendar;

pub mod state;

pub mod expression;

pub mod attribute;

pub mod tree;

pub mod def;

pub mod machine;
