//! The commands of `tce-frame` and `tce frame`: an agent, and what operators ask of agents.

use std::{
    fmt::{Display, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Subcommand};
use rmpv::Value;
use serde_json::json;
use tce_runtime::{Replies, RpcError, TypedMulti as _};

use crate::{
    agent::{Agent, AgentOptions},
    client::{Frame, FrameError},
    clock::unix_ms,
    config::{FrameConfig, Kind, PackageSettings, Purpose},
    deployment::{Deployment, write_signature},
    idl::frame::{Change, Crontab, ManagementMulti, Package},
    manifest::hex,
    schedule::Schedule,
    signature,
};

/// The exit status of a mistake in the command line or the configuration.
const USAGE: u8 = 2;

/// Host packages of services and crontabs, and manage the agents that do
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  tce frame run -n test -p frame_pkg_setting.yaml
  tce frame status -n test
  tce frame call -n test calculate__add 1 2
  tce frame update -n test -s calculate
  tce frame cron next '30 2 * * *' --timezone Europe/Berlin

The broker is given by --amqp, --amqp-file, TCE_FRAME_AMQP or KAEL_AURI.

Exit status: 0 success, 1 an agent has failed or does not answer, 2 the command line or the
configuration is wrong."
)]
pub struct FrameArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run an agent until SIGTERM or Ctrl-C
    #[command(visible_alias = "agent")]
    Run(AgentArgs),
    /// List the agents
    List(AskArgs),
    /// Show the packages of all agents
    Status(AskArgs),
    /// Start the processes of all packages again, with what is in their folders
    Restart(AskArgs),
    /// Take the highest version of a package from another agent, then restart
    Update(ChangeArgs),
    /// Take a package that is not there yet from another agent, then restart
    Install(ChangeArgs),
    /// Take the files of a package back that it had before the last update, then restart
    Rollback(ChangeArgs),
    /// Call a function
    Call {
        #[command(flatten)]
        broker: BrokerArgs,
        /// base__function
        function: String,
        /// The arguments: JSON, or else text
        arguments: Vec<String>,
        /// The time limit, in seconds
        #[arg(long, default_value_t = 30)]
        timeout: u64,
    },
    /// Show crontabs, their logs and their next times
    #[command(subcommand)]
    Cron(CronVerb),
    /// Sign a package, for agents with `trusted_keys`
    Sign {
        /// The folder of the package
        package: PathBuf,
        /// An Ed25519 key: openssl genpkey -algorithm ed25519 -outform DER -out FILE
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Read a frame's file and its packages, and tell all mistakes
    Check {
        /// The frame's file
        conf: PathBuf,
    },
    /// Create a package
    New {
        /// The folder, whose name is that of the package
        folder: PathBuf,
        /// service or crontab
        #[arg(long = "type", value_name = "TYPE", default_value = "service")]
        kind: Kind,
    },
}

#[derive(Debug, Subcommand)]
enum CronVerb {
    /// Show the crontabs, their holders and their jobs
    Status(AskArgs),
    /// Print the output of a run
    Log {
        #[command(flatten)]
        ask: AskArgs,
        /// The crontab
        crontab: String,
        /// The place of the job in `publish`, from 0
        #[arg(default_value_t = 0)]
        job: i32,
        /// The tick in Unix milliseconds; by default the latest one
        #[arg(long, default_value_t = 0)]
        tick: i64,
    },
    /// Print the next times of a schedule
    Next {
        /// The time, as in crontab
        time: String,
        /// The time zone; by default the machine's
        #[arg(long)]
        timezone: Option<String>,
        /// The start, such as 2027-03-28T00:00; by default now
        #[arg(long)]
        after: Option<String>,
        /// How many
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
        count: u16,
    },
}

/// The broker and the namespace.
#[derive(Debug, Args)]
struct BrokerArgs {
    /// The namespace
    #[arg(short, long, global = true)]
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
}

#[derive(Debug, Args)]
struct AgentArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// The frame's file
    #[arg(
        short = 'p',
        long,
        default_value = "frame_pkg_setting.yaml",
        value_name = "FILE"
    )]
    conf: PathBuf,
}

