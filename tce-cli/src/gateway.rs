//! `tce gateway`: the program tce-gateway, for those who have `tce` at hand.

use std::process::ExitCode;

use tce_gateway::GatewayCommand;

/// Run a gateway: take in clients, and pass their calls to servers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce gateway services.xml gwserver
  tce gateway services.xml --check
  tce gateway services.xml gwserver --set admin=127.0.0.1:9600 --print-config

Properties can be set in the environment, too: TCE_GATEWAY_MAX_CONNECTIONS=1000.
SIGHUP loads the file anew; SIGTERM lets calls in flight end and stops.
Exit status: 0 stopped as asked, 1 mistakes in the file or no start, 2 the command
line is wrong.")]
pub(crate) struct Args {
    #[command(flatten)]
    command: GatewayCommand,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    args.command.run()
}
