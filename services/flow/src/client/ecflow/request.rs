//! What one command of `ecflow_client` asks for: its values checked, before anything is sent.

use std::path::Path;

use crate::def;
use crate::expression::Expression;
use crate::state::Flag;

/// A command with all that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The request as ecFlow writes it in errors.
    pub(super) shown: String,
    pub(super) action: Action,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Ping,
    ServerVersion,
    Suites,
    Statistics {
        is_reset: bool,
    },
    Zombies,
    ReloadWhiteList,
    Load {
        text: String,
        format: &'static str,
        is_force: bool,
    },
    /// What a file holds, without a server.
    Print(String),
    /// A file is right, without a server.
    Nothing,
    Replace {
        path: String,
        text: String,
        parents: bool,
        is_force: bool,
    },
    Begin {
        suites: Vec<String>,
        is_force: bool,
    },
    Paths {
        command: PathCommand,
        paths: Vec<String>,
    },
    Requeue {
        paths: Vec<String>,
        how: String,
    },
    Run {
        paths: Vec<String>,
        is_force: bool,
    },
    Force {
        paths: Vec<String>,
        state: String,
        is_recursive: bool,
        is_full: bool,
    },
    Free {
        paths: Vec<String>,
        which: String,
    },
    Alter {
        paths: Vec<String>,
        action: String,
        attribute: String,
        name: String,
        value: String,
    },
    Delete {
        paths: Vec<String>,
        is_force: bool,
        is_confirmed: bool,
    },
    ActOnZombies {
        paths: Vec<String>,
        action: &'static str,
    },
    Check {
        paths: Vec<String>,
    },
    Order {
        path: String,
        how: String,
    },
    State {
        wanted: &'static str,
        is_confirmed: bool,
    },
    Checkpoint,
    CheckJobs(String),
    Edit {
        path: String,
        how: String,
        script: String,
    },
    Log {
        action: String,
        text: String,
    },
    Lines(i32),
    Get {
        path: String,
        is_state: bool,
    },
    Show {
        is_state: bool,
    },
    Why(String),
    Query {
        kind: String,
        path: String,
        argument: String,
    },
    File {
        path: String,
        which: String,
        lines: i32,
    },
}

/// Commands that take paths alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathCommand {
    Suspend,
    Resume,
    Kill,
    Status,
}

impl PathCommand {
    /// Its name in ecFlow's errors.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Suspend => "Suspend",
            Self::Resume => "Resume",
            Self::Kill => "Kill",
            Self::Status => "Status",
        }
    }
}

type Result<T> = std::result::Result<T, String>;

/// The most lines of a file, and the number without an argument.
const FILE_LINES: i32 = 10_000;
/// The lines of the log without an argument.
const LOG_LINES: i32 = 100;

