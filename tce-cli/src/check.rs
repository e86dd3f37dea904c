//! `tce check`: reports diagnostics and writes no files.

use std::{path::PathBuf, process::ExitCode};

use crate::{
    console::{CommandError, Console, exit_code},
    idl::{self, IdlArgs},
};

/// Report errors in IDL files; writes no files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce check test.idl
  tce check -I common --index-file ifx-index-list.txt orders.idl users.idl
  tce check --error-format json test.idl 2>diagnostics.jsonl

Exit status: 0 no errors (warnings are possible), 1 errors, 2 the command line or a
tce.toml is wrong.")]
pub(crate) struct Args {
    /// IDL files; the files that they import are checked too
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    let compilation = args.idl.compile(&args.files, console)?;
    idl::summarize(&args.files, &compilation, console)?;
    Ok(exit_code(compilation.model.is_some()))
}
