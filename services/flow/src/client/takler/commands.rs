//! What the commands of `takler_client` do.

use std::io;
use std::time::{Duration, Instant};

use super::arguments::Arguments;
use crate::client::address::Address;
use crate::client::child::{ChildError, Delay, Patience, Servers, deliver, job_of};
use crate::client::console::{Console, Environment};
use crate::client::definition;
use crate::client::link::{Caller, Link, LinkError};
use crate::client::{FAILURE, SUCCESS, text};
use crate::idl::flow::{Job, Outcome, Reply};
use crate::machine::ChildCall;

/// How long a ping may take in all: it connects, then calls.
const PING_LIMIT: Duration = Duration::from_millis(2500);
/// How long a command may take.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// The pause before a second attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a command has failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}: {}", code_name(*.code), .text)]
    Refused { code: i32, text: String },
    #[error("could not {command}: {error}")]
    Link { command: String, error: LinkError },
    #[error("ping server ({address}) failed: {error}")]
    Ping { address: Address, error: LinkError },
    #[error("could not {command}: {reason}")]
    Held {
        command: String,
        reason: &'static str,
    },
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Stream(#[from] io::Error),
}

/// The names of Takler's codes, and of ours.
fn code_name(code: i32) -> &'static str {
    match code {
        0 => "success",
        1 => "takler_error",
        10 => "node_not_found",
        11 => "invalid_node_path",
        12 => "node_type",
        13 => "unsupported_value",
        14 => "flow_state",
        15 => "invalid_request",
        20 => "expression_syntax",
        30 => "job_submission",
        31 => "zombie",
        43 => "permission_denied",
        60 => "halted",
        61 => "zombie_held",
        62 => "not_yet_true",
        99 => "internal_error",
        _ => "unknown",
    }
}

/// Runs the command, and reports how it has ended.
pub(super) fn run(
    arguments: &Arguments,
    environment: &Environment,
    console: &mut Console<'_>,
) -> io::Result<u8> {
    let name = arguments.command().name;
    let child = match child_call(name, arguments) {
        Ok(child) => child,
        Err(text) => {
            writeln!(console.err, "{text}")?;
            return Ok(FAILURE);
        }
    };
    if child.is_some() && environment.is_set("NO_TAKLER") {
        writeln!(console.out, "ignore because NO_TAKLER is set.")?;
        return Ok(SUCCESS);
    }
    let address = Address::of_takler(environment, arguments.text("host"), arguments.text("port"));
    let address = match address {
        Ok(address) => address,
        Err(error) => {
            writeln!(console.err, "{error}")?;
            return Ok(FAILURE);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        match child {
            Some(call) => tell(name, &call, arguments, environment, address, console).await,
            None => order(name, arguments, environment, &address, console).await,
        }
    });
    match done {
        Ok(()) => Ok(SUCCESS),
        Err(Failure::Stream(error)) => Err(error),
        Err(failure) => {
            writeln!(console.err, "{failure}")?;
            Ok(FAILURE)
        }
    }
}

/// What a job tells by a command; `None` if it is not one of those.
fn child_call(name: &str, arguments: &Arguments) -> Result<Option<ChildCall>, String> {
    let text = |flag| arguments.text(flag).unwrap_or_default();
    Ok(Some(match name {
        "init" => ChildCall::Started(Vec::new()),
        "complete" => ChildCall::Completed(Vec::new()),
        "abort" => ChildCall::Aborted(text("reason").into()),
        "event" => ChildCall::Event(text("event-name").into(), true),
        "meter" => {
            let value = text("meter-value");
            let value = value.parse().map_err(|_| {
                format!("unsupported_value: the value of a meter is a whole number, not `{value}`")
            })?;
            ChildCall::Meter(text("meter-name").into(), value)
        }
        _ => return Ok(None),
    }))
}

/// A child command: repeated until the server has heard it.
async fn tell(
    name: &str,
    call: &ChildCall,
    arguments: &Arguments,
    environment: &Environment,
    address: Address,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let mut job = job_of(environment, ["TAKLER_", "ECF_"]);
    if let Some(path) = arguments.text("node-path") {
        path.clone_into(&mut job.path);
    }
    if let Some(rid) = arguments.text("task-id") {
        rid.clone_into(&mut job.rid);
    }
    let shown = match call {
        ChildCall::Started(_) => format!("{} with {}", job.path, job.rid),
        ChildCall::Aborted(reason) => format!("{}: {reason}", job.path),
        ChildCall::Event(name, _) => format!("{}: {name}", job.path),
        ChildCall::Meter(name, value) => format!("{}: {name} with {value}", job.path),
        _ => job.path.clone(),
    };
    writeln!(console.out, "{address} {name} {shown}")?;
    if job.path.is_empty() {
        let text = format!("no task: set --node-path or TAKLER_NAME for `{name}`");
        return Err(Failure::Usage(text));
    }
    send(name, &job, call, environment, address, console).await?;
    writeln!(console.out, "received: success")?;
    Ok(())
}

