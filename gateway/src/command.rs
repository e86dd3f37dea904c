//! The program: `tce-gateway SERVICES.XML NAME`, and `tce gateway` likewise.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    config::{LoadedServices, Override, Services, print_config},
    lifecycle::{Gateway, GatewayError, RunningGateway},
    log,
    routing::explain,
};

/// Runs gateways, which accept clients and forward their calls to servers.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct GatewayCommand {
    /// The configuration
    #[arg(value_name = "SERVICES.XML")]
    file: PathBuf,
    /// The servers of the file to run, all in this process; optional if it has only one
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// ProblemReport all mistakes in the file and exit
    #[arg(long)]
    check: bool,
    /// Print the routes of an interface's calls, their RETURNs and pushes
    #[arg(long, value_name = "IF", conflicts_with = "check")]
    explain: Option<String>,
    /// Print the configuration in force, and where each value is set
    #[arg(long, conflicts_with_all = ["check", "explain"])]
    print_config: bool,
    /// Set a property, overriding the file and the environment
    #[arg(long, value_name = "NAME=VALUE", value_parser = Override::from_flag)]
    set: Vec<Override>,
}

const AFTER_HELP: &str = "\
Properties can also be set in the environment: TCE_GATEWAY_MAX_CONNECTIONS=1000.
SIGHUP reloads the file; SIGTERM waits for calls in flight and stops.
Exit status: 0 stopped by a signal, 1 mistakes in the file or failed start, 2 wrong arguments.";

impl GatewayCommand {
    /// Runs the command until it is done.
    #[must_use]
    pub fn run(&self) -> ExitCode {
        match self.try_run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn try_run(&self) -> Result<(), GatewayError> {
        let mut overrides = Override::from_environment(std::env::vars_os());
        overrides.extend(self.set.iter().cloned());
        let loaded = Services::load(&self.file, &overrides)?;
        let names = self.names(&loaded.services)?;
        if self.check {
            return self.report(&loaded, &names);
        }
        for name in &names {
            let server = loaded.services.server(name)?;
            if let Some(interface) = &self.explain {
                print!("{}", explain(&loaded.services, server, interface)?);
            } else if self.print_config {
                print!("{}", print_config(&loaded.services, server));
            }
        }
        if self.explain.is_some() || self.print_config {
            return Ok(());
        }
        let first = names.first().map_or("", String::as_str);
        let properties = &loaded.services.server(first)?.properties;
        log::init(&properties.log.0, properties.log_format)?;
        raise_open_file_limit();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.serve(&names, &overrides))
    }

    /// The named servers, or the only one of the file.
    fn names(&self, services: &Services) -> Result<Vec<String>, GatewayError> {
        for name in &self.names {
            services.server(name)?;
        }
        match (self.names.as_slice(), services.servers.as_slice()) {
            ([], [only]) => Ok(vec![only.name.clone()]),
            ([], all) if self.check || self.explain.is_some() || self.print_config => {
                Ok(all.iter().map(|server| server.name.clone()).collect())
            }
            ([], all) => {
                let names = all.iter().map(|server| server.name.as_str());
                Err(GatewayError::WhichServer(
                    names.collect::<Vec<_>>().join(", "),
                ))
            }
            (named, _) => Ok(named.to_vec()),
        }
    }

    fn report(&self, loaded: &LoadedServices, names: &[String]) -> Result<(), GatewayError> {
        for warning in &loaded.warnings {
            eprintln!("{warning}");
        }
        for name in names {
            loaded.services.server(name)?;
        }
        println!("{}: all right ({})", self.file.display(), names.join(", "));
        Ok(())
    }

    async fn serve(&self, names: &[String], overrides: &[Override]) -> Result<(), GatewayError> {
        let mut running = Vec::new();
        for name in names {
            running.push(Gateway::load(&self.file, name, overrides)?.start().await?);
        }
        let ends = running.iter().map(RunningGateway::wait_for_shutdown);
        futures_util::future::try_join_all(ends).await?;
        Ok(())
    }
}

/// Raises the limit of open files to the maximum: the default, often 1,024, is
/// far below the number of connections that a gateway serves.
fn raise_open_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(limit = ?limit.current, "can't raise the limit of open files: {error}");
    }
}
