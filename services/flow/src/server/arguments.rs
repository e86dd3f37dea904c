//! Arguments of operations, which are texts, to those of commands.

use crate::machine::ServerState;
use crate::machine::{AlterAction, Attribute, Code, ForceTarget, FreeKind, Order, RequeueMode};
use crate::state::{Flag, State};

/// Why an argument means nothing.
#[derive(Debug)]
pub(super) struct BadArgument(pub(super) String);

impl BadArgument {
    /// The code that the caller gets.
    pub(super) const CODE: Code = Code::InvalidRequest;

    fn new(what: &str, given: &str, known: &str) -> Self {
        Self(format!("`{given}` is no {what}; it is one of {known}"))
    }
}

type Result<T> = std::result::Result<T, BadArgument>;

pub(super) fn texts(values: Vec<String>) -> Vec<Box<str>> {
    values.into_iter().map(String::into_boxed_str).collect()
}

pub(super) fn requeue_mode(how: &str) -> Result<RequeueMode> {
    Ok(match how {
        "" => RequeueMode::Idle,
        "abort" => RequeueMode::Aborted,
        "force" => RequeueMode::Force,
        "begin" => RequeueMode::Begin,
        _ => {
            return Err(BadArgument::new(
                "requeue",
                how,
                "`abort`, `force` and `begin`, or empty",
            ));
        }
    })
}

pub(super) fn force_target(state: &str) -> Result<ForceTarget> {
    match state {
        "set" => Ok(ForceTarget::Event(true)),
        "clear" => Ok(ForceTarget::Event(false)),
        _ => State::from_name(state)
            .map(ForceTarget::State)
            .ok_or_else(|| {
                let known = "unknown, complete, queued, aborted, submitted, active, set and clear";
                BadArgument::new("state", state, known)
            }),
    }
}

pub(super) fn free_kind(which: &str) -> Result<FreeKind> {
    Ok(match which {
        "" | "trigger" => FreeKind::Trigger,
        "all" => FreeKind::All,
        "date" => FreeKind::Date,
        "time" => FreeKind::Time,
        _ => {
            return Err(BadArgument::new(
                "dependency",
                which,
                "trigger, all, date and time",
            ));
        }
    })
}

pub(super) fn order(how: &str) -> Result<Order> {
    Ok(match how {
        "top" => Order::Top,
        "bottom" => Order::Bottom,
        "alpha" => Order::Alphabetical,
        "order" => Order::Backwards,
        "up" => Order::Up,
        "down" => Order::Down,
        _ => {
            return Err(BadArgument::new(
                "order",
                how,
                "top, bottom, alpha, order, up and down",
            ));
        }
    })
}

pub(super) fn server_state(wanted: &str) -> Result<ServerState> {
    Ok(match wanted {
        "running" | "restart" => ServerState::Running,
        "shutdown" => ServerState::Shutdown,
        "halted" | "halt" => ServerState::Halted,
        _ => {
            return Err(BadArgument::new(
                "state of the server",
                wanted,
                "running, shutdown, halted and terminate",
            ));
        }
    })
}

/// Attributes and the words for them: the keyword in definitions, then the other names that
/// `alter` knows.
const ATTRIBUTES: [(Attribute, &str, &str); 20] = [
    (Attribute::Variable, "edit", "variable"),
    (Attribute::Trigger, "trigger", "trigger"),
    (Attribute::Complete, "complete", "complete"),
    (Attribute::Event, "event", "event"),
    (Attribute::Meter, "meter", "meter"),
    (Attribute::Label, "label", "label"),
    (Attribute::Limit, "limit", "limit"),
    (Attribute::LimitMax, "limit", "limit_max"),
    (Attribute::InLimit, "inlimit", "inlimit"),
    (Attribute::DefaultState, "defstatus", "defstatus"),
    (Attribute::Repeat, "repeat", "repeat"),
    (Attribute::Time, "time", "time"),
    (Attribute::Today, "today", "today"),
    (Attribute::Cron, "cron", "cron"),
    (Attribute::Date, "date", "date"),
    (Attribute::Day, "day", "day"),
    (Attribute::Late, "late", "late"),
    (Attribute::Clock, "clock", "clock"),
    (Attribute::AutoCancel, "autocancel", "autocancel"),
    (Attribute::Zombie, "zombie", "zombie"),
];

fn attribute(name: &str) -> Result<(Attribute, &'static str)> {
    let mut known = ATTRIBUTES.iter();
    let found = known.find(|(_, keyword, other)| *other == name || *keyword == name);
    found
        .map(|(attribute, keyword, _)| (*attribute, *keyword))
        .ok_or_else(|| {
            let known: Vec<_> = ATTRIBUTES.iter().map(|(.., other)| *other).collect();
            BadArgument::new("attribute", name, &known.join(", "))
        })
}

pub(super) fn alteration(
    action: &str,
    attribute_name: &str,
    name: &str,
    value: &str,
) -> Result<AlterAction> {
    match action {
        "set_flag" | "clear_flag" => {
            let flag = Flag::from_name(attribute_name).ok_or_else(|| {
                let known: Vec<_> = Flag::ALL.iter().map(|flag| flag.name()).collect();
                BadArgument::new("flag", attribute_name, &known.join(", "))
            })?;
            Ok(AlterAction::SetFlag(flag, action == "set_flag"))
        }
        "add" => {
            let (kind, keyword) = attribute(attribute_name)?;
            addition(kind, keyword, name, value).map(AlterAction::Add)
        }
        "change" => {
            let (attribute, _) = attribute(attribute_name)?;
            // What has no name has its value as the first argument.
            let (name, value) = match attribute {
                Attribute::Variable
                | Attribute::Event
                | Attribute::Meter
                | Attribute::Label
                | Attribute::Limit
                | Attribute::LimitMax => (name, value),
                _ if value.is_empty() => ("", name),
                _ => ("", value),
            };
            Ok(AlterAction::Change {
                attribute,
                name: name.into(),
                value: value.into(),
            })
        }
        "delete" => {
            let (attribute, _) = attribute(attribute_name)?;
            Ok(AlterAction::Delete {
                attribute,
                name: name.into(),
            })
        }
        _ => Err(BadArgument::new(
            "alteration",
            action,
            "add, change, delete, set_flag and clear_flag",
        )),
    }
}

/// The attribute as in a definition.
fn addition(kind: Attribute, keyword: &str, name: &str, value: &str) -> Result<Box<str>> {
    if name.contains('\n') || value.contains('\n') {
        return Err(BadArgument("an attribute is one line".to_owned()));
    }
    let text = match kind {
        Attribute::Variable | Attribute::Label => {
            let quote = if value.contains('\'') { '"' } else { '\'' };
            format!("{keyword} {name} {quote}{value}{quote}")
        }
        _ => format!("{keyword} {name} {value}"),
    };
    Ok(text.trim_end().into())
}
