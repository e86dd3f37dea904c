//! The `tce` command: compiles and checks IDL, runs gateways, pings servers,
//! and shows it all at work.

mod breaking;
mod call;
mod check;
mod compile;
mod completions;
mod config;
mod console;
mod demo;
mod describe;
mod doc;
mod files;
mod fmt;
mod gateway;
mod idl;
mod lint;
mod lock;
mod lsp;
mod help;
mod new;
mod output;
mod ping;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    console::{Console, Failure},
    output::ErrorFormat,
};

// At the root: generated items are public, and here that is what they are.
tce_runtime::include_idl!(test);

/// The IDL compiler and toolbox of TCE, remote calls between programs in many languages.
#[derive(Debug, Parser)]
#[command(
    name = "tce",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  tce demo                            see every kind of call at work, nothing else needed
  tce new hello                       begin a project that builds and runs
  tce compile -i test.idl -o src/gen  write code for an IDL
  tce check test.idl                  say what is wrong with an IDL, write nothing
  tce fmt test.idl                    give an IDL its canonical layout
  tce lint test.idl                   say what is right in an IDL and yet better otherwise
  tce doc test.idl -o site            write its documentation, to be read in a browser
  tce gateway services.xml gwserver   pass the calls of many clients on to servers
  tce call tcp://localhost:12002      list what a server serves; with an operation, call it
  tce ping --host example.org         see whether a server is there

`tce <COMMAND> --help` says more about each.
Exit status: 0 all is well, 1 it is not, 2 the command line or a tce.toml is wrong."
)]
struct Cli {
    /// How diagnostics are written to standard error
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    error_format: ErrorFormat,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(new::Args),
    Compile(compile::Args),
    Check(check::Args),
    Fmt(fmt::Args),
    Lint(lint::Args),
    Breaking(breaking::Args),
    Lock(lock::Args),
    Describe(describe::Args),
    Doc(doc::Args),
    Lsp(lsp::Args),
    Gateway(gateway::Args),
    Call(Box<call::Args>),
    Ping(ping::Args),
    Demo(demo::Args),
    Completions(completions::Args),
    Man(help::Args),
}

impl Command {
    fn run(&self, console: &mut Console) -> Result<ExitCode, Failure> {
        Ok(match self {
            Self::New(args) => new::run(args, console)?,
            Self::Compile(args) => compile::run(args, console)?,
            Self::Check(args) => check::run(args, console)?,
            Self::Fmt(args) => fmt::run(args, console)?,
            Self::Lint(args) => lint::run(args, console)?,
            Self::Breaking(args) => breaking::run(args, console)?,
            Self::Lock(args) => lock::run(args, console)?,
            Self::Describe(args) => describe::run(args, console)?,
            Self::Doc(args) => doc::run(args, console)?,
            Self::Lsp(_) => lsp::run(console)?,
            Self::Gateway(args) => gateway::run(args),
            Self::Call(args) => call::run(args, console)?,
            Self::Ping(args) => ping::run(args, console)?,
            Self::Demo(args) => demo::run(args, console)?,
            Self::Completions(args) => completions::run(args, console)?,
            Self::Man(args) => help::run(args, console)?,
        })
    }
}

fn main() -> ExitCode {
    let mut console = Console::new();
    let ended = match Cli::try_parse() {
        Ok(cli) => {
            console.format = cli.error_format;
            cli.command.run(&mut console)
        }
        Err(error) => misused(&error),
    };
    console.end(ended)
}

/// Prints what clap has to say: a mistake, but also help and the version.
fn misused(error: &clap::Error) -> Result<ExitCode, Failure> {
    error.print()?;
    Ok(u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from))
}
