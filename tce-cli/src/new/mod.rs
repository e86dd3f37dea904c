//! `tce new`: a project that builds and runs.

mod name;
mod source;
mod template;

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::console::{Console, Failure};
use name::Name;
use source::Source;

/// Begin a project: an IDL, a server, a client, a test and a README
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce new hello
  tce new services/hello --tce ../tce
  tce new hello --tce https://git.example.org/tce.git

The crates that a project needs, tce-runtime and tce-codegen, come from where this tce
was built, or from where --tce says.

Exit status: 0 the project is there, 1 it can't be written, 2 the command line is wrong
or something is there already.")]
pub(crate) struct Args {
    /// The folder of the project; its last part is the name of the package
    #[arg(value_name = "NAME")]
    folder: PathBuf,

    /// Where tce is: a checkout of it, or the URL of its git repository
    #[arg(long, value_name = "PATH|URL")]
    tce: Option<String>,
}

/// Why there is no project.
#[derive(Debug, thiserror::Error)]
enum NotMade {
    #[error("{0}")]
    Name(#[from] name::NoName),
    #[error("{0}")]
    Source(#[from] source::NoSource),
    #[error("`{}` is there already: choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    #[error("can't write `{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, Failure> {
    match make(args) {
        Ok(()) => {
            let folder = args.folder.display();
            writeln!(
                console.out,
                "created {folder}: a server, a client and what they agree on\n\n\
                 Next:\n  cd {folder}\n  cargo run --bin server    in one terminal\n  \
                 cargo run --bin client    in another\n\nIts README.md says what is where."
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(console.err, "error: {error}")?;
            match error {
                NotMade::Io { .. } => Ok(ExitCode::FAILURE),
                _ => Err(Failure::Misused),
            }
        }
    }
}

fn make(args: &Args) -> Result<(), NotMade> {
    let name = Name::of_folder(&args.folder)?;
    let source = Source::find(args.tce.as_deref())?;
    if args.folder.symlink_metadata().is_ok() {
        return Err(NotMade::Exists(args.folder.clone()));
    }
    let is_inside = is_inside_workspace(&args.folder);
    for (path, text) in template::files(&name, &source, is_inside) {
        write(&args.folder.join(path), &text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), NotMade> {
    let failed = |source| NotMade::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}

/// Whether cargo would take the project for a part of a workspace around it,
/// which does not know of it.
fn is_inside_workspace(folder: &Path) -> bool {
    let Ok(folder) = std::path::absolute(folder) else {
        return false;
    };
    folder.ancestors().skip(1).any(|folder| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line.starts_with("[workspace"))
    })
}
