//! The `tce` command: compiles and checks IDL, runs gateways, calls and pings servers.

mod console;

mod plugin;

mod config;
mod environment;
mod connect;
mod remote;
mod idl;
mod runtime;

// The subcommands; none imports another.
mod breaking;
mod call;
mod check;
mod compile;
mod demo;
mod describe;
mod doc;
mod fmt;
mod frame;
mod gateway;
mod help;
mod lint;
mod lock;
mod lsp;
mod new;
mod ping;
mod task;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tce_gateway::{ErrorFormat, terminal};

use crate::console::{CommandError, Console};

/// IDL compiler and tools for TCE, remote procedure calls between programs in several languages
#[derive(Debug, Parser)]
#[command(
    name = "tce",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  tce demo                            run every kind of call in one process
  tce new hello                       create a project that builds and runs
  tce compile test.idl -o src/gen     generate code from an IDL file
  tce check test.idl                  report errors in an IDL file
  tce fmt test.idl                    format an IDL file
  tce lint test.idl                   report style problems in an IDL file
  tce doc test.idl -o site            generate HTML documentation
  tce gateway services.xml gwserver   run a gateway between clients and servers
  tce call tcp://localhost:12002      list the operations of a server, or call one
  tce ping --host example.org         check that a server answers

`tce <COMMAND> --help` describes a command.
Exit status: 0 success, 1 failure or findings, 2 the command line or a tce.toml is wrong."
)]
struct Cli {
    /// Format of diagnostics on standard error
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
    Task(task::Args),
    Frame(frame::Args),
    Ping(ping::Args),
    Demo(demo::Args),
    Completions(help::CompletionsArgs),
    Man(help::ManArgs),
}

impl Command {
    fn run(&self, console: &mut Console) -> Result<ExitCode, CommandError> {
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
            Self::Gateway(args) => gateway::run(args, console.format),
            Self::Call(args) => call::run(args, console)?,
            Self::Task(args) => task::run(args, console)?,
            Self::Frame(args) => frame::run(args, console)?,
            Self::Ping(args) => ping::run(args, console)?,
            Self::Demo(args) => demo::run(args, console)?,
            Self::Completions(args) => help::completions(args, Cli::command(), console)?,
            Self::Man(args) => help::man(args, Cli::command(), console)?,
        })
    }
}

fn main() -> ExitCode {
    let mut console = Console::new();
    let result = match parse() {
        Ok(cli) => {
            console.format = cli.error_format;
            cli.command.run(&mut console)
        }
        Err(error) => print(&error),
    };
    console.finish(result)
}

/// Reads the command line.
fn parse() -> Result<Cli, clap::Error> {
    let mut command = Cli::command().color(terminal::color_choice());
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Prints what clap returns as an error: a wrong command line, the help or the version.
fn print(error: &clap::Error) -> Result<ExitCode, CommandError> {
    error.print()?;
    Ok(u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from))
}