async fn send(
    name: &str,
    job: &Job,
    call: &ChildCall,
    environment: &Environment,
    address: Address,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let command = name.to_owned();
    let caller = match Caller::new(environment, None, "takler") {
        Ok(caller) => caller,
        Err(error) => return Err(Failure::Link { command, error }),
    };
    let patience = Patience::new(environment, "TAKLER_TIMEOUT");
    let mut servers = Servers::new(address, environment);
    let mut told = None;
    let mut failed = Ok(());
    let report = |address: &Address, delay: &Delay<'_>| {
        let text = match delay {
            Delay::Away(error) => error.to_string(),
            Delay::Halted => "the server is halted".to_owned(),
            Delay::Zombie => "zombie: the server holds the call".to_owned(),
        };
        let text = format!("{address} {name}: {text}; trying again");
        if told.as_ref() != Some(&text) {
            failed = writeln!(console.err, "{text}");
            told = Some(text);
        }
    };
    let done = deliver(&caller, &mut servers, job, call, &patience, report).await;
    failed?;
    done.map_err(|error| match error {
        ChildError::Refused(Reply { code, text }) => Failure::Refused { code, text },
        ChildError::Expired(error) | ChildError::Setup(error) => Failure::Link { command, error },
        ChildError::Held(reason) => Failure::Held { command, reason },
    })
}

/// What operators order and ask.
async fn order(
    name: &str,
    arguments: &Arguments,
    environment: &Environment,
    address: &Address,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    writeln!(console.out, "{address} {}", shown(name, arguments))?;
    let began = Instant::now();
    let limit = if name == "ping" {
        PING_LIMIT
    } else {
        CALL_LIMIT
    };
    let done = async {
        let caller = Caller::new(environment, None, "takler")?;
        let link = match caller.connect(address, limit).await {
            Err(error) if error.is_unreachable() && name != "ping" => {
                tokio::time::sleep(PAUSE).await;
                caller.connect(address, limit).await?
            }
            link => link?,
        };
        call(name, arguments, &link).await
    };
    let answer = done.await.map_err(|error| match (name, error) {
        (_, CallError::Failure(failure)) => failure,
        ("ping", CallError::Link(error)) => Failure::Ping {
            address: address.clone(),
            error,
        },
        (_, CallError::Link(error)) => Failure::Link {
            command: name.to_owned(),
            error,
        },
    })?;
    match answer {
        Answer::Pong => {
            writeln!(
                console.out,
                "ping server ({address}) succeeded in {:?}",
                began.elapsed()
            )?;
        }
        Answer::Text(text) => write!(console.out, "{text}")?,
        Answer::Done => writeln!(console.out, "received: success")?,
    }
    Ok(())
}

/// The first line on standard output, behind the address.
fn shown(name: &str, arguments: &Arguments) -> String {
    let words = arguments.words.join(" ");
    match name {
        "ping" | "show" => name.to_owned(),
        "begin" | "load" => format!("{name}: {words}"),
        _ => format!("{name}: [{words}]"),
    }
}

/// What a command leads to.
enum Answer {
    Pong,
    Text(String),
    Done,
}

enum CallError {
    Link(LinkError),
    Failure(Failure),
}

impl From<LinkError> for CallError {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl From<tce_runtime::RpcError> for CallError {
    fn from(error: tce_runtime::RpcError) -> Self {
        Self::Link(error.into())
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

async fn call(name: &str, arguments: &Arguments, link: &Link) -> Result<Answer, CallError> {
    let control = link.control();
    let words = &arguments.words;
    match name {
        "ping" => {
            link.query().ping().await?;
            return Ok(Answer::Pong);
        }
        "show" => {
            let text = text::show(link, "/", &show_style(arguments)).await?;
            return Ok(Answer::Text(text));
        }
        "requeue" => check(control.requeue(words, "begin").await?)?,
        "suspend" => check(control.suspend(words).await?)?,
        "resume" => check(control.resume(words).await?)?,
        "run" => check(control.run(words, arguments.is_on("force")).await?)?,
        "begin" => check(control.begin(words, arguments.is_on("force")).await?)?,
        "force" => {
            let is_recursive = arguments.is_on("recursive") && !arguments.is_on("no-recursive");
            let outcomes = control.force(&words[1..], &words[0], is_recursive, false);
            check(outcomes.await?)?;
        }
        "free-dep" => {
            let which = arguments.text("dep-type").unwrap_or("all");
            check(control.free_dependencies(words, which).await?)?;
        }
        "load" => {
            let format = arguments.text("flow-type").unwrap_or("json");
            let text = std::fs::read_to_string(&words[0]).map_err(|error| {
                Failure::Usage(format!("could not load: {}: {error}", words[0]))
            })?;
            let is_force = arguments.is_on("force");
            let reply = definition::load(&control, &text, format, is_force).await?;
            if reply.code != 0 {
                let Reply { code, text } = reply;
                return Err(Failure::Refused { code, text }.into());
            }
        }
        _ => {}
    }
    Ok(Answer::Done)
}

/// The style of `show` that the flags ask for.
fn show_style(arguments: &Arguments) -> String {
    let is_all = arguments.is_on("show-all");
    let mut style = "takler".to_owned();
    for item in ["trigger", "parameter", "limit", "event", "meter"] {
        if is_all || arguments.is_on(&format!("show-{item}")) {
            style.push(' ');
            style += item;
        }
    }
    style
}

/// All refusals, one a line; that of the first path gives the code.
fn check(outcomes: Vec<Outcome>) -> Result<(), Failure> {
    let mut refused = outcomes.into_iter().filter(|outcome| outcome.code != 0);
    let Some(first) = refused.next() else {
        return Ok(());
    };
    let line = |outcome: &Outcome| {
        if outcome.path.is_empty() {
            outcome.text.clone()
        } else {
            format!("{}: {}", outcome.path, outcome.text)
        }
    };
    let mut text = line(&first);
    for outcome in refused {
        text += &format!("\n{}: {}", code_name(outcome.code), line(&outcome));
    }
    Err(Failure::Refused {
        code: first.code,
        text,
    })
}
