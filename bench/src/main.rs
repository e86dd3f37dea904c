//! Measures tce and other RPC systems side by side, in one run.
//!
//! For every measurement the program starts itself again, once as a server and once as a client,
//! each pinned to a core ([`process`]). A peer ([`peers`]) is a server and a client of one RPC
//! system, in some cases with a gateway or proxy between them ([`intermediary`]). [`load`] drives
//! the clients, [`run`] orders the measurements, [`report`] and [`table`] show the results.
//! [`count`] counts instructions instead. [`compare`] shows what has
//! changed since an earlier run.
//!
//! A module imports only from modules of the groups before it, or before it in its own group.

mod callgrind;
mod case;
mod disturbance;
mod machine;
mod meter;
mod package;
mod payload;
mod program;

mod control;
mod endpoint;
mod load;

mod broker;
mod peers;
mod process;

mod cli;
mod intermediary;

mod exchange;
mod report_file;

mod report;
mod table;

mod count_report;

mod compare;

mod count;
mod run;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tce_gateway::ErrorFormat;

use crate::cli::{Cli, Command};

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Count(options)) => count::count(&options)?,
        Some(Command::Compare {
            then,
            now,
            fail_beyond,
        }) => compare::files(&then, &now, fail_beyond)?,
        Some(Command::Serve { job }) => process::serve(&job)?,
        Some(Command::Drive { job }) => process::drive(&job)?,
        Some(Command::Gateway { command }) => return Ok(command.run(ErrorFormat::Text)),
        None => run::benchmark(&cli.options)?,
    }
    Ok(ExitCode::SUCCESS)
}
