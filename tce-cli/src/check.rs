//! `tce check`: diagnostics alone.

use std::{path::PathBuf, process::ExitCode};

use crate::{
    console::{Console, Failure},
    idl::{self, IdlArgs},
};

/// Say what is wrong with IDL files, and write nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce check test.idl
  tce check -I common --index-file ifx-index-list.txt orders.idl users.idl
  tce check --error-format json test.idl 2>diagnostics.jsonl

Exit status: 0 no errors (there may be warnings), 1 there are errors,
2 the command line or a tce.toml is wrong.")]
pub(crate) struct Args {
    /// The IDL files; what they import is checked too
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, Failure> {
    let compilation = args.idl.compile(&args.files, console)?;
    idl::summarize(&args.files, &compilation, console)?;
    Ok(match compilation.model {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}
