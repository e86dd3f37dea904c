//! `tce task`: sends tasks, reads their results, lists and aborts them, and deals with dead ones.

use std::{
    io::{self, BufRead, Read, Write},
    process::ExitCode,
    thread,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tce_runtime::{
    Adapter, Communicator, ErrorCode, Fault,
    interceptor::{Answer, ServerCall, ServerInterceptor, ServerNext},
};
use tce_tasks::{
    Filter, ResultError, TaskCtl, TaskResult, Tasks, TasksConfig,
    idl::tasks::Record,
    model::{AbortAnswer, Backoff, Priority, Status},
};

use tokio::sync::oneshot;

use crate::{
    console::{CommandError, Console, exit_code},
    runtime,
};

/// The time limit of `--wait` without a value, as clap takes it.
const WAIT: &str = "3s";
/// The longest time between two looks for a result; its end is told at once.
const POLL: Duration = Duration::from_secs(10);

/// How long calls may end when the serving of a queue ends.
const SHUTDOWN_TIME: Duration = Duration::from_secs(5);
/// How often watched statistics are printed.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Records of one page of a list.
const PAGE: usize = 1000;

/// Send durable tasks, read their results, list and abort them, requeue dead ones
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce task --tasks tcp://localhost:12010 send group1 add 12 33 --wait
  tce task send group1 add 12 33 --retry 5 --run-after 2s
  tce task result 01890a5d-ac96-774b-bcce-b302099a8057 --wait
  tce task list --group group1 --status failure
  tce task abort 01890a5d-ac96-774b-bcce-b302099a8057
  tce task --tasks amqp://localhost --store redis://localhost stats
  tce task dead requeue --all

--tasks is the endpoint of the process that serves the queue, RabbitMQ (amqp://host:port/vhost),
whose results are at --store, or the queue's file while no process has it open.

Exit status: 0 success, 1 the task or the queue failed, 2 the command line is wrong.")]
pub(crate) struct Args {
    /// Endpoint of the queue (tcp://host:port), RabbitMQ (amqp://host:port/vhost), or the queue's file
    #[arg(long, global = true, env = "TCE_TASKS", value_name = "URI")]
    tasks: Option<String>,

    /// Results of tasks at RabbitMQ: redis://host:port
    #[arg(long, global = true, env = "TCE_TASKS_STORE", value_name = "URI")]
    store: Option<String>,

    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Send a task, and print its id, or its result with --wait
    Send(SendArgs),
    /// Print the result of a task
    Result {
        /// Id of the task
        id: String,
        /// Wait for the end of the task
        #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = WAIT, value_parser = humantime::parse_duration)]
        wait: Option<Duration>,
    },
    /// Print how many tasks are in each state
    Stats {
        /// Tasks of this group
        #[arg(long, default_value = "")]
        group: String,
        /// Print a JSON object
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Print them again each second, until they can't be written
        #[arg(long)]
        watch: bool,
    },
    /// List, requeue or drop dead tasks: those that ended their workers, or that can never succeed
    #[command(subcommand)]
    Dead(DeadAction),
    /// List the tasks that the queue knows, a JSON object per line
    List {
        /// Tasks of this group
        #[arg(long, default_value = "")]
        group: String,
        /// Tasks with this status, such as success, failure or 'waiting retry'
        #[arg(long, value_parser = status)]
        status: Option<Status>,
        /// Tasks that have changed within this time
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        since: Option<Duration>,
        /// The most tasks to list
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Serve the queue to workers and clients of other processes until SIGTERM or Ctrl-C
    Serve {
        /// Endpoint to listen on: tcp://host:port
        endpoint: String,
        /// Serve the process that started this one until standard input ends; its first line is a
        /// key that callers must have
        #[arg(long, hide = true)]
        child: bool,
    },
    /// Abort a task
    Abort {
        /// Id of the task
        id: String,
    },
}

/// How statistics are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A line for each state
    Text,
    /// A JSON object on a line
    Json,
}

#[derive(Debug, clap::Subcommand)]
enum DeadAction {
    /// List dead tasks, a JSON object per line, with the error and the deaths of workers
    List {
        /// Tasks of this group
        #[arg(long, default_value = "")]
        group: String,
    },
    /// Queue dead tasks again, with a new count of attempts
    Requeue(Selection),
    /// Remove dead tasks
    Drop(Selection),
}

/// Dead tasks.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Selection {
    /// Ids of the tasks
    ids: Vec<String>,
    /// All dead tasks
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
struct SendArgs {
    /// Group of the task
    group: String,
    /// Operation: add, Math.add or math.Math.add
    operation: String,
    /// Arguments, as JSON; quotes around a string can be omitted
    #[arg(allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Attempts after the first one
    #[arg(long, value_name = "N", default_value_t = 3)]
    retry: u32,
    /// Begin no sooner than after this time
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    run_after: Option<Duration>,
    /// Begin no sooner than at this time: 2030-01-31T12:00:00Z
    #[arg(long, value_name = "DATE", value_parser = humantime::parse_rfc3339_weak, conflicts_with = "run_after")]
    run_at: Option<SystemTime>,
    /// Pause before a retry: none, 'fixed MS' or 'exponential FIRST MAX', in milliseconds
    #[arg(long, value_name = "BACKOFF", value_parser = backoff)]
    backoff: Option<Backoff>,
    /// Key that at most one task holds until its end; while another one has it, its id is printed
    #[arg(long, value_name = "KEY")]
    unique: Option<String>,
    /// Begin no attempt after this time from now
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
    /// Which tasks of the group are taken first: high, normal or low
    #[arg(long, default_value = "normal", value_parser = priority)]
    priority: Priority,
    /// Wait for the end of the task, and print its result
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = WAIT, value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
}

fn backoff(text: &str) -> Result<Backoff, String> {
    Backoff::parse(text)
        .ok_or_else(|| "expected none, 'fixed MS' or 'exponential FIRST MAX'".to_owned())
}

fn priority(text: &str) -> Result<Priority, String> {
    Priority::parse(text).ok_or_else(|| "expected high, normal or low".to_owned())
}

fn status(text: &str) -> Result<Status, String> {
    let statuses: Vec<_> = (0..).map_while(Status::from_number).collect();
    let found = statuses.iter().find(|status| status.to_string() == text);
    found.copied().ok_or_else(|| {
        let names: Vec<_> = statuses.iter().map(Status::to_string).collect();
        format!("expected one of: {}", names.join(", "))
    })
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<ExitCode, CommandError> {
    let Some(uri) = &args.tasks else {
        let text = "name the queue with --tasks or TCE_TASKS: an endpoint such as tcp://localhost:12010, or a file";
        return Err(console.usage_error(text));
    };
    let config = TasksConfig::from_uri(uri, args.store.as_deref());
    match runtime::block_on(act(config, &args.action, console))? {
        Ok(code) => Ok(code),
        Err(TaskError::Output(error)) => Err(error.into()),
        Err(TaskError::Failed(text)) => Ok(console.fail(text)?),
    }
}

/// Why the command failed.
enum TaskError {
    Output(io::Error),
    Failed(String),
}

impl From<io::Error> for TaskError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn failed(error: &impl ToString) -> TaskError {
    TaskError::Failed(error.to_string())
}

async fn act(
    config: TasksConfig,
    action: &Action,
    console: &mut Console,
) -> Result<ExitCode, TaskError> {
    let opened = Tasks::open(config).await;
    let tasks = opened.map_err(|error| failed(&error))?;
    match action {
        Action::Send(args) => send(&tasks, args, console).await,
        Action::Result { id, wait } => result(&tasks, id, *wait, console).await,
        Action::List {
            group,
            status,
            since,
            limit,
        } => {
            let filter = Filter {
                group: group.clone(),
                status: status.map(Status::number),
                after: String::new(),
                limit: usize::try_from(*limit).unwrap_or(usize::MAX),
            };
            list(&tasks, filter, *since, console).await
        }
        Action::Stats {
            group,
            format,
            watch,
        } => stats(&tasks, group, *format, *watch, console).await,
        Action::Dead(action) => dead(&tasks, action, console).await,
        Action::Serve { endpoint, child } => serve(&tasks, endpoint, *child, console).await,
        Action::Abort { id } => {
            let answer = tasks
                .client()
                .abort(id)
                .await
                .map_err(|error| failed(&error))?;
            let (text, is_aborted) = match answer {
                AbortAnswer::Done => ("aborted".to_owned(), true),
                AbortAnswer::Requested => ("requested: no further attempt begins".to_owned(), true),
                AbortAnswer::Finished(status) => (format!("has ended before: {status}"), false),
            };
            writeln!(console.out, "{text}")?;
            Ok(exit_code(is_aborted))
        }
    }
}

/// The entry of the extra with the key of a child.
const KEY: &str = "key";
/// The most bytes of a key.
const MAX_KEY: u64 = 1024;

/// Refuses calls without the key: other users of the machine can connect, too.
struct KeyCheck(String);

impl ServerInterceptor for KeyCheck {
    async fn call(&self, call: ServerCall, next: ServerNext<'_>) -> Result<Answer, Fault> {
        match call.extra().get(KEY) {
            Some(key) if !key.is_empty() && key == self.0 => next.run(call).await,
            _ => Err(Fault::new(
                ErrorCode::ConnectReject,
                "the key is missing or wrong",
            )),
        }
    }
}

/// Serves the queue until the process is asked to end, as a child until its parent has ended: a
/// signal to both must not end it while the parent hands its tasks back.
async fn serve(
    tasks: &Tasks,
    endpoint: &str,
    is_child: bool,
    console: &mut Console,
) -> Result<ExitCode, TaskError> {
    let Some(servant) = tasks.queue_servant() else {
        return Err(failed(&"another process serves this queue already"));
    };
    let communicator = Communicator::new();
    let listening = Adapter::listen(&communicator, endpoint).await;
    let adapter = listening.map_err(|error| failed(&error))?;
    if is_child {
        let mut key = String::new();
        io::stdin().lock().take(MAX_KEY).read_line(&mut key)?;
        adapter.intercept(KeyCheck(key.trim_end().to_owned()));
    }
    adapter.add_servant(servant).start();
    writeln!(console.out, "listening on {}", adapter.endpoint())?;
    console.out.flush()?;
    let asked = tce_runtime::termination_signal();
    match is_child {
        true => {
            let (sender, ended) = oneshot::channel();
            // Not one of the runtime, which would wait for it.
            thread::spawn(move || {
                let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
                // The receiver lives until then.
                let _ = sender.send(());
            });
            // The first signal is ignored; a second one ends the process.
            let ignoring = tokio::spawn(asked);
            let _ = ended.await;
            ignoring.abort();
        }
        false => asked.await?,
    }
    communicator.shutdown(SHUTDOWN_TIME).await;
    Ok(ExitCode::SUCCESS)
}

/// Prints the numbers of tasks by state, once or each second.
async fn stats(
    tasks: &Tasks,
    group: &str,
    format: Format,
    watch: bool,
    console: &mut Console,
) -> Result<ExitCode, TaskError> {
    loop {
        let counts = tasks.stats(group).await;
        let counts = counts.map_err(|error| failed(&error))?;
        match format {
            Format::Json => writeln!(console.out, "{}", json!(counts))?,
            Format::Text => {
                for (state, count) in counts {
                    writeln!(console.out, "{state}: {count}")?;
                }
            }
        }
        if !watch {
            return Ok(ExitCode::SUCCESS);
        }
        if format == Format::Text {
            writeln!(console.out)?;
        }
        console.out.flush()?;
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

/// Lists at most `filter.limit` records that have changed within `since`.
async fn list(
    tasks: &Tasks,
    mut filter: Filter,
    since: Option<Duration>,
    console: &mut Console,
) -> Result<ExitCode, TaskError> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let from = since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
    let from_ms = i64::try_from(from.as_millis()).unwrap_or(i64::MAX);
    let mut left = filter.limit;
    filter.limit = PAGE;
    while left > 0 {
        let listed = tasks.list(filter.clone()).await;
        let listed = listed.map_err(|error| failed(&error))?;
        let Some(last) = listed.last() else { break };
        filter.after.clone_from(&last.id);
        let fresh = listed.iter().filter(|record| record.changed_ms >= from_ms);
        for record in fresh.take(left) {
            writeln!(console.out, "{}", line(record))?;
            left -= 1;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The dead tasks of a group; of all groups if it is empty.
async fn all_dead(tasks: &Tasks, group: &str) -> Result<Vec<Record>, TaskError> {
    let mut filter = Filter {
        group: group.to_owned(),
        status: Some(Status::Failure.number()),
        limit: PAGE,
        ..Filter::default()
    };
    let mut dead = Vec::new();
    loop {
        let listed = tasks.list(filter.clone()).await;
        let listed = listed.map_err(|error| failed(&error))?;
        let Some(last) = listed.last() else {
            return Ok(dead);
        };
        filter.after.clone_from(&last.id);
        dead.extend(listed.into_iter().filter(|record| record.dead));
    }
}

async fn dead(
    tasks: &Tasks,
    action: &DeadAction,
    console: &mut Console,
) -> Result<ExitCode, TaskError> {
    let selection = match action {
        DeadAction::List { group } => {
            for record in all_dead(tasks, group).await? {
                writeln!(console.out, "{}", line(&record))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        DeadAction::Requeue(selection) | DeadAction::Drop(selection) => selection,
    };
    let ids: Vec<_> = match selection.all {
        true => {
            let dead = all_dead(tasks, "").await?.into_iter();
            dead.map(|record| record.id).collect()
        }
        false => selection.ids.clone(),
    };
    let (count, done) = match action {
        DeadAction::Drop(_) => (tasks.drop_dead(&ids).await, "dropped"),
        _ => (tasks.requeue_dead(&ids).await, "requeued"),
    };
    let count = count.map_err(|error| failed(&error))?;
    writeln!(console.out, "{done}: {count}")?;
    Ok(exit_code(
        selection.all || usize::try_from(count) == Ok(ids.len()),
    ))
}

async fn send(
    tasks: &Tasks,
    args: &SendArgs,
    console: &mut Console,
) -> Result<ExitCode, TaskError> {
    let client = tasks.client().set_task_ctl(TaskCtl::RetryCount(args.retry));
    let mut client = client.set_task_ctl(TaskCtl::Priority(args.priority));
    if let Some(pause) = args.run_after {
        client = client.set_task_ctl(TaskCtl::RunAfter(pause));
    }
    if let Some(time) = args.run_at {
        client = client.set_task_ctl(TaskCtl::RunAt(time));
    }
    if let Some(backoff) = args.backoff {
        client = client.set_task_ctl(TaskCtl::Backoff(backoff));
    }
    if let Some(key) = &args.unique {
        client = client.set_task_ctl(TaskCtl::Unique(key.clone()));
    }
    if let Some(left) = args.expires {
        let time = SystemTime::now().checked_add(left);
        let time = time.ok_or_else(|| failed(&"--expires is too far in the future"))?;
        client = client.set_task_ctl(TaskCtl::ExpireTime(time));
    }
    let words = args.arguments.iter();
    let arguments = words
        .map(|word| serde_json::from_str(word).unwrap_or_else(|_| Value::String(word.clone())));
    let arguments = Value::Array(arguments.collect());
    let sent = client.send(&args.group, &args.operation, arguments).await;
    let id = sent.map_err(|error| failed(&error))?;
    match args.wait {
        Some(_) => result(tasks, &id, args.wait, console).await,
        None => {
            writeln!(console.out, "{id}")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints the result of a task that has succeeded.
async fn result(
    tasks: &Tasks,
    id: &str,
    wait: Option<Duration>,
    console: &mut Console,
) -> Result<ExitCode, TaskError> {
    let limit = wait.unwrap_or_default();
    match tasks.client().get_result(id, limit, POLL).await {
        Ok(result) if result.is_success() => {
            if !result.record().result.is_empty() {
                writeln!(console.out, "{}", result.json())?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Ok(result) => Err(failed(&failure(&result))),
        Err(ResultError::Timeout(status)) => {
            let state = tasks.client().state(id).await;
            let steps = state.map_or(String::new(), |state| steps(state.record()));
            Err(failed(&format!(
                "the task {id} has not ended: {status}{steps}"
            )))
        }
        Err(error) => Err(failed(&error)),
    }
}

fn failure(result: &TaskResult) -> String {
    // The text is that of a servant: it may hold control sequences for the terminal.
    let text = result.error().escape_debug();
    format!(
        "the task has ended with the status {}: {text}{}",
        result.status(),
        steps(result.record())
    )
}

/// How far a workflow has come; empty if the task is none.
fn steps(record: &Record) -> String {
    let steps = record.steps.iter();
    // The names are those of the sender.
    let steps = steps.map(|step| format!("{} {}", step.operation.escape_debug(), step.status));
    match record.steps.is_empty() {
        true => String::new(),
        false => format!("; steps: {}", steps.collect::<Vec<_>>().join(", ")),
    }
}

/// A record as one line.
fn line(record: &Record) -> Value {
    let status = Status::from_number(record.status);
    let steps = record.steps.iter().map(
        |step| json!({"group": step.group, "operation": step.operation, "status": step.status}),
    );
    json!({
        "id": record.id,
        "group": record.group,
        "operation": record.operation,
        "status": status.map(|status| status.to_string()),
        "retries": record.retries,
        "deaths": record.deaths,
        "error": record.error,
        "changed_ms": record.changed_ms,
        "steps": steps.collect::<Vec<_>>(),
    })
}
