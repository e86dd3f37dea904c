//! `tce fmt`: the canonical layout.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use tce_idl::{
    Formatted,
    loader::{FileSystem, MAX_FILE_BYTES, Memory},
};

use crate::{
    console::{Console, Failure},
    files,
    output::{Count, ErrorFormat},
};

/// What a text from standard input is called in diagnostics.
const STDIN: &str = "<stdin>";

/// Give IDL files their canonical layout
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce fmt test.idl
  tce fmt idl                        all .idl files in a folder and those below
  tce fmt --check idl                in CI: is everything laid out?
  tce fmt - <test.idl                to standard output, for editors

Comments stay where they are, and nothing changes its meaning. A file with mistakes
is left alone.

Exit status: 0 all files are laid out now, 1 a file has mistakes or can't be written
or, with --check, is laid out otherwise, 2 the command line is wrong.")]
pub(crate) struct Args {
    /// The IDL files, and folders of them; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Write nothing; fail if a file would change
    #[arg(long)]
    check: bool,
}

/// How many files there were, changed, and could not be laid out.
#[derive(Default)]
struct Tally {
    all: usize,
    changed: usize,
    failed: usize,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, Failure> {
    let mut tally = Tally::default();
    for path in files::expand(&args.files, console)? {
        if path == Path::new("-") {
            let formatted = standard_input()?;
            tally.count(args, None, &formatted, console)?;
        } else {
            let formatted = tce_idl::format_file(&FileSystem, &path);
            tally.count(args, Some(&path), &formatted, console)?;
        }
    }
    tally.summarize(args, console)?;
    let is_fine = tally.failed == 0 && !(args.check && tally.changed > 0);
    Ok(if is_fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What comes from standard input, laid out.
fn standard_input() -> io::Result<Formatted> {
    let mut bytes = Vec::new();
    let limit = MAX_FILE_BYTES as u64 + 1;
    io::stdin().take(limit).read_to_end(&mut bytes)?;
    let loader = Memory::new().with(STDIN, bytes);
    Ok(tce_idl::format_file(&loader, Path::new(STDIN)))
}

impl Tally {
    /// Writes or reports one file; without a `path`, standard input.
    fn count(
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
                    writeln!(
                        console.err,
                        "error: can't write `{}`: {error}",
                        path.display()
                    )
                }
            },
            Some(_) => Ok(()),
        }
    }

    /// Says in one line what was done, which programs do without.
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
            some => format!(", {some} left alone"),
        };
        console.gap()?;
        writeln!(console.err, "{changed}{failed}")
    }
}

/// Puts `text` in the place of a file in one step: whoever reads it meanwhile,
/// and whatever goes wrong, there is the old text or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one: what it leads to changes.
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