#[derive(Debug, Args)]
struct AskArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Only this agent; several separated by commas
    #[arg(short, long, value_delimiter = ',')]
    id: Vec<String>,
    /// service or crontab; by default both
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<Kind>,
    /// How long to wait for the agents, in seconds; a restart takes at least 60
    #[arg(long, default_value_t = 2)]
    timeout: u64,
    /// table or json
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

#[derive(Debug, Args)]
struct ChangeArgs {
    #[command(flatten)]
    ask: AskArgs,
    /// The name of the package
    #[arg(short = 's', long = "service", value_name = "PACKAGE")]
    package: String,
    /// Where to install it, within `install_root`
    #[arg(short, long, default_value = "")]
    path: String,
    /// The version; by default the highest one
    #[arg(short, long, default_value = "")]
    version: String,
    /// Take other files of the same version
    #[arg(long)]
    force: bool,
}

/// What a command has printed, and whether all agents have done it.
struct Outcome {
    text: String,
    is_complete: bool,
}

/// Why a command does nothing.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// Exit status 2.
    #[error("{0}")]
    Usage(String),
    /// Exit status 1.
    #[error("{0}")]
    Failed(String),
}

fn usage(error: impl Display) -> CommandError {
    CommandError::Usage(error.to_string())
}

fn failed(error: impl Display) -> CommandError {
    CommandError::Failed(error.to_string())
}

/// Runs a command; what it prints goes to `print`.
pub fn run(args: &FrameArgs, print: &mut dyn FnMut(&str)) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(dispatch(&args.verb));
            // Without waiting for threads that read files.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(failed(error)),
    };
    match result {
        Ok(outcome) => {
            if !outcome.text.is_empty() {
                print(&outcome.text);
            }
            match outcome.is_complete {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("error: {error}");
            match error {
                CommandError::Usage(_) => ExitCode::from(USAGE),
                CommandError::Failed(_) => ExitCode::FAILURE,
            }
        }
    }
}

async fn dispatch(verb: &Verb) -> Result<Outcome, CommandError> {
    match verb {
        Verb::Run(args) => run_agent(args).await,
        Verb::List(args) => list(args).await,
        Verb::Status(args) => status(args).await,
        Verb::Restart(args) => restart(args).await,
        Verb::Update(args) => change(args, ManagementMulti::update).await,
        Verb::Install(args) => change(args, ManagementMulti::install).await,
        Verb::Rollback(args) => rollback(args).await,
        Verb::Call {
            broker,
            function,
            arguments,
            timeout,
        } => call(broker, function, arguments, *timeout).await,
        Verb::Cron(verb) => cron(verb).await,
        Verb::Sign { package, key } => sign(package, key),
        Verb::Check { conf } => check(conf),
        Verb::New { folder, kind } => new_package(folder, *kind),
    }
}

async fn cron(verb: &CronVerb) -> Result<Outcome, CommandError> {
    match verb {
        CronVerb::Status(args) => cron_status(args).await,
        CronVerb::Log {
            ask,
            crontab,
            job,
            tick,
        } => cron_log(ask, crontab, *job, *tick).await,
        CronVerb::Next {
            time,
            timezone,
            after,
            count,
        } => next_times(time, timezone.as_deref(), after.as_deref(), *count),
    }
}

/// The least time that is waited for changes, in seconds.
const LONG_TIME: u64 = 60;

fn complete(text: impl Into<String>) -> Outcome {
    Outcome {
        text: text.into(),
        is_complete: true,
    }
}

