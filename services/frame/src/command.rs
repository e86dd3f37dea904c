//! The program `tce-frame`: an agent, and what needs no agent.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    agent::{Agent, AgentOptions},
    config::{FrameConfig, PackageSettings},
    deployment::{Deployment, write_signature},
    manifest::hex,
    signature,
};

/// The exit status of a mistake in the command line or the configuration.
const USAGE: u8 = 2;

/// Hosts packages of services and crontabs.
#[derive(Debug, Parser)]
#[command(
    name = "tce-frame",
    version,
    after_help = "Exit status: 0 done, 1 failed, 2 a mistake in the command line or the configuration."
)]
struct Program {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs an agent until SIGTERM or Ctrl-C
    Agent(AgentArguments),
    /// Signs a package, for agents with `trusted_keys`
    Sign {
        /// The folder of the package
        package: PathBuf,
        /// An Ed25519 key: openssl genpkey -algorithm ed25519 -outform DER -out FILE
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Reads a frame's file and its packages, and tells all mistakes
    Check {
        /// The frame's file
        conf: PathBuf,
    },
}

/// The flags of an agent.
#[derive(Debug, Args)]
pub struct AgentArguments {
    /// The namespace; by default `service_group` of the file
    #[arg(short, long)]
    namespace: Option<String>,
    /// The broker: amqp://user:password@host:5672/vhost. A password is visible to `ps` here
    #[arg(
        long,
        alias = "kael_amqp",
        env = "TCE_FRAME_AMQP",
        hide_env_values = true,
        value_name = "URI"
    )]
    amqp: Option<String>,
    /// A file with the URI of the broker
    #[arg(long, value_name = "FILE", conflicts_with = "amqp")]
    amqp_file: Option<PathBuf>,
    /// The frame's file
    #[arg(
        short = 'p',
        long,
        default_value = "frame_pkg_setting.yaml",
        value_name = "FILE"
    )]
    conf: PathBuf,
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env()
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,lapin=error")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    match Program::parse().verb {
        Verb::Agent(arguments) => start_agent(arguments),
        Verb::Sign { package, key } => done(sign(&package, &key)),
        Verb::Check { conf } => done(check(&conf)),
    }
}

fn start_agent(arguments: AgentArguments) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(run_agent(arguments));
    // Without waiting for threads that read a terminal or a file.
    runtime.shutdown_background();
    status
}

/// Runs an agent until the program is to end.
pub async fn run_agent(arguments: AgentArguments) -> ExitCode {
    let amqp = match (arguments.amqp, arguments.amqp_file) {
        (Some(amqp), _) => amqp,
        (None, Some(file)) => match std::fs::read_to_string(&file) {
            Ok(text) => text.trim().to_owned(),
            Err(error) => return failed(&format!("`{}`: {error}", file.display())),
        },
        (None, None) => return failed("no broker: give `--amqp`, `--amqp-file` or TCE_FRAME_AMQP"),
    };
    let is_in_flag = std::env::args().any(|argument| argument.contains(&amqp));
    if is_in_flag && amqp.contains('@') {
        tracing::warn!(
            "the password of the broker is visible to `ps`: give the URI by TCE_FRAME_AMQP or `--amqp-file`"
        );
    }
    let options = AgentOptions {
        namespace: arguments.namespace,
        amqp,
        conf: arguments.conf,
    };
    let agent = match Agent::start(options).await {
        Ok(agent) => agent,
        Err(error) => return failed(&error.to_string()),
    };
    if let Err(error) = tce_runtime::termination_signal().await {
        tracing::error!("signals can't be caught: {error}");
    }
    agent.shutdown().await;
    ExitCode::SUCCESS
}

/// Signs the files that belong to the package; returns what is printed.
fn sign(package: &Path, key: &Path) -> Result<String, String> {
    let (settings, _) = PackageSettings::load(package).map_err(|problems| problems.to_string())?;
    let key_file = std::fs::read(key).map_err(|error| format!("`{}`: {error}", key.display()))?;
    // Beside an agent, which knows the files that were made at run time; else all files.
    let root = package.parent().unwrap_or(Path::new("."));
    let deployment = Deployment::open(root, settings.kind(), &settings.name, package);
    let manifest = deployment.and_then(|deployment| deployment.manifest(settings.version.as_str()));
    let manifest = manifest.map_err(|error| error.to_string())?;
    let signature = signature::sign(&manifest, &key_file).map_err(|error| error.to_string())?;
    write_signature(package, &signature).map_err(|error| error.to_string())?;
    let public = signature.get(..32).unwrap_or_default();
    Ok(format!(
        "signed {} {} {} with the key {}",
        manifest.kind,
        manifest.name,
        manifest.version,
        hex(public)
    ))
}

fn check(conf: &Path) -> Result<String, String> {
    let config = FrameConfig::load(conf).map_err(|problems| problems.to_string())?;
    let mut lines: Vec<_> = config
        .warnings
        .iter()
        .map(|warning| format!("warning: {warning}"))
        .collect();
    let mut mistakes = Vec::new();
    for entry in config.packages() {
        match entry.settings {
            Ok(settings) => lines.push(format!(
                "{} {} {}",
                settings.kind(),
                settings.name,
                settings.version
            )),
            Err(rejection) => mistakes.push(rejection.reason),
        }
    }
    match mistakes.is_empty() {
        true => Ok(lines.join("\n")),
        false => Err(mistakes.join("\n")),
    }
}

/// Prints a result.
fn done(result: Result<String, String>) -> ExitCode {
    match result {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => failed(&text),
    }
}

fn failed(text: &str) -> ExitCode {
    eprintln!("error: {text}");
    ExitCode::from(USAGE)
}