impl Request {
    /// A command of operators with its values. An error is shown in ecFlow's frame.
    pub(super) fn new(name: &str, values: &[String]) -> Result<Self> {
        let value = values.first().map_or("", String::as_str);
        let all = values.join(" ");
        let equals = format!("--{name}={all}").trim_end_matches('=').to_owned();
        let spaced = format!("--{name} {all}").trim_end().to_owned();
        let (shown, action) = match name {
            "ping" => (spaced, Action::Ping),
            "server_version" => (spaced, Action::ServerVersion),
            "suites" => (spaced, Action::Suites),
            "stats" => (spaced, Action::Statistics { is_reset: false }),
            "stats_reset" => (spaced, Action::Statistics { is_reset: true }),
            "zombie_get" => (spaced, Action::Zombies),
            "reloadwsfile" => (spaced, Action::ReloadWhiteList),
            "restart" => (
                spaced,
                Action::State {
                    wanted: "restart",
                    is_confirmed: true,
                },
            ),
            "halt" | "shutdown" | "terminate" => (equals, server_state(name, value)?),
            "check_pt" => (equals, checkpoint(value)?),
            "load" => (equals, load(values)?),
            "replace" => (equals, replace(values)?),
            "begin" => (equals, begin(values)),
            "suspend" => (spaced, path_command(PathCommand::Suspend, name, values)?),
            "resume" => (spaced, path_command(PathCommand::Resume, name, values)?),
            "kill" => (spaced, path_command(PathCommand::Kill, name, values)?),
            "status" => (spaced, path_command(PathCommand::Status, name, values)?),
            "requeue" => (spaced, requeue(values)?),
            "run" => (spaced, run(values)?),
            "force" => (equals, force(values)?),
            "free-dep" => free(values)?,
            "alter" => (spaced, alter(values)?),
            "delete" => (spaced, delete(values)?),
            "check" => (spaced, check(values)?),
            "job_gen" => {
                let (kind, path) = ("state".to_owned(), value.to_owned());
                let argument = String::new();
                (
                    equals,
                    Action::Query {
                        kind,
                        path,
                        argument,
                    },
                )
            }
            "checkJobGenOnly" => (equals, Action::CheckJobs(value.to_owned())),
            "order" => (equals, order(values)?),
            "edit_script" => (equals, edit(values)?),
            "log" => (equals, log(values)?),
            "msg" => {
                let action = "msg".to_owned();
                (
                    equals,
                    Action::Log {
                        action,
                        text: value.to_owned(),
                    },
                )
            }
            "get" => (
                equals,
                Action::Get {
                    path: value.to_owned(),
                    is_state: false,
                },
            ),
            "get_state" => (
                equals,
                Action::Get {
                    path: value.to_owned(),
                    is_state: true,
                },
            ),
            "show" => (equals, show(value)?),
            "why" => (equals, Action::Why(value.to_owned())),
            "query" => (equals, query(values)?),
            "file" => file(values)?,
            "zombie_fob" | "zombie_fail" | "zombie_adopt" | "zombie_block" | "zombie_remove"
            | "zombie_kill" => (equals, zombie(name, values)?),
            _ => return Err(format!("unrecognised option '--{name}'")),
        };
        Ok(Self { shown, action })
    }
}

/// The paths among values, and the words that are none.
fn split_paths(values: &[String]) -> (Vec<&str>, Vec<String>) {
    let (paths, words): (Vec<_>, Vec<_>) = values.iter().partition(|value| value.starts_with('/'));
    let words = words.into_iter().map(String::as_str).collect();
    (words, paths.into_iter().cloned().collect())
}

fn require_paths(paths: &[String], text: &str) -> Result<()> {
    if paths.is_empty() {
        Err(format!(
            "{text}Paths must begin with a leading '/' character\n"
        ))
    } else {
        Ok(())
    }
}

fn path_command(command: PathCommand, name: &str, values: &[String]) -> Result<Action> {
    let (words, paths) = split_paths(values);
    require_paths(&paths, &format!("{name}:  No paths specified. "))?;
    require_words(name, &words, &[])?;
    Ok(Action::Paths { command, paths })
}

/// Refuses words that a command does not know: ecFlow ignores them, and with them what was meant.
fn require_words(command: &str, words: &[&str], known: &[&str]) -> Result<()> {
    match words.iter().find(|word| !known.contains(*word)) {
        Some(word) if known.is_empty() => Err(format!(
            "{command}: '{word}' is no path: paths begin with '/'\n"
        )),
        Some(word) => {
            let known = known.join(" | ");
            Err(format!(
                "{command}: '{word}' is neither a path nor one of [ {known} ]\n"
            ))
        }
        None => Ok(()),
    }
}

const AT_LEAST_ONE: &str = "No paths specified. At least one path expected. ";

fn requeue(values: &[String]) -> Result<Action> {
    let (words, paths) = split_paths(values);
    require_paths(&paths, &format!("RequeueNodeCmd: {AT_LEAST_ONE}"))?;
    require_words("RequeueNodeCmd", &words, &["abort", "force"])?;
    let how = words.first().copied().unwrap_or_default().to_owned();
    Ok(Action::Requeue { paths, how })
}

