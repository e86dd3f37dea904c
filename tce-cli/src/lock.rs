//! `tce lock`: the indices that peers rely on, in a file.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use tce_idl::{
    Options,
    diagnostic::Diagnostic,
    loader::FileSystem,
    lock::{self, Lock},
    source::SourceMap,
};

use crate::{
    console::{Console, Failure},
    files,
    idl::{self, IdlArgs},
};

/// Write the indices of IDL files to tce.lock, which compile and check hold them to
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce lock test.idl
  tce lock --check test.idl         in CI: is everything locked?
  tce lock --renumber test.idl      take new indices, though peers may have the old ones

The lock is the tce.lock in the folder of the files, or the nearest one above; where
there is none, one is written beside the first file, or into the first folder. Commit it. Give all files that
open a module: what it does not have any more is marked as retired, and its index
stays taken.

Exit status: 0 all is locked, 1 the IDL has errors, an index is not the locked one or,
with --check, something is not locked yet, 2 the command line or a tce.toml is wrong.")]
pub(crate) struct Args {
    /// The IDL files, or folders of them; what they import is locked too
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Write nothing; fail if the lock is not what would be written
    #[arg(long)]
    check: bool,

    /// Lock the indices as they are now, those that moved too
    #[arg(long, conflicts_with = "check")]
    renumber: bool,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, Failure> {
    let files = files::expand(&args.files, console)?;
    let found = lock::find(&files);
    if let [first, second, ..] = found.as_slice() {
        let (first, second) = (first.display(), second.display());
        let message = format!("these files have several locks, as {first} and {second}");
        writeln!(
            console.err,
            "error: {message}: lock them one after the other"
        )?;
        return Err(Failure::Misused);
    }
    let config = args.idl.config(console)?;
    let options = Options {
        lock_files: if args.renumber {
            Vec::new()
        } else {
            found.clone()
        },
        ..args.idl.options(&config)
    };
    let mut compilation = tce_idl::compile(&files, &options);
    console.show(&compilation.diagnostics, &compilation.sources)?;
    let Some(model) = compilation.model.take() else {
        idl::summarize(&files, &compilation, console)?;
        return Ok(ExitCode::FAILURE);
    };
    let mut lock = Lock::default();
    if let Some(path) = found.first() {
        match Lock::load(&FileSystem, path, &mut compilation.sources) {
            Ok(before) => lock = before,
            Err(wrong) => {
                console.show(&wrong, &compilation.sources)?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    if args.check {
        let stale = lock.stale(&model);
        return Ok(check(&stale, &compilation.sources, console)?);
    }
    lock.update(&model);
    let first = &args.files[0];
    let beside = || match first.is_dir() {
        true => first.join(lock::FILE_NAME),
        false => first.with_file_name(lock::FILE_NAME),
    };
    let path = found.into_iter().next().unwrap_or_else(beside);
    Ok(write(&path, &lock.to_string(), console)?)
}

/// Says what `--check` has found.
fn check(stale: &[Diagnostic], sources: &SourceMap, console: &mut Console) -> io::Result<ExitCode> {
    console.show(stale, sources)?;
    if stale.is_empty() {
        writeln!(console.out, "everything is locked")?;
        return Ok(ExitCode::SUCCESS);
    }
    console.summarize(stale, sources.files().len())?;
    Ok(ExitCode::FAILURE)
}

fn write(path: &Path, text: &str, console: &mut Console) -> io::Result<ExitCode> {
    let name = path.display();
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        writeln!(console.out, "{name} is up to date")?;
    } else if let Err(error) = fs::write(path, text) {
        writeln!(console.err, "error: can't write {name}: {error}")?;
        return Ok(ExitCode::FAILURE);
    } else {
        writeln!(console.out, "wrote {name}")?;
    }
    Ok(ExitCode::SUCCESS)
}
