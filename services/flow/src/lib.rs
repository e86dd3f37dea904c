#![doc = include_str!("../README.md")]
//!
//! A module imports only from the modules before it in this list.

/// The interface of the server: `idl/flow.idl`.
pub mod idl {
    tce_runtime::include_idl!(flow);
}

pub mod calendar;

pub mod state;

pub mod expression;

pub mod attribute;

pub mod tree;

pub mod def;

pub mod machine;

pub mod template;

pub mod store;

pub mod runner;

pub mod access;

pub mod server;

pub mod page;

pub mod client;
