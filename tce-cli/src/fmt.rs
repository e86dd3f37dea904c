//! `tce fmt`: formats IDL files.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use tce_gateway::ErrorFormat;
use tce_idl::{
    Formatted,
    loader::{FileSystem, MAX_FILE_BYTES, Memory},
};

use crate::{
    config::ProjectConfig,
    console::{CommandError, Console, Count, exit_code},
    idl,
};

/// The file name of standard input in diagnostics.
const STDIN: &str = "<stdin>";

/// Format IDL files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce fmt test.idl
  tce fmt idl                        all .idl files in a folder and its subfolders
  tce fmt --check idl                for CI: are all files formatted?
  tce fmt - <test.idl                standard input to standard output, for editors

Comments keep their places, and the meaning does not change. A file with syntax errors
is not changed.

Exit status: 0 all files are formatted, 1 a file has syntax errors, can't be written or,
with --check, is not formatted, 2 the command line is wrong.")]
pub(crate) struct Args {
    /// IDL files, and folders of them; - is standard input [default: the sources of tce.toml]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Write nothing; fail if a file is not formatted
    #[arg(long)]
    check: bool,
}

/// Numbers of files: all, those that the formatter changes, and those that failed.
#[derive(Default)]
struct Tally {
    all: usize,
    changed: usize,
    failed: usize,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    let mut tally = Tally::default();
    let config = match args.files.is_empty() {
        true => ProjectConfig::load(None, console)?,
        // Only the sources are needed, and an editor formats in any folder.
        false => ProjectConfig::default(),
    };
    for path in idl::files(&args.files, &config, console)? {
        if path == Path::new("-") {
            let formatted = format_stdin().map_err(|error| {
                CommandError::Failed(format!("can't read standard input: {error}"))
            })?;
            tally.add(args, None, &formatted, console)?;
        } else {
            let formatted = tce_idl::format_file(&FileSystem, &path);
            tally.add(args, Some(&path), &formatted, console)?;
        }
    }
    tally.summarize(args, console)?;
    Ok(exit_code(
        tally.failed == 0 && !(args.check && tally.changed > 0),
    ))
}

/// Formats the text on standard input.
fn format_stdin() -> io::Result<Formatted> {
    let mut bytes = Vec::new();
    let limit = MAX_FILE_BYTES as u64 + 1;
    io::stdin().take(limit).read_to_end(&mut bytes)?;
    let loader = Memory::new().with(STDIN, bytes);
    Ok(tce_idl::format_file(&loader, Path::new(STDIN)))
}

impl Tally {
    /// Writes or, with `--check`, reports a formatted file; without a `path`, standard input.
    fn add(
        &mut self,
        args: &Args,
        path: Option<&Path>,
        formatted: &Formatted,
        console: &mut Console,
    ) -> io::Result<()> {
        self.all += 1;
        console.show(&formatted.diagnostics, &formatted.sources)?;
        let Some(text) = &formatted.text else {
            self.failed += 1;
            return Ok(());
        };
        self.changed += usize::from(formatted.changed);
        match path {
            _ if args.check => {
                let difference = formatted.difference();
                console.show(difference.as_slice(), &formatted.sources)
            }
            None => console.out.write_all(text.as_bytes()),
            Some(path) if formatted.changed => match replace(path, text) {
                Ok(()) => Ok(()),
                Err(error) => {
                    self.failed += 1;
                    let text = format!("can't write `{}`: {error}", path.display());
                    console.fail(text).map(drop)
                }
            },
            Some(_) => Ok(()),
        }
    }

    /// Writes the numbers in one line; only in the format for people.
    fn summarize(&self, args: &Args, console: &mut Console) -> io::Result<()> {
        if console.format != ErrorFormat::Text {
            return Ok(());
        }
        let all = Count(self.all, "file");
        let changed = match (args.check, self.changed) {
            (_, 0) => format!("nothing to change in {all}"),
            (true, some) => format!("{some} of {all} would change"),
            (false, some) => format!("{some} of {all} changed"),
        };
        let failed = match self.failed {
            0 => String::new(),
            some => format!(", {some} failed"),
        };
        console.separate()?;
        writeln!(console.err, "{changed}{failed}")
    }
}

/// Replaces the text of a file atomically: readers, and a crash at any time, find the old text or
/// the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // Replaces the target of a symbolic link, not the link.
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file()
        .set_permissions(fs::metadata(&path)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