impl BrokerArgs {
    fn uri(&self) -> Result<String, CommandError> {
        match (&self.amqp, &self.amqp_file) {
            (Some(amqp), _) => {
                let is_in_flag = std::env::args().any(|argument| argument.contains(amqp.as_str()));
                if is_in_flag && amqp.contains('@') {
                    tracing::warn!(
                        "a password in a flag is visible to `ps`: give the URI by TCE_FRAME_AMQP or `--amqp-file`"
                    );
                }
                Ok(amqp.clone())
            }
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file);
                let text = text.map_err(|error| usage(format!("`{}`: {error}", file.display())))?;
                Ok(text.trim().to_owned())
            }
            (None, None) => std::env::var("KAEL_AURI")
                .map_err(|_| usage("no broker: give `--amqp`, `--amqp-file` or TCE_FRAME_AMQP")),
        }
    }

    /// A client of the namespace.
    async fn connect(&self) -> Result<Frame, CommandError> {
        let namespace = self.namespace.as_deref();
        let namespace = namespace.ok_or_else(|| usage("no namespace: give `--namespace`"))?;
        let connecting = Frame::connect(namespace, &self.uri()?).await;
        connecting.map_err(|error| match error {
            FrameError::Namespace(_) | FrameError::Broker(_) => usage(error),
            error => failed(error),
        })
    }
}

impl AskArgs {
    async fn connect(&self) -> Result<Connected, CommandError> {
        Ok(Connected(self.broker.connect().await?))
    }

    fn kind(&self) -> &'static str {
        self.kind.map_or("", Kind::as_str)
    }

    fn is_json(&self) -> bool {
        self.format == "json"
    }
}

/// A client of all agents.
struct Connected(Frame);

impl Connected {
    /// Those that the arguments choose; waits as long as they say, and at least `least` seconds.
    fn multi(&self, args: &AskArgs, least: u64) -> ManagementMulti {
        let all = self.0.agents();
        let all = all.with_timeout(Duration::from_secs(args.timeout.max(least)));
        match args.id.is_empty() {
            true => all,
            false => all.only(&args.id),
        }
    }

    fn replies<T>(&self, asked: Result<Replies<T>, RpcError>) -> Result<Replies<T>, CommandError> {
        asked.map_err(|error| failed(self.0.failed_command(error)))
    }
}

/// Agents that have failed or are missing, one a line.
fn problems<T>(replies: &Replies<T>) -> String {
    let mut text = String::new();
    for (id, error) in &replies.failures {
        let _ = writeln!(text, "{id}: {}", error.text());
    }
    for id in &replies.missing {
        let _ = writeln!(text, "{id}: no answer");
    }
    text
}

/// Prints what the agents have said; rows of `table`, or `json` by agent.
fn answered<T>(
    args: &AskArgs,
    replies: &Replies<T>,
    table: impl FnOnce() -> String,
    json: impl Fn(&T) -> serde_json::Value,
) -> Outcome {
    let is_complete = replies.failures.is_empty() && replies.missing.is_empty();
    let text = if args.is_json() {
        let values: serde_json::Map<_, _> = replies
            .values
            .iter()
            .map(|(id, value)| (id.clone(), json(value)))
            .collect();
        let failures: serde_json::Map<_, _> = replies
            .failures
            .iter()
            .map(|(id, error)| (id.clone(), json!(error.text())))
            .collect();
        json!({"agents": values, "failures": failures, "missing": replies.missing}).to_string()
    } else {
        format!("{}{}", table(), problems(replies))
            .trim_end()
            .to_owned()
    };
    Outcome { text, is_complete }
}

