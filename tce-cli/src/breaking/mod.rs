//! `tce breaking`: what a new version of an IDL breaks for peers that have the old one.

mod version;
mod git;
mod home;
mod tree;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use tce_idl::{Compilation, diagnostic::Diagnostic, model::Model};

use crate::{
    console::{Console, Failure},
    files,
    idl::{self, IdlArgs},
    output::{Count, ErrorFormat},
};
use version::{Against, Before};

/// Say what breaks for peers that have an earlier version of IDL files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce breaking --against git#branch=main idl/test.idl
  tce breaking --against git#tag=v1.2,subdir=proto test.idl
  tce breaking --against released .
  tce breaking --against test.idl.orig test.idl

The earlier version is a file, or a folder that stands in for this one: files, include
folders and index files are looked for in it by the same relative paths. So it is in
git, where `branch`, `tag` or `commit` say which version (HEAD without them), and
`subdir` another folder of the repository than this one. A file that is not there is
new. Of a folder, files that are gone are noticed too.

What breaks is the `wire`, for programs that run, or the `source`, for programs that
are compiled again.

Exit status: 0 nothing breaks, 1 something does, or the IDL has errors, 2 the command
line or a tce.toml is wrong, or there is no such earlier version.")]
pub(crate) struct Args {
    /// The IDL files as they are now, or folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The earlier version
    #[arg(long, value_name = "PATH|git#branch=NAME[,subdir=DIR]", value_parser = Against::parse)]
    against: Against,

    /// Only what breaks the wire: programs are compiled again with what has changed
    #[arg(long)]
    wire_only: bool,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, Failure> {
    let config = args.idl.config(console)?;
    let options = args.idl.options(&config);
    let files = files::expand(&args.files, console)?;
    let new = tce_idl::compile(&files, &options);
    let Some(new_model) = &new.model else {
        return Ok(broken(&files, &new, console)?);
    };
    let before = match args.against.before(&args.files, &options) {
        Ok(before) => before,
        Err(why) => return misused(&why, console),
    };
    let sources = new.sources.clone();
    let old = tce_idl::compile_beside(sources, &*before.tree, &before.files, &before.options);
    let Some(old_model) = &old.model else {
        writeln!(console.err, "the earlier version has errors:\n")?;
        return Ok(broken(&before.files, &old, console)?);
    };
    let changes = changes(args, old_model, new_model);
    console.show(&changes, &old.sources)?;
    report(&changes, &before, console)?;
    Ok(match changes.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn changes(args: &Args, old: &Model, new: &Model) -> Vec<Diagnostic> {
    let mut changes = tce_idl::compare(old, new);
    changes.retain(|change| change.breaks.wire || !args.wire_only);
    changes
}

/// A version that does not compile can't be compared.
fn broken(
    files: &[PathBuf],
    compilation: &Compilation,
    console: &mut Console,
) -> io::Result<ExitCode> {
    console.show(&compilation.diagnostics, &compilation.sources)?;
    idl::summarize(files, compilation, console)?;
    Ok(ExitCode::FAILURE)
}

fn misused(why: &str, console: &mut Console) -> Result<ExitCode, Failure> {
    writeln!(console.err, "error: {why}")?;
    Err(Failure::Misused)
}

/// Sums up, which programs do without.
fn report(changes: &[Diagnostic], before: &Before, console: &mut Console) -> io::Result<()> {
    if console.format != ErrorFormat::Text {
        return Ok(());
    }
    if !changes.is_empty() {
        writeln!(console.err)?;
    }
    for path in &before.missing {
        writeln!(console.err, "{} is new", path.display())?;
    }
    let name = &before.name;
    match changes.len() {
        0 => writeln!(console.err, "nothing breaks for peers that have {name}"),
        some => {
            let changes = Count(some, "breaking change");
            writeln!(console.err, "{changes} for peers that have {name}")
        }
    }
}
