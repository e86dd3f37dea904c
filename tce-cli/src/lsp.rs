//! `tce lsp`: a language server for editors.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use tce_idl::{Options, lock};
use tce_lsp::{Project, SessionEnd};

use crate::{config::Config, console::Console};

/// Serve an editor: diagnostics, completion, renaming and more, by the Language Server Protocol
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Editors start it and speak with it over standard input and output; editors/vscode of the
sources has an extension that does. Settings come from the tce.toml in the folder of a
file or in the nearest one above.

Exit status: 0 the editor has asked for the end, 1 it is gone, or what it sends makes
no sense.")]
pub(crate) struct Args {
    /// What editors pass to say how they speak; there is no other way
    #[arg(long, hide = true)]
    stdio: bool,
}

pub(crate) fn run(console: &mut Console) -> io::Result<ExitCode> {
    match tce_lsp::serve(io::stdin(), &mut console.out, project) {
        Ok(SessionEnd::Orderly) => Ok(ExitCode::SUCCESS),
        Ok(SessionEnd::Abrupt) => Ok(ExitCode::FAILURE),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            writeln!(console.err, "error: this is no editor: {error}")?;
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error),
    }
}

/// What goes with a file. Mistakes in a `tce.toml` are shown there; the rest of it counts.
fn project(file: &Path) -> Project {
    let read = Config::find(file).map(|path| Config::read(&path));
    let Some(read) = read else {
        return Project {
            options: options(file, &Config::default()),
            ..Project::default()
        };
    };
    Project {
        options: options(file, &read.config),
        lint: read.config.lint,
        mistakes: read.mistakes,
        sources: read.sources,
    }
}

fn options(file: &Path, config: &Config) -> Options {
    Options {
        include_dirs: config.include.clone(),
        index_files: config.index_files.clone(),
        lock_files: lock::find(&[file]),
    }
}