/// Rows in columns, which are as wide as their longest cell.
fn columns(rows: &[Vec<String>]) -> String {
    let mut widths = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn cells<const N: usize>(row: [&str; N]) -> Vec<String> {
    row.map(str::to_owned).to_vec()
}

async fn run_agent(args: &AgentArgs) -> Result<Outcome, CommandError> {
    let options = AgentOptions {
        namespace: args.broker.namespace.clone(),
        amqp: args.broker.uri()?,
        conf: args.conf.clone(),
    };
    let agent = Agent::start(options).await.map_err(usage)?;
    if let Err(error) = tce_runtime::termination_signal().await {
        tracing::error!("signals can't be caught: {error}");
    }
    agent.shutdown().await;
    Ok(complete(""))
}

async fn list(args: &AskArgs) -> Result<Outcome, CommandError> {
    let connected = args.connect().await?;
    let replies = connected.replies(connected.multi(args, 0).info().collect().await)?;
    let table = || {
        let mut rows = vec![cells(["ID", "HOST", "SOFTWARE", "PACKAGES"])];
        for info in replies.values.values() {
            rows.push(cells([
                &info.id,
                &info.host,
                &info.software,
                &info.packages.join(", "),
            ]));
        }
        columns(&rows)
    };
    Ok(answered(
        args,
        &replies,
        table,
        |info| json!({"host": info.host, "software": info.software, "startedMs": info.started_ms, "packages": info.packages}),
    ))
}

async fn status(args: &AskArgs) -> Result<Outcome, CommandError> {
    let connected = args.connect().await?;
    let replies = connected.replies(
        connected
            .multi(args, 0)
            .packages(args.kind(), "")
            .collect()
            .await,
    )?;
    let table = || {
        let mut rows = vec![cells([
            "AGENT", "APP NAME", "TYPE", "VERSION", "STATE", "PATH",
        ])];
        for (id, packages) in &replies.values {
            for package in packages {
                let state = package.state.lines().next().unwrap_or_default();
                rows.push(cells([
                    id,
                    &package.name,
                    &package.kind,
                    &package.version,
                    state,
                    &package.path,
                ]));
            }
        }
        columns(&rows)
    };
    let one = |package: &Package| json!({"type": package.kind, "name": package.name, "version": package.version, "hash": package.hash, "path": package.path, "state": package.state});
    Ok(answered(
        args,
        &replies,
        table,
        |packages: &Vec<Package>| packages.iter().map(one).collect(),
    ))
}

/// Texts of the agents.
fn texts(args: &AskArgs, replies: &Replies<String>) -> Outcome {
    let table = || {
        let lines = replies
            .values
            .iter()
            .map(|(id, text)| format!("{id}: {text}\n"));
        lines.collect()
    };
    answered(args, replies, table, |text| json!(text))
}

async fn restart(args: &AskArgs) -> Result<Outcome, CommandError> {
    let connected = args.connect().await?;
    let kinds = match args.kind {
        Some(kind) => vec![kind],
        None => vec![Kind::Service, Kind::Crontab],
    };
    let mut all = Vec::new();
    for kind in kinds {
        let asked = connected
            .multi(args, LONG_TIME)
            .restart(kind.as_str(), 0)
            .collect()
            .await;
        all.push(texts(args, &connected.replies(asked)?));
    }
    Ok(joined(all))
}

fn joined(outcomes: Vec<Outcome>) -> Outcome {
    Outcome {
        is_complete: outcomes.iter().all(|outcome| outcome.is_complete),
        text: outcomes
            .into_iter()
            .map(|outcome| outcome.text)
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

async fn rollback(args: &ChangeArgs) -> Result<Outcome, CommandError> {
    let kind = args.ask.kind.unwrap_or(Kind::Service).as_str();
    let connected = args.ask.connect().await?;
    let multi = connected.multi(&args.ask, LONG_TIME);
    let asked = multi.rollback(kind, &args.package).collect().await;
    Ok(texts(&args.ask, &connected.replies(asked)?))
}

/// Changes a package, then restarts it, as kael does.
async fn change(
    args: &ChangeArgs,
    call: impl Fn(&ManagementMulti, &Change) -> tce_runtime::MultiCall<String>,
) -> Result<Outcome, CommandError> {
    let kind = args.ask.kind.unwrap_or(Kind::Service).as_str();
    let change = Change {
        kind: kind.to_owned(),
        name: args.package.clone(),
        version: args.version.clone(),
        source: String::new(),
        path: args.path.clone(),
        force: args.force,
    };
    let connected = args.ask.connect().await?;
    let multi = connected.multi(&args.ask, LONG_TIME);
    let changed = connected.replies(call(&multi, &change).collect().await)?;
    let restarted = connected.replies(multi.restart(kind, 0).collect().await)?;
    let (changed, restarted) = (texts(&args.ask, &changed), texts(&args.ask, &restarted));
    Ok(joined(vec![changed, restarted]))
}

async fn call(
    broker: &BrokerArgs,
    function: &str,
    arguments: &[String],
    timeout: u64,
) -> Result<Outcome, CommandError> {
    let value = |text: &String| match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => rmpv::ext::to_value(json).map_err(usage),
        Err(_) => Ok(Value::from(text.as_str())),
    };
    let arguments = arguments.iter().map(value).collect::<Result<Vec<_>, _>>()?;
    let frame = broker
        .connect()
        .await?
        .with_timeout(Duration::from_secs(timeout));
    let result = frame
        .call::<Value>(function, arguments)
        .await
        .map_err(failed)?;
    Ok(complete(result.to_string()))
}

async fn cron_status(args: &AskArgs) -> Result<Outcome, CommandError> {
    let connected = args.connect().await?;
    let replies = connected.replies(connected.multi(args, 0).crontabs("").collect().await)?;
    let table = || {
        let mut rows = vec![cells([
            "AGENT", "CRONTAB", "VERSION", "ACTIVE", "EPOCH", "TIME", "LAST", "EXIT", "NEXT",
            "MISSED", "COMMAND",
        ])];
        for (id, crontabs) in &replies.values {
            for crontab in crontabs {
                rows.extend(crontab_rows(id, crontab));
            }
        }
        columns(&rows)
    };
    Ok(answered(
        args,
        &replies,
        table,
        |crontabs: &Vec<Crontab>| crontabs.iter().map(crontab_json).collect(),
    ))
}

fn crontab_rows(id: &str, crontab: &Crontab) -> Vec<Vec<String>> {
    let active = if crontab.active { "yes" } else { "no" };
    let row = |job: &crate::idl::frame::Job| {
        let (last, next) = (time_text(job.last_tick_ms), time_text(job.next_tick_ms));
        let (epoch, exit, missed) = (
            crontab.epoch.to_string(),
            job.last_exit.to_string(),
            job.missed.to_string(),
        );
        cells([
            id,
            &crontab.name,
            &crontab.version,
            active,
            &epoch,
            &job.time,
            &last,
            &exit,
            &next,
            &missed,
            &job.command,
        ])
    };
    crontab.jobs.iter().map(row).collect()
}

fn crontab_json(crontab: &Crontab) -> serde_json::Value {
    let job = |job: &crate::idl::frame::Job| json!({"time": job.time, "command": job.command, "lastTickMs": job.last_tick_ms, "lastExit": job.last_exit, "nextTickMs": job.next_tick_ms, "missed": job.missed});
    let jobs: Vec<_> = crontab.jobs.iter().map(job).collect();
    json!({"name": crontab.name, "version": crontab.version, "path": crontab.path, "active": crontab.active, "holder": crontab.holder, "epoch": crontab.epoch, "jobs": jobs})
}

fn time_text(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) if millis > 0 => time
            .to_zoned(jiff::tz::TimeZone::system())
            .strftime("%F %T")
            .to_string(),
        _ => "-".to_owned(),
    }
}

