//! Measures tce, its peers and the floor under them, side by side, in one run.
//!
//! The program starts itself again for every measurement: once as a server, once as a client, each
//! pinned to a core of its own ([`process`]). A peer ([`peers`]) is a server and a client of one
//! RPC system, perhaps with a gateway or proxy [`intermediary`] them; [`load`] drives the clients,
//! [`run`] orders the measurements, [`report`] turns them into rows.

mod broker;
mod case;
mod cli;
mod control;
mod disturbance;
mod endpoint;
mod intermediary;
mod load;
mod machine;
mod meter;
mod package;
mod payload;
mod peers;
mod process;
mod program;
mod report;
mod run;
mod table;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Cli, Role};

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    match cli.role {
        Some(Role::Serve { job }) => process::serve(&job)?,
        Some(Role::Drive { job }) => process::drive(&job)?,
        Some(Role::Gateway { command }) => return Ok(command.run()),
        None => run::benchmark(&cli.options)?,
    }
    Ok(ExitCode::SUCCESS)
}
