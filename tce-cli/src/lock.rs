//! `tce lock`: records the indices that peers rely on.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use tce_idl::{
    Options,
    diagnostic::Diagnostic,
    loader::{self, FileSystem, Loader},
    lock::{self, Lock},
    model::Model,
    source::SourceMap,
};

use crate::{
    console::{CommandError, Console},
    idl::{self, IdlArgs},
};

/// Record the indices of IDL files in tce.lock; compile and check refuse other indices
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce lock test.idl
  tce lock --check test.idl         for CI: are all indices locked?
  tce lock --renumber test.idl      lock new indices, even if peers still use the old ones

The lock is the tce.lock in the folder of the files or the nearest folder above; if there
is none, it is created beside the first file, or in the first folder. Commit it. Name all
files that open a module: an element that the module no longer has is marked as retired,
and its index is not used again.

Exit status: 0 all indices are locked, 1 the IDL has errors, an index differs from the
lock or, with --check, is not locked yet, 2 the command line or a tce.toml is wrong.")]
pub(crate) struct Args {
    /// IDL files, or folders of them [default: the sources of tce.toml]; the files that they import
    /// are locked too
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Write nothing; fail if the lock is not up to date
    #[arg(long)]
    check: bool,

    /// Replace locked indices that differ
    #[arg(long, conflicts_with = "check")]
    renumber: bool,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    let config = args.idl.config(console)?;
    let sources = idl::sources(&args.files, &config, console)?;
    let files = idl::files(sources, &config, console)?;
    let found = lock::find(&files);
    if let [first, second, ..] = found.as_slice() {
        let (first, second) = (first.display(), second.display());
        return Err(console.usage_error(format!(
            "the files have several locks, {first} and {second}: run `tce lock` for each"
        )));
    }
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
            Ok(loaded) => lock = loaded,
            Err(mistakes) => {
                console.show(&mistakes, &compilation.sources)?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    if let Some(path) = found.first()
        && let Some((name, file)) = lost(&lock, &model, path, &compilation.sources, &options)
    {
        return Err(console.usage_error(format!(
            "`{name}` would be marked as removed, but {} declares it: name all files that open \
             its module in one command",
            file.display()
        )));
    }
    if args.check {
        let stale = lock.stale(&model);
        return Ok(check(&stale, &compilation.sources, console)?);
    }
    lock.update(&model);
    let new_lock = || match sources.first() {
        Some(first) if !first.is_dir() => first.with_file_name(lock::FILE_NAME),
        folder => folder
            .map_or_else(PathBuf::new, PathBuf::clone)
            .join(lock::FILE_NAME),
    };
    let path = found.into_iter().next().unwrap_or_else(new_lock);
    Ok(write(&path, &lock.to_string(), console)?)
}

/// An interface or operation that the lock would lose, and the file that declares it: one beside or
/// below the lock that was not compiled.
fn lost(
    lock: &Lock,
    model: &Model,
    path: &Path,
    sources: &SourceMap,
    options: &Options,
) -> Option<(String, PathBuf)> {
    if !lock.loses(model) {
        return None;
    }
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let read: Vec<PathBuf> = sources
        .files()
        .iter()
        .map(|file| FileSystem.identity(file.path()))
        .collect();
    loader::idl_files(folder.unwrap_or(Path::new(".")))
        .into_iter()
        .filter(|file| !read.contains(&FileSystem.identity(file)))
        .find_map(|file| {
            let options = Options {
                lock_files: Vec::new(),
                ..options.clone()
            };
            let other = tce_idl::compile(&[&file], &options).model?;
            let name = lock.lost(model, &other).into_iter().next()?;
            Some((name, loader::plain(&file)))
        })
}

/// Shows what `--check` has found.
fn check(stale: &[Diagnostic], sources: &SourceMap, console: &mut Console) -> io::Result<ExitCode> {
    console.show(stale, sources)?;
    if stale.is_empty() {
        writeln!(console.out, "all indices are locked")?;
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
        return console.fail(format!("can't write {name}: {error}"));
    } else {
        writeln!(console.out, "wrote {name}")?;
    }
    Ok(ExitCode::SUCCESS)
}