async fn cron_log(
    args: &AskArgs,
    crontab: &str,
    job: i32,
    tick: i64,
) -> Result<Outcome, CommandError> {
    let connected = args.connect().await?;
    let replies = connected.replies(
        connected
            .multi(args, 0)
            .log(crontab, job, tick)
            .collect()
            .await,
    )?;
    // The one that has run it, or the last one that has.
    let tick_of = |log: &Vec<u8>| {
        let heading = log.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let heading: serde_json::Value = serde_json::from_slice(heading).unwrap_or_default();
        heading["tick_ms"].as_i64()
    };
    let latest = replies.values.values().max_by_key(|log| tick_of(log));
    match latest {
        Some(log) => Ok(complete(String::from_utf8_lossy(log).trim_end())),
        None => Err(failed(problems(&replies).trim_end())),
    }
}

fn next_times(
    time: &str,
    timezone: Option<&str>,
    after: Option<&str>,
    count: u16,
) -> Result<Outcome, CommandError> {
    let schedule = Schedule::parse(time).map_err(usage)?;
    let zone = match timezone {
        Some(name) => jiff::tz::TimeZone::get(name).map_err(usage)?,
        None => jiff::tz::TimeZone::system(),
    };
    let mut at = match after {
        Some(text) => {
            let civil: jiff::civil::DateTime = text.parse().map_err(usage)?;
            civil.to_zoned(zone).map_err(usage)?
        }
        None => jiff::Timestamp::from_millisecond(unix_ms())
            .map_err(failed)?
            .to_zoned(zone),
    };
    let mut lines = Vec::new();
    while let Some(next) = schedule
        .next_after(&at)
        .filter(|_| lines.len() < usize::from(count))
    {
        lines.push(next.strftime("%F %H:%M %:z").to_string());
        at = next;
    }
    Ok(complete(lines.join("\n")))
}

