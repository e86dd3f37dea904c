//! `tce new`: creates a project that builds and runs.

mod language;
mod name;
mod source;

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::console::{CommandError, Console};
use language::ProjectLanguage;
use name::{NameError, ProjectName};
use source::{CrateSource, CrateSourceError};

/// Added to the Cargo.toml of a project inside another workspace.
const WORKSPACE_SECTION: &str = "
# A workspace of its own. To join the surrounding workspace, add this project to the
# members there and remove this section.
[workspace]
";

/// Create a project: an IDL, a server, a client, a test and a README
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce new hello
  tce new services/hello --tce ../tce
  tce new hello --tce https://git.example.org/tce.git
  tce new hello --lang python

The project depends on the crates tce-runtime and tce-codegen, or on the package tce for
Python or TypeScript. These are not in a registry: they come from the checkout or git
repository that --tce names, or else from the checkout that this tce was built from.
Cargo.toml has its path from the project, unless --tce names an absolute one.

Exit status: 0 the project is created, 1 it can't be written, 2 the command line is wrong
or the folder exists.")]
pub(crate) struct Args {
    /// Folder of the project; its last component is the name of the package
    #[arg(value_name = "NAME")]
    folder: PathBuf,

    /// A checkout of tce, or the URL of its git repository
    #[arg(long, value_name = "PATH|URL")]
    tce: Option<String>,

    /// Language of the project
    #[arg(short, long, value_enum, default_value_t)]
    lang: ProjectLanguage,
}

/// Why the project can't be created.
#[derive(Debug, thiserror::Error)]
enum NewError {
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("{0}")]
    Source(#[from] CrateSourceError),
    #[error("`{}` already exists: choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    #[error("can't write `{}`: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    match create(args) {
        Ok((name, source)) => {
            let folder = args.folder.display();
            let note = match source.is_path() {
                true => {
                    "\nIt refers to a checkout of tce by path; for others, name its git repository: --tce URL"
                }
                false => "",
            };
            let commands = args
                .lang
                .next_commands()
                .replace("{{module}}", &name.module);
            writeln!(
                console.out,
                "created {folder}: a server, a client and their IDL\n\n\
                 Next:\n  cd {folder}\n{commands}\nREADME.md describes the files.{note}"
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ NewError::Io { .. }) => Ok(console.fail(error)?),
        Err(error) => Err(console.usage_error(error)),
    }
}

fn create(args: &Args) -> Result<(ProjectName, CrateSource), NewError> {
    let name = ProjectName::from_folder(&args.folder, args.lang)?;
    let source = CrateSource::find(args.tce.as_deref(), &args.folder)?;
    let npm_package = match args.lang {
        ProjectLanguage::TypeScript => source.npm_package()?,
        ProjectLanguage::Rust | ProjectLanguage::Python => String::new(),
    };
    if args.folder.symlink_metadata().is_ok() {
        return Err(NewError::Exists(args.folder.clone()));
    }
    let is_inside = is_inside_workspace(&args.folder);
    for (path, text) in files(args.lang, &name, &source, &npm_package, is_inside) {
        write(&args.folder.join(path), &text)?;
    }
    Ok((name, source))
}

/// Path and text of each file of this project.
fn files(
    language: ProjectLanguage,
    name: &ProjectName,
    source: &CrateSource,
    npm_package: &str,
    is_inside: bool,
) -> Vec<(String, String)> {
    let fill = |text: &str| {
        text.replace("{{name}}", &name.package)
            .replace("{{module}}", &name.module)
            .replace("{{source}}", source.comment(language))
            .replace("{{tce-npm}}", npm_package)
            .replace("{{tce-python}}", &source.python_requirement())
            .replace("{{tce-runtime}}", &source.dependency("tce-runtime"))
            .replace("{{tce-codegen}}", &source.dependency("tce-codegen"))
    };
    let mut files: Vec<_> = language
        .files()
        .iter()
        .map(|(path, text)| (fill(path), fill(text)))
        .collect();
    if is_inside && language == ProjectLanguage::Rust {
        files[0].1.push_str(WORKSPACE_SECTION);
    }
    files
}

fn write(path: &Path, text: &str) -> Result<(), NewError> {
    let failed = |source| NewError::Io {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}

/// Whether the folder is inside a Cargo workspace, of which the project is not a member.
fn is_inside_workspace(folder: &Path) -> bool {
    let Ok(folder) = std::path::absolute(folder) else {
        return false;
    };
    folder.ancestors().skip(1).any(|folder| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|line| line.starts_with("[workspace"))
    })
}
