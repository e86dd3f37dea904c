//! `tce completions`: what a shell needs to complete `tce` commands.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{Cli, console::Console};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce completions bash > ~/.local/share/bash-completion/completions/tce
  tce completions zsh  > ~/.zfunc/_tce        (with ~/.zfunc in $fpath)
  tce completions fish > ~/.config/fish/completions/tce.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> io::Result<ExitCode> {
    // Into memory first: clap_complete panics where it can't write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tce", &mut script);
    console.out.write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
