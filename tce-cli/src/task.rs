//! `tce task`: sends tasks, reads their results, lists and aborts them.

use std::{
    io::Write,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tce_tasks::{
    Filter, ResultError, TaskCtl, TaskResult, Tasks, TasksConfig,
    idl::tasks::Record,
    model::{AbortAnswer, Status},
};

use crate::{
    console::{CommandError, Console, exit_code},
    runtime,
};

/// The time limit of `--wait` without a value, as clap takes it.
const WAIT: &str = "3s";
/// The longest time between two looks for a result; its end is told at once.
const POLL: Duration = Duration::from_secs(10);

/// Send durable tasks, read their results, list and abort them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tce task --tasks tcp://localhost:12010 send group1 add 12 33 --wait
  tce task send group1 add 12 33 --retry 5 --run-after 2s
  tce task result 01890a5d-ac96-774b-bcce-b302099a8057 --wait
  tce task list --group group1 --status failure
  tce task abort 01890a5d-ac96-774b-bcce-b302099a8057

--tasks is the endpoint of the process that serves the queue, or the queue's file while no
process has it open.

Exit status: 0 success, 1 the task or the queue failed, 2 the command line is wrong.")]
pub(crate) struct Args {
    /// Endpoint of the queue (tcp://host:port), or its file
    #[arg(long, global = true, env = "TCE_TASKS", value_name = "URI")]
    tasks: Option<String>,

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
    /// List the tasks that the queue knows, a JSON object per line
    List {
        /// Tasks of this group
        #[arg(long, default_value = "")]
        group: String,
        /// Tasks with this status, such as success, failure or 'waiting retry'
        #[arg(long, value_parser = status)]
        status: Option<Status>,
        /// The most tasks to list
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Abort a task
    Abort {
        /// Id of the task
        id: String,
    },
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
    /// Begin no attempt after this time from now
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
    /// Wait for the end of the task, and print its result
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = WAIT, value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
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
    match runtime::block_on(act(uri, &args.action, console))? {
        Ok(code) => Ok(code),
        Err(TaskError::Output(error)) => Err(error.into()),
        Err(TaskError::Failed(text)) => Ok(console.fail(text)?),
    }
}

/// Why the command failed.
enum TaskError {
    Output(std::io::Error),
    Failed(String),
}

impl From<std::io::Error> for TaskError {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

fn failed(error: &impl ToString) -> TaskError {
    TaskError::Failed(error.to_string())
}

async fn act(uri: &str, action: &Action, console: &mut Console) -> Result<ExitCode, TaskError> {
    let tasks = Tasks::open(TasksConfig::from_uri(uri, None))
        .await
        .map_err(|error| failed(&error))?;
    match action {
        Action::Send(args) => send(&tasks, args, console).await,
        Action::Result { id, wait } => result(&tasks, id, *wait, console).await,
        Action::List {
            group,
            status,
            limit,
        } => {
            let status = status.map(Status::number);
            let filter = Filter {
                group: group.clone(),
                status,
                after: String::new(),
                limit: usize::try_from(*limit).unwrap_or(usize::MAX),
            };
            let listed = tasks.list(filter).await;
            for record in listed.map_err(|error| failed(&error))? {
                writeln!(console.out, "{}", line(&record))?;
            }
            Ok(ExitCode::SUCCESS)
        }
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

async fn send(
    tasks: &Tasks,
    args: &SendArgs,
    console: &mut Console,
) -> Result<ExitCode, TaskError> {
    let mut client = tasks.client().set_task_ctl(TaskCtl::RetryCount(args.retry));
    if let Some(pause) = args.run_after {
        client = client.set_task_ctl(TaskCtl::RunAfter(pause));
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
            Err(failed(&format!("the task {id} has not ended: {status}")))
        }
        Err(error) => Err(failed(&error)),
    }
}

fn failure(result: &TaskResult) -> String {
    // The text is that of a servant: it may hold control sequences for the terminal.
    let text = result.error().escape_debug();
    format!(
        "the task has ended with the status {}: {text}",
        result.status()
    )
}

/// A record as one line.
fn line(record: &Record) -> Value {
    let status = Status::from_number(record.status);
    json!({
        "id": record.id,
        "status": status.map(|status| status.to_string()),
        "retries": record.retries,
        "error": record.error,
        "changed_ms": record.changed_ms,
    })
}
