//! `tce-gateway SERVICES.XML NAME`: the gateway with nothing added.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use tce_gateway::{ErrorFormat, GatewayCommand, terminal};

#[derive(Debug, Parser)]
#[command(name = "tce-gateway", version)]
struct Cli {
    /// Format of errors and warnings on standard error
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    error_format: ErrorFormat,

    #[command(flatten)]
    command: GatewayCommand,
}

fn main() -> ExitCode {
    let mut command = Cli::command().color(terminal::color_choice());
    let matches = command.get_matches_mut();
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.command.run(cli.error_format),
        Err(error) => error.format(&mut command).exit(),
    }
}
