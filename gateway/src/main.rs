//! `tce-gateway SERVICES.XML NAME`: the gateway with nothing added.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use tce_gateway::{GatewayCommand, terminal};

#[derive(Debug, Parser)]
#[command(name = "tce-gateway", version)]
struct Cli {
    #[command(flatten)]
    command: GatewayCommand,
}

fn main() -> ExitCode {
    let mut command = Cli::command().color(terminal::color_choice());
    let matches = command.get_matches_mut();
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.command.run(),
        Err(error) => error.format(&mut command).exit(),
    }
}
