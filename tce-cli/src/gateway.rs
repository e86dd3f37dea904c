//! `tce gateway`: the program `tce-gateway` as a subcommand.

use std::process::ExitCode;

use tce_gateway::{ErrorFormat, GatewayCommand};

/// Run a gateway: accept clients and forward their calls to servers
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce gateway init
  tce gateway services.xml gwserver
  tce gateway services.xml --check --error-format github
  tce gateway token services.xml A1001
  tce gateway services.xml gwserver --set admin=127.0.0.1:9600 --print-config
  tce gateway ctl 9600 sessions scott

Environment variables set properties too: TCE_GATEWAY_MAX_CONNECTIONS=1000.
SIGHUP reloads the file; SIGTERM stops the gateway after the calls in flight, a second
one stops it at once.
Exit status: 0 stopped by a signal, 1 the file has mistakes or the gateway can't start,
2 the command line is wrong, 128 + N stopped at once by signal N.")]
pub(crate) struct Args {
    #[command(flatten)]
    command: GatewayCommand,
}

pub(crate) fn run(args: &Args, format: ErrorFormat) -> ExitCode {
    args.command.run(format)
}
