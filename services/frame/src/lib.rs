//! The work frame: agents on several machines host packages of services and crontabs in a namespace,
//! over RabbitMQ.
//!
//! A module imports only from the modules before it in this list.

/// The interface of agents: `idl/frame.idl`.
pub mod idl {
    tce_runtime::include_idl!(frame);
}

mod clock;

pub mod version;

pub mod manifest;

pub mod signature;

pub mod schedule;

pub mod config;

pub mod deployment;

pub mod install;

mod process;

mod host;

mod broker;

mod service;

mod cron;

mod hosted;

mod management;

mod agent;

mod client;

mod package_program;

mod log;

pub mod command;

pub use agent::{Agent, AgentError, AgentOptions};
pub use broker::BrokerError;
pub use client::{Frame, FrameError};
pub use log::log_to_stderr;
pub use package_program::serve_package;
