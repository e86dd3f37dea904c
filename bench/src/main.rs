//! Measures tce, its peers and the floor under them, side by side, in one run.
//!
//! The program starts itself again for every measurement: once as a server, once as a client, each
//! pinned to a core of its own ([`process`]). A peer ([`peers`]) is a server and a client of one
//! RPC system; [`load`] drives the clients, [`run`] orders the measurements, [`report`] turns them
//! into rows.

mod broker;
mod cli;
mod control;
mod disturbance;
mod load;
mod machine;
mod meter;
mod payload;
mod peers;
mod process;
mod report;
mod run;
mod shape;
mod table;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Cli, Role};

fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.role {
        Some(Role::Serve { job }) => process::serve(&job),
        Some(Role::Drive { job }) => process::drive(&job),
        None => run::benchmark(&cli.options),
    }
}
