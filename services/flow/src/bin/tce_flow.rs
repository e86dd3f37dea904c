//! The program `tce-flow`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tce_flow::runner::{JobRunner, RunnerOptions};
use tce_flow::server::{Server, ServerOptions};

/// A workflow server that stands in for ecFlow and Takler
#[derive(Debug, Parser)]
#[command(name = "tce-flow", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a server until SIGTERM or Ctrl-C
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Serve {
    /// ECF_HOME: where scripts are, and where jobs and their output go
    #[arg(default_value = ".")]
    home: PathBuf,
    /// An endpoint to listen on, such as tcp://127.0.0.1:3141; may be given several times
    #[arg(long, value_name = "ENDPOINT", default_values = ["tcp://127.0.0.1:3141", "tcp://127.0.0.1:33083"])]
    listen: Vec<String>,
    /// Starts a new server HALTED: it starts no jobs until it is restarted
    #[arg(long)]
    halted: bool,
    /// The host that jobs are told
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    announce: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let CommandLine {
        command: Command::Serve(serve),
    } = CommandLine::parse();
    match run(serve).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tce-flow: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(serve: Serve) -> Result<(), Box<dyn std::error::Error>> {
    tce_runtime::catch_termination().await?;
    let home = std::path::absolute(&serve.home)?;
    let mut options = ServerOptions::new(&home, "");
    options.endpoints = serve.listen;
    options.is_halted = serve.halted;
    options.announced_host = serve.announce;
    options.runner = Box::new(JobRunner::new(RunnerOptions {
        programs: programs()?,
        ..RunnerOptions::default()
    }));
    let server = Server::start(options).await?;
    for endpoint in server.endpoints() {
        println!("listening on {endpoint}");
    }
    tce_runtime::termination_signal().await?;
    server.shutdown().await;
    Ok(())
}

/// The folder of this program, if the clients are in it: jobs find them there first.
fn programs() -> std::io::Result<Option<PathBuf>> {
    let mut folder = std::env::current_exe()?;
    folder.pop();
    let is_there = ["ecflow_client", "takler_client"];
    let is_there = is_there.iter().any(|name| folder.join(name).is_file());
    Ok(is_there.then_some(folder))
}
