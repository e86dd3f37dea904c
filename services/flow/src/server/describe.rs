//! Commands as lines of the log.

use crate::machine::{
    AlterAction, ChildCall, Command, ForceTarget, FreeKind, Order, RequeueMode, RunnerEvent,
    ServerState,
};

/// The line for a command; `None` where only its effects are logged. Passwords and texts of
/// definitions are left out.
pub(super) fn describe(command: &Command, user: &str) -> Option<String> {
    let line = match command {
        Command::Tick => return None,
        Command::Child(job, call) => return Some(child(&job.path, call)),
        Command::Runner(event) => return runner(event),
        Command::Load { text, force } => {
            format!("--load ({} bytes){}", text.len(), forced(*force))
        }
        Command::Replace { path, force, .. } => format!("--replace={path}{}", forced(*force)),
        Command::Begin { suites, force } => {
            format!("--begin={}{}", suites.join(" "), forced(*force))
        }
        Command::Requeue { paths, mode } => {
            let mode = match mode {
                RequeueMode::Idle => "",
                RequeueMode::Aborted => "abort ",
                RequeueMode::Force => "force ",
                RequeueMode::Begin => "begin ",
            };
            format!("--requeue={mode}{}", paths.join(" "))
        }
        Command::Suspend(paths) => format!("--suspend={}", paths.join(" ")),
        Command::Resume(paths) => format!("--resume={}", paths.join(" ")),
        Command::Run { paths, force } => format!("--run={}{}", paths.join(" "), forced(*force)),
        Command::Force {
            paths,
            target,
            is_recursive,
            is_full,
        } => {
            let target = match target {
                ForceTarget::State(state) => state.name(),
                ForceTarget::Event(true) => "set",
                ForceTarget::Event(false) => "clear",
            };
            let recursive = if *is_recursive { " recursive" } else { "" };
            let full = if *is_full { " full" } else { "" };
            format!("--force={target}{recursive}{full} {}", paths.join(" "))
        }
        Command::Free { paths, kind } => {
            let kind = match kind {
                FreeKind::Trigger => "trigger",
                FreeKind::Time => "time",
                FreeKind::Date => "date",
                FreeKind::All => "all",
            };
            format!("--free-dep={kind} {}", paths.join(" "))
        }
        Command::Alter { paths, action } => {
            format!("--alter={} {}", alteration(action), paths.join(" "))
        }
        Command::Delete { paths, force } => {
            format!("--delete={}{}", paths.join(" "), forced(*force))
        }
        Command::Order { path, order } => {
            let order = match order {
                Order::Top => "top",
                Order::Bottom => "bottom",
                Order::Alphabetical => "alpha",
                Order::Backwards => "order",
                Order::Up => "up",
                Order::Down => "down",
            };
            format!("--order={path} {order}")
        }
        Command::Kill(paths) => format!("--kill={}", paths.join(" ")),
        Command::Status(paths) => format!("--status={}", paths.join(" ")),
        Command::Zombies { paths, action } => {
            format!("--zombie_{} {}", action.name(), paths.join(" "))
        }
        Command::Server(ServerState::Running) => "--restart".to_owned(),
        Command::Server(ServerState::Shutdown) => "--shutdown".to_owned(),
        Command::Server(ServerState::Halted) => "--halt".to_owned(),
    };
    // What the server orders itself is not logged.
    (!user.is_empty()).then(|| format!("{line} :{user}"))
}

fn forced(force: bool) -> &'static str {
    if force { " force" } else { "" }
}

fn child(path: &str, call: &ChildCall) -> String {
    match call {
        ChildCall::Started(_) => format!("chd:init {path}"),
        ChildCall::Completed(_) => format!("chd:complete {path}"),
        ChildCall::Aborted(reason) => format!("chd:abort {path} {reason}"),
        ChildCall::Event(name, true) => format!("chd:event {name} {path}"),
        ChildCall::Event(name, false) => format!("chd:event {name} clear {path}"),
        ChildCall::Meter(name, value) => format!("chd:meter {name} {value} {path}"),
        ChildCall::Label(name, value) => format!("chd:label {name} '{value}' {path}"),
        ChildCall::Wait(expression) => format!("chd:wait {expression} {path}"),
    }
}

fn runner(event: &RunnerEvent) -> Option<String> {
    match event {
        RunnerEvent::Failed { path, reason, .. } => Some(format!("{path}: {reason}")),
        RunnerEvent::CommandFailed { path, flag } => Some(format!("{path}: {}", flag.name())),
        _ => None,
    }
}

fn alteration(action: &AlterAction) -> String {
    match action {
        AlterAction::Add(text) => format!("add {text}"),
        AlterAction::Change {
            attribute,
            name,
            value,
        } => {
            let kind = format!("{attribute:?}").to_lowercase();
            format!("change {kind} {name} '{value}'")
        }
        AlterAction::Delete { attribute, name } => {
            let kind = format!("{attribute:?}").to_lowercase();
            format!("delete {kind} {name}")
        }
        AlterAction::SetFlag(flag, true) => format!("set_flag {}", flag.name()),
        AlterAction::SetFlag(flag, false) => format!("clear_flag {}", flag.name()),
    }
}
