//! The program: `tce-gateway SERVICES.XML NAME`, and `tce gateway` likewise.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use crate::{
    Gateway, GatewayError, Running,
    config::{Loaded, Override, Services, print_config},
    files, log,
    routing::explain,
};

/// Runs gateways: takes in clients and passes their calls to servers.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct GatewayCommand {
    /// The configuration
    #[arg(value_name = "SERVICES.XML")]
    file: PathBuf,
    /// The servers of the file to run, all in this process; may be left out where it has one
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Tell every mistake in the file, and start nothing
    #[arg(long)]
    check: bool,
    /// Print the way of a call to an interface, and of its RETURN and pushes
    #[arg(long, value_name = "IF", conflicts_with = "check")]
    explain: Option<String>,
    /// Print what is in force, and where it was said
    #[arg(long, conflicts_with_all = ["check", "explain"])]
    print_config: bool,
    /// Set a property over what the file and the environment say
    #[arg(long, value_name = "NAME=VALUE", value_parser = Override::from_flag)]
    set: Vec<Override>,
}

const AFTER_HELP: &str = "\
Properties can be set in the environment, too: TCE_GATEWAY_MAX_CONNECTIONS=1000.
SIGHUP loads the file anew; SIGTERM lets calls in flight end and stops.
Exit status: 0 stopped as asked, 1 mistakes in the file or no start, 2 wrong use.";

impl GatewayCommand {
    /// Does what was asked for, until it is done.
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
        files::raise_limit();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.serve(&names, &overrides))
    }

    /// The servers that are asked for; the only one, where there is only one.
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

    fn report(&self, loaded: &Loaded, names: &[String]) -> Result<(), GatewayError> {
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
        let ends = running.iter().map(Running::wait_for_shutdown);
        futures_util::future::try_join_all(ends).await?;
        Ok(())
    }
}
