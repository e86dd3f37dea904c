//! A request to the server, and what of its answer is shown.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tce_runtime::{ErrorCode, RpcError};

use super::request::{Action, Request};
use crate::client::link::{Link, LinkError};
use crate::client::{definition, text};
use crate::idl::flow::{Outcome, Reply, Zombie};

/// What is missing is told in ecFlow's words, which differ by command.
const NODE_NOT_FOUND: i32 = 10;
const UNSUPPORTED_VALUE: i32 = 13;

/// What is shown of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// On standard output.
    pub(super) out: String,
    /// On standard error, although the command has succeeded.
    pub(super) notes: Vec<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecuteError {
    /// The server refuses; its text.
    #[error("{0}")]
    Refused(String),
    /// The call fails.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl From<RpcError> for ExecuteError {
    fn from(error: RpcError) -> Self {
        if error.code() == ErrorCode::RemoteException {
            Self::Refused(error.text().to_owned())
        } else {
            Self::Link(error.into())
        }
    }
}

type Result<T> = std::result::Result<T, ExecuteError>;

/// What the commands of one group share.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// The path that the last `get` has named.
    pub(super) path: String,
    /// Whether commands are in a group, where `get` shows nothing by itself.
    pub(super) is_group: bool,
}

/// Sends a request. `began` is when the client has started to connect.
pub(super) async fn execute(
    request: &Request,
    session: &mut Session,
    link: &Link,
    server: &str,
    began: Instant,
) -> Result<Answer> {
    let query = link.query();
    let control = link.control();
    let shown = match &request.action {
        Action::Ping => {
            query.ping().await?;
            pong(server, began.elapsed())
        }
        Action::ServerVersion => query.version().await? + "\n",
        Action::Suites => suites(&query.suites().await?),
        Action::Statistics { is_reset: true } => {
            accept(query.statistics("reset").await?, request)?;
            String::new()
        }
        Action::Statistics { is_reset: false } => {
            ended(accept(query.statistics("").await?, request)?)
        }
        Action::Zombies => zombie_table(&query.zombies().await?),
        Action::Get { path, .. } if session.is_group => {
            // A path that is not there is refused here, as in ecFlow, not where it is shown.
            accept(query.query("state", or_root(path), "").await?, request)?;
            session.path.clone_from(path);
            String::new()
        }
        Action::Get { path, is_state } => {
            let text = show(link, path, *is_state, request).await?;
            if is_part(path) {
                framed(&text, path)
            } else {
                text
            }
        }
        Action::Show { is_state } => {
            let path = &session.path;
            let text = show(link, path, *is_state, request).await?;
            if path.is_empty() {
                text
            } else {
                framed(&text, path)
            }
        }
        Action::Why(path) => {
            let path = if path.is_empty() { &session.path } else { path };
            ended(accept(query.why(or_root(path)).await?, request)?)
        }
        Action::Query { path, .. } if request.shown.starts_with("--job_gen") => {
            accept(query.query("state", or_root(path), "").await?, request)?;
            String::new()
        }
        Action::Query {
            kind,
            path,
            argument,
        } => ended(accept(query.query(kind, path, argument).await?, request)?),
        Action::File { path, which, lines } => {
            ended(accept(query.file(path, which, *lines).await?, request)?)
        }
        Action::Lines(lines) => ended(accept(query.lines(*lines).await?, request)?),
        Action::Check { paths } => accept(query.check(paths).await?, request)? + "\n",
        Action::Load {
            text,
            format,
            is_force,
        } => {
            let reply = definition::load(&control, text, format, *is_force).await?;
            return Ok(noted(accept(reply, request)?));
        }
        Action::Replace {
            path,
            text,
            parents,
            is_force,
        } => {
            let reply = definition::replace(&control, path, text, *parents, *is_force).await?;
            return Ok(noted(accept(reply, request)?));
        }
        Action::Order { path, how } => ended(accept(control.order(path, how).await?, request)?),
        Action::State { wanted, .. } => ended(accept(control.state(wanted).await?, request)?),
        Action::Checkpoint => ended(accept(control.checkpoint().await?, request)?),
        Action::ReloadWhiteList => ended(accept(control.reload("whitelist").await?, request)?),
        Action::CheckJobs(path) => check_jobs(link, path, request).await?,
        Action::Edit { path, how, script } => {
            ended(accept(control.edit(path, how, script).await?, request)?)
        }
        Action::Log { action, text } => ended(accept(control.log(action, text).await?, request)?),
        Action::Print(text) => text.clone(),
        Action::Nothing => String::new(),
        _ => return outcomes(&send_paths(request, link).await?, request),
    };
    Ok(Answer {
        out: shown,
        notes: Vec::new(),
    })
}

