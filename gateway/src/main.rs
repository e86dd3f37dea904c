//! `tce-gateway SERVICES.XML NAME`: the gateway with nothing added.

use std::process::ExitCode;

use clap::Parser;
use tce_gateway::GatewayCommand;

#[derive(Debug, Parser)]
#[command(name = "tce-gateway", version)]
struct Cli {
    #[command(flatten)]
    command: GatewayCommand,
}

fn main() -> ExitCode {
    Cli::parse().command.run()
}