fn run(values: &[String]) -> Result<Action> {
    let (words, paths) = split_paths(values);
    require_paths(&paths, &format!("RunNodeCmd: {AT_LEAST_ONE}"))?;
    if words.iter().any(|word| *word != "force") {
        return Err("RunNodeCmd: Expected force <path(s)>\n".to_owned());
    }
    let is_force = !words.is_empty();
    Ok(Action::Run { paths, is_force })
}

fn zombie(name: &str, values: &[String]) -> Result<Action> {
    let (words, paths) = split_paths(values);
    require_paths(&paths, &format!("ZombieCmd: {AT_LEAST_ONE}"))?;
    require_words("ZombieCmd", &words, &[])?;
    let actions = ["fob", "fail", "adopt", "block", "remove", "kill"];
    let action = actions.into_iter().find(|action| name.ends_with(action));
    Ok(Action::ActOnZombies {
        paths,
        action: action.unwrap_or_default(),
    })
}

fn begin(values: &[String]) -> Action {
    let words = values.iter().flat_map(|value| value.split_whitespace());
    let (force, suites): (Vec<_>, Vec<_>) =
        words.partition(|word| matches!(*word, "--force" | "force"));
    let name = |suite: &str| suite.trim_start_matches('/').to_owned();
    Action::Begin {
        suites: suites.into_iter().map(name).collect(),
        is_force: !force.is_empty(),
    }
}

fn server_state(name: &str, value: &str) -> Result<Action> {
    if !matches!(value, "" | "yes") {
        return Err("Halt, shutdown and terminate expected 'yes' as the only argument to bypass the confirmation prompt".to_owned());
    }
    let wanted = match name {
        "halt" => "halt",
        "shutdown" => "shutdown",
        _ => "terminate",
    };
    let is_confirmed = value == "yes";
    Ok(Action::State {
        wanted,
        is_confirmed,
    })
}

fn checkpoint(mode: &str) -> Result<Action> {
    let (word, number) = mode.split_once(':').unwrap_or((mode, "0"));
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    let is_known = match word {
        "" | "never" | "always" => mode == word,
        "on_time" | "alarm" => is_number(number),
        _ => is_number(mode),
    };
    if is_known {
        Ok(Action::Checkpoint)
    } else {
        Err(format!(
            "check_pt: Illegal argument({mode}), expected [ never | on_time | on_time:<integer> | always | <integer>]"
        ))
    }
}