/// Commands that are answered for each path.
async fn send_paths(request: &Request, link: &Link) -> Result<Vec<Outcome>> {
    use super::request::PathCommand;

    let control = link.control();
    Ok(match &request.action {
        Action::Begin { suites, is_force } => control.begin(suites, *is_force).await?,
        Action::Paths { command, paths } => match command {
            PathCommand::Suspend => control.suspend(paths).await?,
            PathCommand::Resume => control.resume(paths).await?,
            PathCommand::Kill => control.kill(paths).await?,
            PathCommand::Status => control.status(paths).await?,
        },
        Action::Requeue { paths, how } => control.requeue(paths, how).await?,
        Action::Run { paths, is_force } => control.run(paths, *is_force).await?,
        Action::Force {
            paths,
            state,
            is_recursive,
            is_full,
        } => control.force(paths, state, *is_recursive, *is_full).await?,
        Action::Free { paths, which } => control.free_dependencies(paths, which).await?,
        Action::Alter {
            paths,
            action,
            attribute,
            name,
            value,
        } => control.alter(paths, action, attribute, name, value).await?,
        Action::Delete {
            paths, is_force, ..
        } => control.remove(paths, *is_force).await?,
        Action::ActOnZombies { paths, action } => control.act(paths, action).await?,
        _ => Vec::new(),
    })
}

/// Makes the jobs of all tasks at and below a node without starting them; refused with what is wrong
/// with any of them.
async fn check_jobs(link: &Link, path: &str, request: &Request) -> Result<String> {
    const TASK: u8 = 3;
    let query = link.query();
    accept(query.query("state", or_root(path), "").await?, request)?;
    let mut paths = HashMap::new();
    let mut problems = Vec::new();
    let mut after = -1;
    loop {
        let rows = query.tree(or_root(path), 0, after).await?;
        let Some(last) = rows.last() else {
            break;
        };
        after = last.id;
        for row in rows {
            // Rows come in tree order: the parent is known, but that of the first one.
            let own = match paths.get(&row.parent) {
                Some(parent) => format!("{parent}/{}", row.name),
                None if row.kind == 0 => String::new(),
                None => path.to_owned(),
            };
            if row.kind == TASK {
                let reply = link.control().edit(&own, "pre_process", "").await?;
                if reply.code != 0 {
                    problems.push(format!("{own}: {}", reply.text));
                }
            }
            paths.insert(row.id, own);
        }
    }
    if problems.is_empty() {
        Ok(String::new())
    } else {
        Err(ExecuteError::Refused(problems.join("\n")))
    }
}

