//! The program: `tce-gateway SERVICES.XML NAME`, and `tce gateway` likewise.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tce_runtime::{catch_termination, config::problem::Problem, termination_signal};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::{Override, Services, print_config},
    ctl::CtlCommand,
    init::InitCommand,
    lifecycle::{Gateway, GatewayError, RunningGateway, check_start},
    log,
    report::{ErrorFormat, Level},
    routing::explain,
    token::TokenCommand,
};

/// Runs gateways, which accept clients and forward their calls to servers.
#[derive(Debug, Args)]
#[command(
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct GatewayCommand {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    run: Option<RunCommand>,
}

/// What is done instead of running gateways.
#[derive(Debug, Subcommand)]
enum Task {
    Ctl(CtlCommand),
    Init(InitCommand),
    Token(TokenCommand),
}

/// The files and options of running gateways.
#[derive(Debug, Args)]
struct RunCommand {
    /// The configuration
    #[arg(value_name = "SERVICES.XML")]
    file: PathBuf,
    /// The servers of the file to run, all in this process; optional if it has only one
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Report everything that would keep the servers from starting, and exit
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
SIGHUP reloads the file; SIGTERM waits for calls in flight and stops, a second one stops at once.
Exit status: 0 stopped by a signal, 1 mistakes in the file or failed start, 2 wrong arguments,
128 + N stopped at once by signal N.";

impl GatewayCommand {
    /// Runs the command until it is done, with errors in a format.
    #[must_use]
    pub fn run(&self, format: ErrorFormat) -> ExitCode {
        match (&self.task, &self.run) {
            (Some(Task::Ctl(ctl)), _) => exit_code(ctl.run(), format),
            (Some(Task::Init(init)), _) => exit_code(init.run(), format),
            (Some(Task::Token(token)), _) => exit_code(token.run(), format),
            (None, Some(run)) => match run.run(format) {
                Err(error) => fail(&error, format),
                Ok(()) => ExitCode::SUCCESS,
            },
            // clap requires a file without a task.
            (None, None) => ExitCode::FAILURE,
        }
    }
}

fn exit_code<E: std::fmt::Display>(result: Result<(), E>, format: ErrorFormat) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail_with(&error.to_string(), format),
    }
}

fn fail_with(text: &str, format: ErrorFormat) -> ExitCode {
    match format {
        ErrorFormat::Text => eprintln!("{text}"),
        _ => eprintln!("{}", format.message(Level::Error, text)),
    }
    ExitCode::FAILURE
}

/// Prints why a gateway has not started, with what to do about it.
fn fail(error: &GatewayError, format: ErrorFormat) -> ExitCode {
    if let GatewayError::Config(problems) = error {
        for problem in problems.problems() {
            eprintln!("{}", format.problem(Level::Error, problem));
        }
        return ExitCode::FAILURE;
    }
    match error.advice() {
        Some(advice) => fail_with(&format!("{error}\nTry this: {advice}"), format),
        None => fail_with(&error.to_string(), format),
    }
}

impl RunCommand {
    fn run(&self, format: ErrorFormat) -> Result<(), GatewayError> {
        let mut overrides = Override::from_environment(std::env::vars_os());
        overrides.extend(self.set.iter().cloned());
        let loaded = Services::load(&self.file, &overrides)?;
        let names = self.names(&loaded.services)?;
        if self.explain.is_some() || self.print_config {
            return self.print(&loaded.services, &names);
        }
        let mut warnings: Vec<_> = loaded.warnings_of(&names).cloned().collect();
        warnings.extend(self.check_start(&loaded.services, &names)?);
        if self.check {
            for warning in &warnings {
                eprintln!("{}", format.problem(Level::Warning, warning));
            }
            println!("{}: all right ({})", self.file.display(), names.join(", "));
            return Ok(());
        }
        let first = names.first().map_or("", String::as_str);
        let properties = &loaded.services.server(first)?.properties;
        let _log = log::init(&properties.log.0, properties.log_format)?;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        raise_open_file_limit();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let result = runtime.block_on(self.serve(Arc::new(loaded.services), &names, &overrides));
        // Does not wait for a host name lookup, which runs in a thread of its own.
        runtime.shutdown_background();
        result
    }

    /// The named servers, or the only one of the file. All of them if they are
    /// not run.
    fn names(&self, services: &Services) -> Result<Vec<String>, GatewayError> {
        for (index, name) in self.names.iter().enumerate() {
            services.server(name)?;
            if self.names[..index].contains(name) {
                return Err(GatewayError::NamedTwice(name.clone()));
            }
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

    fn print(&self, services: &Services, names: &[String]) -> Result<(), GatewayError> {
        for name in names {
            let server = services.server(name)?;
            match &self.explain {
                Some(interface) => print!("{}", explain(services, server, interface)?),
                None => print!("{}", print_config(services, server)),
            }
        }
        Ok(())
    }

    /// Checks that the servers can start: together if they are named, and each
    /// on its own otherwise, since a file may configure several processes.
    fn check_start(
        &self,
        services: &Services,
        names: &[String],
    ) -> Result<Vec<Problem>, GatewayError> {
        let servers = names.iter().map(|name| services.server(name));
        let servers: Vec<_> = servers.collect::<Result<_, _>>()?;
        let together = match self.names.is_empty() {
            true => 1,
            false => servers.len(),
        };
        Ok(check_start(services, &self.file, servers.chunks(together))?)
    }

    async fn serve(
        &self,
        services: Arc<Services>,
        names: &[String],
        overrides: &[Override],
    ) -> Result<(), GatewayError> {
        // A SIGHUP during the start must not end the process, but reload the file
        // afterwards.
        let hang_ups = names.iter().map(|_| signal(SignalKind::hangup()));
        let hang_ups: Vec<_> = hang_ups.collect::<Result<_, _>>()?;
        catch_termination().await?;
        let starting = async {
            let mut running = Vec::new();
            for name in names {
                let services = Arc::clone(&services);
                let gateway = Gateway::of_file(services, name, &self.file, overrides)?;
                running.push(gateway.start().await?);
            }
            Ok::<_, GatewayError>(running)
        };
        // The start may wait for a broker. The first process of a container has no default action
        // for signals: without this, it would wait on.
        let running = tokio::select! {
            running = starting => running?,
            terminated = termination_signal() => return Ok(terminated?),
        };
        let ends = running.iter().zip(hang_ups);
        let ends =
            ends.map(|(gateway, hang_up): (&RunningGateway, _)| gateway.serve_signals(hang_up));
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
