//! `tce lsp`: a language server for editors.

use std::{
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use tce_idl::{Options, lock};
use tce_lsp::{Project, SessionEnd};

use crate::{config::ProjectConfig, console::Console};

/// Run a language server for editors (Language Server Protocol)
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An editor starts this command and talks to it over standard input and output, as the
extension in editors/vscode of the source repository does. The settings of a file are in
the tce.toml in its folder or the nearest folder above.

Exit status: 0 the editor has sent `exit` after `shutdown`, 1 the editor has closed the
connection without them, or has sent an invalid message.")]
pub(crate) struct Args {
    /// Accepted because editors pass it; standard input and output are the only transport
    #[arg(long, hide = true)]
    stdio: bool,
}

pub(crate) fn run(console: &mut Console) -> io::Result<ExitCode> {
    match tce_lsp::serve(Input(io::stdin()), &mut console.out, project) {
        Ok(SessionEnd::Orderly) => Ok(ExitCode::SUCCESS),
        Ok(SessionEnd::Abrupt) => Ok(ExitCode::FAILURE),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            console.fail(format!("invalid message on standard input: {error}"))
        }
        Err(error) if error.kind() == io::ErrorKind::Other => console.fail(error),
        Err(error) => Err(error),
    }
}

/// Standard input. Its errors name it, and have the kind `Other`, which errors of the output do not
/// have.
struct Input(io::Stdin);

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            // The caller tries again.
            io::ErrorKind::Interrupted => error,
            _ => io::Error::other(format!("can't read standard input: {error}")),
        })
    }
}

/// The project of a file. Mistakes in its `tce.toml` are shown there; the valid settings apply.
fn project(file: &Path) -> Project {
    let Some(path) = ProjectConfig::find(file) else {
        return Project {
            options: options(file, &ProjectConfig::default()),
            ..Project::default()
        };
    };
    let loaded = ProjectConfig::read(&path);
    Project {
        options: options(file, &loaded.config),
        lint: loaded.config.lint,
        mistakes: loaded.mistakes,
        sources: loaded.sources,
    }
}

fn options(file: &Path, config: &ProjectConfig) -> Options {
    Options {
        include_dirs: config.include.clone(),
        index_files: config.index_files.clone(),
        lock_files: lock::find(&[file]),
    }
}
