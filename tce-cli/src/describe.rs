//! `tce describe`: prints the declarations of IDL files, or of a server.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::ValueEnum;
use tce_idl::describe::Description;
use tce_runtime::config::Options;

use crate::{
    connect::{ConnectArgs, ConnectError, with_advice},
    console::{CommandError, Console},
    idl::{self, IdlArgs},
    remote::{RemoteError, ServerInterfaces},
    runtime,
};

/// Print the declarations of IDL files or of a server: interfaces, operations, indices, types
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce describe test.idl
  tce describe idl                           all .idl files in a folder and its subfolders
  tce describe Server                        of the sources of a tce.toml
  tce describe test.idl test.Server          one interface; test.Server.echo: one operation
  tce describe tcp://localhost:12002         what a running server has
  tce describe tcp://localhost:12002 Order   one of its types
  tce describe test.idl --format json | jq '.modules[].interfaces[].name'
  tce describe test.idl --interface-defs     for the gateway's services.xml

Imported files are included. A gateway answers for the servers behind it if its property
`describe` permits it.

Exit status: 0 success, 1 the IDL has errors or the server does not answer, 2 the command
line or a tce.toml is wrong, or the name is unknown.")]
pub(crate) struct Args {
    /// IDL files, and folders of them, or the endpoint of a server [default: the sources of
    /// tce.toml]; the last one may be the module, element or operation to print, by its full name
    /// or the end of it
    #[arg(value_name = "FILE|ENDPOINT|NAME")]
    files: Vec<String>,

    /// Output format
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: OutputFormat,

    /// Print the InterfaceDef section of a services.xml instead
    #[arg(long, conflicts_with = "format")]
    interface_defs: bool,

    #[command(flatten)]
    idl: IdlArgs,

    #[command(flatten)]
    connect: ConnectArgs,
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

/// Whether an argument is the endpoint of a server.
fn is_endpoint(text: &str) -> bool {
    text.contains("://") || text.starts_with("mq:")
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    let (name, described) = match args.files.as_slice() {
        [endpoint, names @ ..] if is_endpoint(endpoint) => {
            let ([] | [_]) = names else {
                let text = "name one endpoint, and after it at most one declaration";
                return Err(console.usage_error(text));
            };
            let name = names.first().map(String::as_str);
            (name, of_server(args, endpoint, console)?)
        }
        _ => {
            let (files, name) = args.split();
            (name, of_files(args, &files, console)?)
        }
    };
    let Some(all) = described else {
        return Ok(ExitCode::FAILURE);
    };
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

/// The declarations of IDL files; `None` if they have errors, which have been written.
fn of_files(
    args: &Args,
    given: &[PathBuf],
    console: &mut Console,
) -> Result<Option<Description>, CommandError> {
    let config = args.idl.config(console)?;
    let files = idl::files(given, &config, console)?;
    let compilation = tce_idl::compile(&files, &args.idl.options(&config));
    console.show(&compilation.diagnostics, &compilation.sources)?;
    let Some(model) = &compilation.model else {
        idl::summarize(&files, &compilation, console)?;
        return Ok(None);
    };
    Ok(Some(Description::of(model)))
}

/// The declarations of a server; `None` if it does not describe them, which has been written.
fn of_server(
    args: &Args,
    endpoint: &str,
    console: &mut Console,
) -> Result<Option<Description>, CommandError> {
    let asked = runtime::block_on(async {
        let options = Options::default();
        let limit = options.timeout;
        let proxy = args.connect.connect(endpoint, options).await?;
        Ok::<_, ConnectError>(ServerInterfaces::request(&proxy, limit).await)
    })?;
    let text = match asked {
        Ok(Ok(interfaces)) => {
            if let Some(undescribed) = interfaces.undescribed() {
                writeln!(console.err, "{undescribed}")?;
            }
            return Ok(Some(interfaces.description()));
        }
        Ok(Err(RemoteError::Rpc(error))) => with_advice(&error),
        Ok(Err(error)) => error.to_string(),
        Err(ConnectError::Rpc(error)) => with_advice(&error),
        Err(error @ (ConnectError::Config(_) | ConnectError::Broker(_))) => error.to_string(),
        Err(error) => return Err(console.usage_error(error)),
    };
    console.fail(text)?;
    Ok(None)
}
