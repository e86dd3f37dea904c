//! `tce doc`: an IDL as a small static site.

mod folder;
mod frame;
mod links;
mod pages;
mod prose;
mod search;
mod site;
mod usage;
mod wire;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    console::{Console, Failure},
    files,
    idl::{self, IdlArgs},
    output::Count,
};
use folder::NotWritten;

/// Write the documentation of IDL files as a small site
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce doc test.idl -o site
  tce doc idl -o site --title 'Our services'
  tce doc test.idl -o site && xdg-open site/index.html

The site needs no server: it can be read from the folder, searched too. What the
files import is in it. The same IDL gives the same files.

Exit status: 0 all is written, 1 the IDL has errors or the folder can't be written,
2 the command line or a tce.toml is wrong, or a file there is somebody else's.")]
pub(crate) struct Args {
    /// IDL files, and folders of them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The folder to write to; it is made where it is missing
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// What the site is called
    #[arg(long, default_value = "Interfaces")]
    title: String,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, Failure> {
    let files = files::expand(&args.files, console)?;
    let compilation = args.idl.compile(&files, console)?;
    let Some(model) = &compilation.model else {
        idl::summarize(&files, &compilation, console)?;
        return Ok(ExitCode::FAILURE);
    };
    let pages = site::pages(model, &args.title);
    match folder::write(&pages, &args.out) {
        Ok(()) => {
            let count = Count(pages.len(), "file");
            let start = args.out.join(Path::new(site::START));
            writeln!(
                console.out,
                "wrote {count}; open {} in a browser",
                start.display()
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(console.err, "error: {error}")?;
            match error {
                NotWritten::Foreign(_) => Err(Failure::Misused),
                NotWritten::Io { .. } => Ok(ExitCode::FAILURE),
            }
        }
    }
}
