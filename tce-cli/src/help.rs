//! `tce man`: manual pages.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::CommandFactory;

use crate::{Cli, console::Console, output::Count};

/// Write manual pages, one for each subcommand
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce man ~/.local/share/man/man1
  tce man . && man ./tce-compile.1")]
pub(crate) struct Args {
    /// The folder to write to; it is made where it is missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> io::Result<ExitCode> {
    match pages(&args.folder) {
        Ok(pages) => {
            let folder = args.folder.display();
            writeln!(console.err, "wrote {} to {folder}", Count(pages, "page"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let folder = args.folder.display();
            writeln!(console.err, "error: can't write to `{folder}`: {error}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Writes the pages, and says how many there are.
fn pages(folder: &PathBuf) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    let mut tce = Cli::command().disable_help_subcommand(true);
    // Gives each subcommand its full name, which its page is called by.
    tce.build();
    let subcommands = tce
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let all: Vec<_> = subcommands.cloned().collect();
    let pages = all.len() + 1;
    for command in std::iter::once(tce).chain(all) {
        clap_mangen::Man::new(command).generate_to(folder)?;
    }
    Ok(pages)
}
