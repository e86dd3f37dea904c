//! `tce breaking`: reports changes of an IDL that break peers with an earlier version.

mod tree;

mod git;

mod version;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use tce_gateway::ErrorFormat;
use tce_idl::{Compilation, diagnostic::Diagnostic, model::Model};

use crate::{
    console::{CommandError, Console, Count, exit_code},
    idl::{self, IdlArgs},
};
use version::{EarlierVersion, VersionSpec};

/// Report changes that break peers with an earlier version of IDL files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce breaking --against git#branch=main idl/test.idl
  tce breaking --against git#tag=v1.2,subdir=proto test.idl
  tce breaking --against released .
  tce breaking --against test.idl.orig test.idl

The earlier version is a file, a folder or a git revision. From a folder, files, include
folders and index files are read by their paths relative to this one. For git, `branch`,
`tag` or `commit` select the version (default HEAD), and `subdir` the folder of the
repository that corresponds to this one. A file that the earlier version does not
have is new; files that are gone from a folder are reported.

A change breaks the `wire`, for running programs, or the `source`, for programs that are
compiled again.

Exit status: 0 nothing breaks, 1 something breaks or the IDL has errors, 2 the command
line or a tce.toml is wrong, or the earlier version does not exist.")]
pub(crate) struct Args {
    /// IDL files of the present version, or folders of them [default: the sources of tce.toml]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Earlier version
    #[arg(long, value_name = "PATH|git#branch=NAME[,subdir=DIR]", value_parser = VersionSpec::parse)]
    against: VersionSpec,

    /// Report only changes that break the wire, for when all programs are compiled again
    #[arg(long)]
    wire_only: bool,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    let config = args.idl.config(console)?;
    let options = args.idl.options(&config);
    let sources = idl::sources(&args.files, &config, console)?;
    let files = idl::files(sources, &config, console)?;
    let new = tce_idl::compile(&files, &options);
    let Some(new_model) = &new.model else {
        return Ok(show_errors(&files, &new, console)?);
    };
    let earlier = match args.against.find(sources, &options) {
        Ok(earlier) => earlier,
        Err(why) => return Err(console.usage_error(why)),
    };
    let old = tce_idl::compile_beside(
        new.sources.clone(),
        &*earlier.tree,
        &earlier.files,
        &earlier.options,
    );
    let Some(old_model) = &old.model else {
        writeln!(console.err, "the earlier version has errors:\n")?;
        return Ok(show_errors(&earlier.files, &old, console)?);
    };
    let changes = changes(args, old_model, new_model);
    console.show(&changes, &old.sources)?;
    report(&changes, &earlier, console)?;
    Ok(exit_code(changes.is_empty()))
}

fn changes(args: &Args, old: &Model, new: &Model) -> Vec<Diagnostic> {
    let mut changes = tce_idl::compare(old, new);
    changes.retain(|change| change.breaks.wire || !args.wire_only);
    changes
}

/// Shows why a version can't be compared.
fn show_errors(
    files: &[PathBuf],
    compilation: &Compilation,
    console: &mut Console,
) -> io::Result<ExitCode> {
    console.show(&compilation.diagnostics, &compilation.sources)?;
    idl::summarize(files, compilation, console)?;
    Ok(ExitCode::FAILURE)
}

/// Writes the new files and the number of changes; only in the format for people.
fn report(
    changes: &[Diagnostic],
    earlier: &EarlierVersion,
    console: &mut Console,
) -> io::Result<()> {
    if console.format != ErrorFormat::Text {
        return Ok(());
    }
    if !changes.is_empty() {
        writeln!(console.err)?;
    }
    for path in &earlier.missing {
        writeln!(console.err, "{} is new", path.display())?;
    }
    let name = &earlier.name;
    match changes.len() {
        0 => writeln!(console.err, "nothing breaks for peers that have {name}"),
        some => {
            let changes = Count(some, "breaking change");
            writeln!(console.err, "{changes} for peers that have {name}")
        }
    }
}
