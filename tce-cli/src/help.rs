//! `tce completions` and `tce man`: the command line, described for shells and for `man`.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Command;
use clap_complete::Shell;

use crate::console::{Console, Count};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce completions bash > ~/.local/share/bash-completion/completions/tce
  tce completions zsh  > ~/.zfunc/_tce        (with ~/.zfunc in $fpath)
  tce completions fish > ~/.config/fish/completions/tce.fish")]
pub(crate) struct CompletionsArgs {
    /// Name of the shell
    shell: Shell,
}

/// Write manual pages, one per subcommand
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce man ~/.local/share/man/man1
  tce man . && man ./tce-compile.1")]
pub(crate) struct ManArgs {
    /// Folder to write to; created if missing
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Prints the completion script of the program `tce`.
pub(crate) fn completions(
    args: &CompletionsArgs,
    mut tce: Command,
    console: &mut Console,
) -> io::Result<ExitCode> {
    // Generated into memory, because clap_complete panics when a write fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut tce, "tce", &mut script);
    console.out.write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the manual pages of the program `tce`.
pub(crate) fn man(args: &ManArgs, tce: Command, console: &mut Console) -> io::Result<ExitCode> {
    let folder = args.folder.display();
    match write_pages(tce, &args.folder) {
        Ok(pages) => {
            writeln!(console.err, "wrote {} to {folder}", Count(pages, "page"))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => console.fail(format!("can't write to `{folder}`: {error}")),
    }
}

/// Writes the pages, and returns their number.
fn write_pages(tce: Command, folder: &Path) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    let mut tce = tce.disable_help_subcommand(true);
    // Sets the full name of each subcommand, which is the file name of its page.
    tce.build();
    let subcommands = tce
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let subcommands: Vec<_> = subcommands.cloned().collect();
    let pages = subcommands.len() + 1;
    for command in std::iter::once(tce).chain(subcommands) {
        clap_mangen::Man::new(command).generate_to(folder)?;
    }
    Ok(pages)
}
