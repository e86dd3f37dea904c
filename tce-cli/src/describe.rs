//! `tce describe`: prints the declarations of an IDL file.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ValueEnum;
use tce_idl::describe::Description;

use crate::{
    console::{CommandError, Console},
    idl::{self, IdlArgs},
};

/// Print the declarations of an IDL file: interfaces, operations, indices, types
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce describe test.idl
  tce describe idl                           all .idl files in a folder and its subfolders
  tce describe Server                        of the sources of a tce.toml
  tce describe test.idl test.Server          one interface; test.Server.echo: one operation
  tce describe test.idl --format json | jq '.modules[].interfaces[].name'
  tce describe test.idl --interface-defs     for the gateway's services.xml

Imported files are included.

Exit status: 0 success, 1 the IDL has errors, 2 the command line or a tce.toml is wrong,
or the name is unknown.")]
pub(crate) struct Args {
    /// IDL files, and folders of them [default: the sources of tce.toml]; the last one may be the
    /// module, element or operation to print, by its full name or the end of it
    #[arg(value_name = "FILE|NAME")]
    files: Vec<String>,

    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: OutputFormat,

    /// Print the InterfaceDef section of a services.xml instead
    #[arg(long, conflicts_with = "format")]
    interface_defs: bool,

    #[command(flatten)]
    idl: IdlArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// Readable text
    #[default]
    Text,
    /// One JSON object
    Json,
}

impl Args {
    /// The files, and the name at the end.
    fn split(&self) -> (Vec<PathBuf>, Option<&str>) {
        let is_path = |text: &str| {
            text.ends_with(".idl")
                || text.contains(std::path::is_separator)
                || Path::new(text).exists()
        };
        let (name, files) = match self.files.split_last() {
            Some((last, files)) if !is_path(last) => (Some(last.as_str()), files),
            _ => (None, self.files.as_slice()),
        };
        (files.iter().map(PathBuf::from).collect(), name)
    }
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    let config = args.idl.config(console)?;
    let (given, name) = args.split();
    let files = idl::files(&given, &config, console)?;
    let compilation = tce_idl::compile(&files, &args.idl.options(&config));
    console.show(&compilation.diagnostics, &compilation.sources)?;
    let Some(model) = &compilation.model else {
        idl::summarize(&files, &compilation, console)?;
        return Ok(ExitCode::FAILURE);
    };
    let all = Description::of(model);
    let description = match name {
        None => all,
        Some(name) => match all.only(name) {
            Ok(description) => description,
            Err(unknown) => return Err(console.usage_error(unknown)),
        },
    };
    let text = match args.format {
        _ if args.interface_defs => description.interface_defs(),
        OutputFormat::Text => description.text(),
        OutputFormat::Json => description.json(),
    };
    console.out.write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
