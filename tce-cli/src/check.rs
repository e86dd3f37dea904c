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
  tce check idl                      all .idl files in a folder and its subfolders
  tce check                          the `sources` of a tce.toml
  tce check -I common --index-file ifx-index-list.txt orders.idl users.idl
  tce check --error-format json test.idl 2>diagnostics.jsonl

Exit status: 0 no errors (warnings are possible), 1 errors, 2 the command line or a
tce.toml is wrong.")]
pub(crate) struct Args {
    /// IDL files, and folders of them [default: the sources of tce.toml]; the files that they import
    /// are checked too
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    let config = args.idl.config(console)?;
    let files = idl::files(&args.files, &config, console)?;
    let compilation = args.idl.compile(&config, &files, console)?;
    idl::summarize(&files, &compilation, console)?;
    Ok(exit_code(compilation.model.is_some()))
}
