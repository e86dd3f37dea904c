//! The program `tce-flow`: runs a server, and looks after its files.

mod check;
mod serve;
mod store;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A workflow server that stands in for ecFlow and Takler
#[derive(Debug, Parser)]
#[command(
    name = "tce-flow",
    version,
    arg_required_else_help = true,
    after_help = "Exit status: 0 success, 1 failure or findings, 2 the command line is wrong."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server until SIGTERM or Ctrl-C; jobs go on
    Serve(Box<serve::Serve>),
    /// Report errors in definitions, without a server
    Check(check::Check),
    /// Look after the store of a server that does not run
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Tokens of operators who come from other machines
    #[command(subcommand)]
    Token(token::TokenCommand),
}

/// What a command ends with.
type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let outcome = match CommandLine::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Store(store) => store.run(),
        Command::Token(token) => token.run(),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("tce-flow: {error}");
        ExitCode::FAILURE
    })
}
