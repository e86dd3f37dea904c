//! `tce doc`: generates HTML documentation.

mod links;
mod prose;

mod folder;
mod usage;

mod pages;

mod site;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    console::{CommandError, Console, Count},
    idl::{self, IdlArgs},
};
use folder::WriteError;

/// Generate HTML documentation for IDL files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce doc test.idl -o site
  tce doc idl -o site --title 'Our services'
  tce doc test.idl -o site && xdg-open site/index.html

The pages can be opened and searched from the folder, without a web server. Imported
files are included. The same IDL gives the same files.

Exit status: 0 the files are written, 1 the IDL has errors or the folder can't be
written, 2 the command line or a tce.toml is wrong, or the folder has a file of the same
name that tce doc did not write, or pages of other IDL files.")]
pub(crate) struct Args {
    /// IDL files, and folders of them [default: the sources of tce.toml]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Folder to write to; created if missing
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,

    /// Title of the pages
    #[arg(long, default_value = "Interfaces")]
    title: String,

    #[command(flatten)]
    idl: IdlArgs,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    let config = args.idl.config(console)?;
    let files = idl::files(&args.files, &config, console)?;
    let compilation = args.idl.compile(&config, &files, console)?;
    let Some(model) = &compilation.model else {
        idl::summarize(&files, &compilation, console)?;
        return Ok(ExitCode::FAILURE);
    };
    let site = site::files(model, &args.title);
    let sources = compilation.sources.files().iter();
    let sources: Vec<PathBuf> = sources.map(|file| file.path().to_owned()).collect();
    match folder::write(site, &files, &sources, &args.out) {
        Ok(written) => {
            let count = Count(written, "file");
            let start = args.out.join(Path::new(links::START_PAGE));
            writeln!(
                console.out,
                "wrote {count}; open {} in a browser",
                start.display()
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ (WriteError::Foreign(_) | WriteError::OtherSources { .. })) => {
            Err(console.usage_error(error))
        }
        Err(error @ WriteError::Io { .. }) => Ok(console.fail(error)?),
    }
}
