//! `tce describe`: what an IDL declares.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::ValueEnum;
use tce_idl::describe::Description;

use crate::{
    console::{Console, Failure},
    idl::{self, IdlArgs},
};

/// Show what an IDL file declares: interfaces, operations, indices, types
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce describe test.idl
  tce describe test.idl test.Server          one interface; test.Server.echo: one operation
  tce describe test.idl --format json | jq '.modules[].interfaces[].name'
  tce describe test.idl --interface-defs     for the gateway's services.xml

What the file imports is shown too.

Exit status: 0 all is well, 1 the IDL has errors, 2 the command line or a tce.toml
is wrong, or nothing has that name.")]
pub(crate) struct Args {
    /// The IDL file
    file: PathBuf,

    /// What to show: a module, an element or an operation, by its name or the end of it
    name: Option<String>,

    /// How it is shown
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,

    /// Show the InterfaceDef section of a services.xml instead
    #[arg(long, conflicts_with = "format")]
    interface_defs: bool,

    #[command(flatten)]
    idl: IdlArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one object
    Json,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, Failure> {
    let files = std::slice::from_ref(&args.file);
    let config = args.idl.config(console)?;
    let compilation = tce_idl::compile(files, &args.idl.options(&config));
    console.show(&compilation.diagnostics, &compilation.sources)?;
    let Some(model) = &compilation.model else {
        idl::summarize(files, &compilation, console)?;
        return Ok(ExitCode::FAILURE);
    };
    let all = Description::of(model);
    let description = match &args.name {
        None => all,
        Some(name) => match all.only(name) {
            Ok(description) => description,
            Err(unknown) => {
                writeln!(console.err, "error: {unknown}")?;
                return Err(Failure::Misused);
            }
        },
    };
    let text = match args.format {
        _ if args.interface_defs => description.interface_defs(),
        Format::Text => description.text(),
        Format::Json => description.json(),
    };
    console.out.write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