fn or_root(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

async fn show(link: &Link, path: &str, is_state: bool, request: &Request) -> Result<String> {
    let style = if is_state { "state" } else { "definition" };
    let shown = text::show(link, or_root(path), style).await;
    shown.map_err(|error| match ExecuteError::from(error) {
        ExecuteError::Refused(text) if text.starts_with("Could not find node") => {
            ExecuteError::Refused(not_found(request, Some(path), &text))
        }
        error => error,
    })
}

/// Whether a path names a node below a suite.
fn is_part(path: &str) -> bool {
    path.matches('/').count() > 1
}

/// A node without the frame of a definition, as deep as it is in one: ecFlow shows parts so.
fn framed(text: &str, path: &str) -> String {
    let level = path.matches('/').count().saturating_sub(1);
    let lines = text
        .lines()
        .filter(|line| !matches!(*line, "#5.9.2" | "# enddef"));
    let mut shown: String = lines
        .map(|line| format!("{:level$}{line}\n", "", level = 2 * level))
        .collect();
    shown.push('\n');
    shown
}

/// A text that ends with the end of a line, unless it is empty.
fn ended(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Warnings of a command that has succeeded.
fn noted(text: String) -> Answer {
    Answer {
        out: String::new(),
        notes: if text.is_empty() {
            Vec::new()
        } else {
            vec![text]
        },
    }
}

fn pong(server: &str, time: Duration) -> String {
    let seconds = time.as_secs();
    format!(
        "ping server({server}) succeeded in {:02}:{:02}:{:02}.{:06}  ~{} milliseconds\n",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        time.subsec_micros(),
        time.as_millis()
    )
}

fn suites(names: &[String]) -> String {
    if names.is_empty() {
        return "No suites\n\n".to_owned();
    }
    let names: String = names.iter().map(|name| format!("{name} ")).collect();
    names + "\n"
}

/// The text of a success.
fn accept(reply: Reply, request: &Request) -> Result<String> {
    match reply.code {
        0 => Ok(reply.text),
        NODE_NOT_FOUND => Err(ExecuteError::Refused(not_found(request, None, &reply.text))),
        UNSUPPORTED_VALUE => Err(ExecuteError::Refused(no_value(request, reply.text))),
        _ => Err(ExecuteError::Refused(reply.text)),
    }
}

/// The refusals of paths, one a line; where there is none, what the server has to say.
fn outcomes(outcomes: &[Outcome], request: &Request) -> Result<Answer> {
    let refused: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.code != 0)
        .map(|outcome| refusal(request, outcome))
        .collect();
    if !refused.is_empty() {
        return Err(ExecuteError::Refused(refused.join("\n")));
    }
    // A second begin changes nothing: scripts that begin what may have begun are not told.
    let is_quiet = matches!(request.action, Action::Begin { .. });
    let told = outcomes
        .iter()
        .filter(|outcome| !is_quiet && !outcome.text.is_empty());
    Ok(Answer {
        out: String::new(),
        notes: told
            .map(|outcome| format!("{}: {}", outcome.path, outcome.text))
            .collect(),
    })
}

fn refusal(request: &Request, outcome: &Outcome) -> String {
    let Outcome { path, text, .. } = outcome;
    match (&request.action, outcome.code) {
        (_, NODE_NOT_FOUND) => not_found(request, Some(path), text),
        (Action::Force { state, .. }, UNSUPPORTED_VALUE) if path.contains(':') => {
            let (node, event) = path.split_once(':').unwrap_or((path, ""));
            format!("ForceCmd: force {state}: failed for node({node}) cannot find event({event})")
        }
        (Action::Alter { action, .. }, code) if code != 43 && !path.is_empty() => {
            format!("Alter ({action}) failed for {path} : {text}")
        }
        _ => text.clone(),
    }
}

/// What ecFlow says where a node is missing.
fn not_found(request: &Request, path: Option<&str>, text: &str) -> String {
    let path = path.filter(|path| !path.is_empty());
    let node = path.map_or("", |path| path.split(':').next().unwrap_or(path));
    match (&request.action, path) {
        (Action::Paths { command, .. }, Some(_)) => format!(
            "PathsCmd:{}: Could not find node at path '{node}'",
            command.name()
        ),
        (Action::Delete { .. }, Some(_)) => {
            format!("DeleteCmd:Delete: Could not find node at path '{node}'")
        }
        (Action::Requeue { .. }, Some(_)) => {
            format!("RequeueNodeCmd: Could not find node at path {node}")
        }
        (Action::Run { .. }, Some(_)) => format!("RunNodeCmd: Could not find node at path {node}"),
        (Action::Force { .. }, Some(_)) => format!("ForceCmd: Could not find node at path {node}"),
        (Action::Free { .. }, Some(_)) => format!("FreeDepCmd: Could not find node at path {node}"),
        (Action::Alter { .. }, Some(_)) => format!("AlterCmd: Could not find node at path {node}"),
        (Action::Check { paths }, _) => {
            let missing = paths.iter().find(|path| text.ends_with(path.as_str()));
            let missing = missing.map_or(node, String::as_str);
            format!("PathsCmd:Check: Could not find node at path '{missing}'")
        }
        (
            Action::Get { path, .. }
            | Action::Query { path, .. }
            | Action::File { path, .. }
            | Action::Order { path, .. }
            | Action::Edit { path, .. }
            | Action::CheckJobs(path)
            | Action::Why(path),
            _,
        ) if text.starts_with("Could not find node") => {
            let node = path.split(':').next().unwrap_or(path);
            format!("Cannot find node at path '{node}' ")
        }
        _ => text.to_owned(),
    }
}

/// What ecFlow says where a node does not have what is asked for.
fn no_value(request: &Request, text: String) -> String {
    let Action::Query { kind, path, .. } = &request.action else {
        return text;
    };
    let (node, name) = path.split_once(':').unwrap_or((path, ""));
    match kind.as_str() {
        "variable" => format!(
            "QueryCmd: Cannot find variable, repeat or generated var' of name {name} on node {node} or its parents"
        ),
        "event" | "meter" | "label" => {
            format!("QueryCmd: Cannot find {kind} {name} on node {node}")
        }
        "limit" | "limit_max" => format!("QueryCmd: Could not find limit {name}"),
        "repeat" => format!("QueryCmd: Cannot find repeat on node {node}"),
        _ => text,
    }
}

/// ecFlow's table of zombies: columns as wide as their content.
fn zombie_table(zombies: &[Zombie]) -> String {
    const HEAD: [&str; 11] = [
        "task-path",
        "type",
        "age(s)",
        "password",
        "pid",
        "try_no",
        "action",
        "child",
        "calls",
        "host",
        "explanation",
    ];
    let rows = zombies.iter().map(|zombie| {
        [
            zombie.path.clone(),
            zombie.kind.clone(),
            zombie.age.to_string(),
            "*".to_owned(),
            zombie.rid.clone(),
            zombie.try_no.to_string(),
            zombie.action.clone(),
            zombie.child.clone(),
            zombie.calls.to_string(),
            zombie.host.clone(),
            zombie.explanation.clone(),
        ]
    });
    let rows: Vec<_> = [HEAD.map(str::to_owned)].into_iter().chain(rows).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = rows.iter().map(|row| row[column].len()).max();
            format!("{cell:width$}", width = width.unwrap_or(0))
        });
        text += &cells.collect::<Vec<_>>().join(" ");
        text.push('\n');
    }
    text
}