/// Signs the files that belong to the package.
fn sign(package: &Path, key: &Path) -> Result<Outcome, CommandError> {
    let (settings, _) = PackageSettings::load(package).map_err(usage)?;
    let key_file =
        std::fs::read(key).map_err(|error| usage(format!("`{}`: {error}", key.display())))?;
    // Beside an agent, which knows the files that were made at run time; else all files.
    let folder = std::path::absolute(package).map_err(usage)?;
    let root = folder.parent().unwrap_or(Path::new("/"));
    let deployment = Deployment::open(root, settings.kind(), &settings.name, &folder);
    let manifest = deployment.and_then(|deployment| deployment.manifest(settings.version.as_str()));
    let manifest = manifest.map_err(failed)?;
    let signature = signature::sign(&manifest, &key_file).map_err(usage)?;
    write_signature(&folder, &signature).map_err(failed)?;
    let public = hex(signature.get(..32).unwrap_or_default());
    let (kind, name, version) = (&manifest.kind, &manifest.name, &manifest.version);
    Ok(complete(format!(
        "signed {kind} {name} {version} with the key {public}"
    )))
}

fn check(conf: &Path) -> Result<Outcome, CommandError> {
    let config = FrameConfig::load(conf).map_err(usage)?;
    let mut lines: Vec<_> = config
        .warnings
        .iter()
        .map(|warning| format!("warning: {warning}"))
        .collect();
    let mut mistakes = Vec::new();
    for entry in config.packages() {
        match entry.settings {
            Ok(settings) => {
                let what = match &settings.purpose {
                    Purpose::Service(service) => format!("{} functions", service.functions.len()),
                    Purpose::Crontab(crontab) => format!("{} jobs", crontab.jobs.len()),
                };
                lines.push(format!(
                    "{} {} {}: {what}",
                    settings.kind(),
                    settings.name,
                    settings.version
                ));
            }
            Err(rejection) => mistakes.push(rejection.reason),
        }
    }
    match mistakes.is_empty() {
        true => Ok(complete(lines.join("\n"))),
        false => Err(usage(mistakes.join("\n"))),
    }
}

/// Writes a package that runs.
fn new_package(folder: &Path, kind: Kind) -> Result<Outcome, CommandError> {
    let name = folder
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let (setting, file, text) = match kind {
        Kind::Service => (
            format!("type: service\nservice_base_name: {name}\nversion: 1.0\npublish:\n - hello\n"),
            "__init__.py",
            "def hello(name):\n    return f\"hello, {name}\"\n",
        ),
        Kind::Crontab => (
            format!(
                "type: crontab\ncrontab_name: {name}\nversion: 1.0\npublish:\n - ['* * * * *', write.py]\n"
            ),
            "write.py",
            "print(\"hello\")\n",
        ),
    };
    PackageSettings::parse(&setting, folder).map_err(usage)?;
    if folder.exists() {
        return Err(usage(format!("`{}` is there already", folder.display())));
    }
    let writing = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("setting.yaml"), setting)?;
        std::fs::write(folder.join(file), text)
    };
    writing().map_err(|error| failed(format!("`{}`: {error}", folder.display())))?;
    Ok(complete(format!(
        "wrote {}: add it to `path` of the frame's file",
        folder.display()
    )))
}