fn read(path: &str) -> std::io::Result<String> {
    let limit = 2 * def::MAX_TEXT as u64;
    if std::fs::metadata(path)?.len() > limit {
        let text = format!("the file has more than {limit} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, text));
    }
    std::fs::read_to_string(path)
}

fn load(values: &[String]) -> Result<Action> {
    let (path, option) = match values {
        [path] => (path, ""),
        [path, option] => (path, option.as_str()),
        _ => return Err(
            "LoadDefsCmd: expected a file and one option [ force | check_only | print | stats ]\n"
                .to_owned(),
        ),
    };
    let failed = |what: String| {
        format!("\nLoadDefsCmd::LoadDefsCmd. Failed to parse file/definition {path}\n{what}\n")
    };
    let text = read(path).map_err(|error| failed(error.to_string()))?;
    let is_json = text.trim_start().starts_with('{');
    if is_json {
        let format = "json";
        return Ok(Action::Load {
            text,
            format,
            is_force: option == "force",
        });
    }
    let parsed = def::parse(&text);
    if parsed.has_errors() {
        let file = Path::new(path).display().to_string();
        return Err(failed(def::render(&parsed.diagnostics, &file, &text)));
    }
    match option {
        "" | "force" => {
            let format = "def";
            Ok(Action::Load {
                text,
                format,
                is_force: option == "force",
            })
        }
        "check_only" => Ok(Action::Nothing),
        "print" => Ok(Action::Print(super::census::print(parsed.definition))),
        "stats" => Ok(Action::Print(super::census::census(&parsed.definition))),
        _ => Err(format!(
            "LoadDefsCmd: '{option}' is not one of [ force | check_only | print | stats ]\n"
        )),
    }
}

fn replace(values: &[String]) -> Result<Action> {
    let [path, file, options @ ..] = values else {
        return Err("ReplaceNodeCmd: Expected a path and a file\n".to_owned());
    };
    if !path.starts_with('/') {
        return Err(
            "ReplaceNodeCmd: the path must begin with a leading '/' character\n".to_owned(),
        );
    }
    let mut parents = false;
    let mut is_force = false;
    for option in options {
        match option.as_str() {
            "parent" | "true" => parents = true,
            "false" => parents = false,
            "force" => is_force = true,
            _ => {
                return Err(format!(
                    "ReplaceNodeCmd: '{option}' is not one of [ parent | false | force ]\n"
                ));
            }
        }
    }
    let failed = |what: String| {
        format!("ReplaceNodeCmd::ReplaceNodeCmd: Could not parse file {file} : {what}\n")
    };
    let text = read(file).map_err(|error| failed(error.to_string()))?;
    let parsed = def::parse(&text);
    if parsed.has_errors() {
        return Err(failed(def::render(&parsed.diagnostics, file, &text)));
    }
    let path = path.clone();
    Ok(Action::Replace {
        path,
        text,
        parents,
        is_force,
    })
}

fn force(values: &[String]) -> Result<Action> {
    let (words, paths) = split_paths(values);
    let states = [
        "unknown",
        "complete",
        "queued",
        "submitted",
        "active",
        "aborted",
        "clear",
        "set",
    ];
    let known: Vec<_> = states.into_iter().chain(["recursive", "full"]).collect();
    let state = words.iter().find(|word| states.contains(*word));
    let state = state.ok_or_else(|| {
        format!(
            "ForceCmd: Invalid argument, expected one of [ {} ]\n",
            states.join(" | ")
        )
    })?;
    require_words("ForceCmd", &words, &known)?;
    require_paths(&paths, &format!("ForceCmd: {AT_LEAST_ONE}"))?;
    let is_event = matches!(*state, "set" | "clear");
    if is_event && paths.iter().any(|path| !path.contains(':')) {
        return Err(format!(
            "ForceCmd: When 'set' or 'clear' is specified the path needs to include name of the event i.e\n --force={state} /path/to_task:event_name\n"
        ));
    }
    Ok(Action::Force {
        state: (*state).to_owned(),
        is_recursive: words.contains(&"recursive"),
        is_full: words.contains(&"full"),
        paths,
    })
}

fn free(values: &[String]) -> Result<(String, Action)> {
    let (words, paths) = split_paths(values);
    let which = match words[..] {
        [] => "trigger",
        [which @ ("trigger" | "all" | "date" | "time")] => which,
        [which, ..] => return Err(format!("FreeDepCmd: Invalid argument({which})\n")),
    };
    require_paths(&paths, &format!("FreeDepCmd: {AT_LEAST_ONE}"))?;
    let shown = format!("--free-dep {which} {}", paths.join(" "));
    Ok((
        shown,
        Action::Free {
            paths,
            which: which.to_owned(),
        },
    ))
}

/// `alter ACTION ATTRIBUTE [NAME] [VALUE] PATHS`. Names and values may begin with `/`, too: so many
/// values as an attribute needs are not paths.
fn alter(values: &[String]) -> Result<Action> {
    let all = values.join(" ");
    let [action, attribute, rest @ ..] = values else {
        return Err(format!(
            "AlterCmd: No paths specified. Paths must begin with a leading '/' character\n{all} \n"
        ));
    };
    let (least, most) = alter_values(action, attribute)?;
    let more = rest.iter().skip(least);
    let more = more.take_while(|value| !value.starts_with('/')).count();
    let count = (least + more).min(most);
    let (given, paths) = rest.split_at_checked(count).unwrap_or((rest, &[]));
    if paths.is_empty() {
        return Err(format!(
            "AlterCmd: No paths specified. Paths must begin with a leading '/' character\n{all} \n"
        ));
    }
    if let Some(word) = paths.iter().find(|path| !path.starts_with('/')) {
        return Err(format!(
            "AlterCmd: {action}: '{word}' is no path. Expected '{action} {attribute} <name> <value> <paths>'\n{all} \n"
        ));
    }
    let (name, value) = given.split_first().unzip();
    Ok(Action::Alter {
        paths: paths.to_vec(),
        action: action.clone(),
        attribute: attribute.clone(),
        name: name.cloned().unwrap_or_default(),
        value: value.unwrap_or_default().join(" "),
    })
}

/// The least and the greatest number of values between an attribute of `alter` and the paths.
fn alter_values(action: &str, attribute: &str) -> Result<(usize, usize)> {
    Ok(match (action, attribute) {
        ("set_flag" | "clear_flag", flag) => {
            if Flag::from_name(flag).is_none() {
                let known: Vec<_> = Flag::ALL.iter().map(|flag| flag.name()).collect();
                return Err(format!(
                    "AlterCmd: set/clear_flag: The second argument({flag}) must be one of [ {} ]\n",
                    known.join(" | ")
                ));
            }
            (0, 0)
        }
        ("add", "variable" | "label" | "limit") => (2, 2),
        ("change", "variable" | "label" | "meter" | "limit" | "limit_max") => (2, 2),
        ("change", "event") => (1, 2),
        ("add", _) => (1, usize::MAX),
        ("change", _) => (1, 1),
        ("delete", _) => (0, 1),
        _ => {
            return Err(format!(
                "AlterCmd: The first argument must be one of [ add | change | delete | set_flag | clear_flag ] but found {action}\n"
            ));
        }
    })
}

fn delete(values: &[String]) -> Result<Action> {
    let (words, mut paths) = split_paths(values);
    require_words("Delete", &words, &["force", "yes", "_all_"])?;
    if words.contains(&"_all_") {
        paths = vec!["/".to_owned()];
    }
    require_paths(&paths, "Delete: No paths specified. ")?;
    Ok(Action::Delete {
        paths,
        is_force: words.contains(&"force"),
        is_confirmed: words.contains(&"yes") || words.contains(&"force"),
    })
}

fn check(values: &[String]) -> Result<Action> {
    let (words, paths) = split_paths(values);
    require_words("Check", &words, &["_all_"])?;
    let is_all = !words.is_empty() || paths.iter().any(|path| path == "/");
    let paths = if is_all {
        vec!["_all_".to_owned()]
    } else {
        paths
    };
    Ok(Action::Check { paths })
}

fn order(values: &[String]) -> Result<Action> {
    const ORDERS: [&str; 6] = ["top", "bottom", "alpha", "order", "up", "down"];
    match values {
        [path, how] if ORDERS.contains(&how.as_str()) => Ok(Action::Order {
            path: path.clone(),
            how: how.clone(),
        }),
        [_, _] => Err(format!(
            "OrderNodeCmd: Invalid second option: please specify one of [ {}]\n",
            ORDERS.join(", ")
        )),
        _ => {
            let lines: String = ORDERS
                .iter()
                .map(|order| format!("order pathToNode {order}\n"))
                .collect();
            Err(format!(
                "OrderNodeCmd: Two arguments expected. Please specify one of:\n{lines}"
            ))
        }
    }
}

fn edit(values: &[String]) -> Result<Action> {
    let [path, how, files @ ..] = values else {
        return Err(
            "EditScriptCmd: Expected a path and [ edit | pre_process | submit | submit_file ]\n"
                .to_owned(),
        );
    };
    let script = match (how.as_str(), files) {
        ("edit" | "pre_process", []) => String::new(),
        ("submit" | "submit_file", [file]) => {
            read(file).map_err(|error| format!("EditScriptCmd: {file}: {error}\n"))?
        }
        ("submit" | "submit_file", _) => {
            return Err(format!(
                "EditScriptCmd: {how} needs one file: this server has no aliases\n"
            ));
        }
        _ => {
            return Err(format!(
                "The second argument({how}) to edit_script must be one of [ edit | pre_process | submit | submit_file]\n"
            ));
        }
    };
    let (path, how) = (path.clone(), how.clone());
    Ok(Action::Edit { path, how, script })
}

fn log(values: &[String]) -> Result<Action> {
    let words: Vec<_> = values.iter().map(String::as_str).collect();
    match words[..] {
        ["get"] => Ok(Action::Lines(LOG_LINES)),
        ["get", lines] => {
            let lines = lines.parse().ok().filter(|lines| *lines > 0);
            let lines = lines.ok_or("LogCmd: Second argument must be a integer, i.e. --log get 100\n")?;
            Ok(Action::Lines(lines))
        }
        ["new", file] => Ok(Action::Log { action: "new".to_owned(), text: file.to_owned() }),
        [action @ ("path" | "new" | "clear" | "flush")] => Ok(Action::Log { action: action.to_owned(), text: String::new() }),
        _ => Err("LogCmd: The arguments have not been specified correctly: expected [ get | clear | flush | new | path ]\n".to_owned()),
    }
}

fn show(style: &str) -> Result<Action> {
    match style {
        "" | "defs" => Ok(Action::Show { is_state: false }),
        "state" | "migrate" => Ok(Action::Show { is_state: true }),
        _ => Err(format!(
            "show: expected [ defs | state ] but found {style}\n"
        )),
    }
}

fn query(values: &[String]) -> Result<Action> {
    const KINDS: [&str; 10] = [
        "state",
        "dstate",
        "repeat",
        "event",
        "meter",
        "limit",
        "limit_max",
        "label",
        "variable",
        "trigger",
    ];
    let [kind, rest @ ..] = values else {
        return Err("QueryCmd: no arguments\n".to_owned());
    };
    if !KINDS.contains(&kind.as_str()) {
        return Err(format!(
            "QueryCmd: first argument must be one of [ {} ] but found:{kind}",
            KINDS.join(" | ")
        ));
    }
    let path = rest.first().map_or("", String::as_str);
    if !path.starts_with('/') {
        return Err(format!("QueryCmd: invalid path to attribute: {path}"));
    }
    let needs_name = !matches!(kind.as_str(), "state" | "dstate" | "repeat" | "trigger");
    if needs_name && !path.contains(':') {
        return Err(format!(
            "QueryCmd: no attribute specified: query type: {kind} path+attribute: {path}\n"
        ));
    }
    let argument = rest.get(1).map_or("", String::as_str);
    match kind.as_str() {
        "trigger" if argument.is_empty() => {
            return Err("QueryCmd: no attribute specified: query type: trigger\n".to_owned());
        }
        "trigger" => {
            Expression::parse(argument).map_err(|error| {
                format!("QueryCmd: Failed to parse expression '{argument}'.  {error}\n")
            })?;
        }
        _ if rest.len() > 1 => return Err(format!("QueryCmd: '{argument}' is too much\n")),
        _ => {}
    }
    Ok(Action::Query {
        kind: kind.clone(),
        path: path.to_owned(),
        argument: argument.to_owned(),
    })
}

fn file(values: &[String]) -> Result<(String, Action)> {
    const FILES: [&str; 6] = ["script", "job", "jobout", "manual", "kill", "stat"];
    let words: Vec<_> = values.iter().map(String::as_str).collect();
    let (path, which, lines) = match words[..] {
        [path] => (path, "script", None),
        [path, which] => (path, which, None),
        [path, which, lines] => (path, which, Some(lines)),
        _ => {
            return Err(
                "CFileCmd::CFileCmd: Expected a path, a file and a number of lines\n".to_owned(),
            );
        }
    };
    if !FILES.contains(&which) {
        return Err(format!(
            "CFileCmd::CFileCmd: Unrecognised file type {which} expected one of [{}] \n",
            FILES.join(" | ")
        ));
    }
    let lines = match lines {
        None => FILE_LINES,
        Some(text) => text.parse().ok().filter(|lines| *lines > 0).ok_or_else(|| {
            format!("CFileCmd::CFileCmd: The third argument({text}) must be convertible to an integer\n")
        })?,
    };
    let shown = format!("--file={path} {which} {lines}");
    Ok((
        shown,
        Action::File {
            path: path.to_owned(),
            which: which.to_owned(),
            lines: lines.min(FILE_LINES),
        },
    ))
}
