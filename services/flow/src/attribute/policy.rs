//! Attributes that few nodes have: late, autocancel, clock and zombie.

use serde::{Deserialize, Serialize};

use crate::calendar::Date;

/// When a task counts as late. All times in minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// `-s`: submitted for longer than this.
    pub submitted: Option<u32>,
    /// `-a`: neither active nor complete at this time of the day.
    pub active: Option<u32>,
    /// `-c`: not complete at this time of the day, or, if true, this long after it became active.
    pub complete: Option<(bool, u32)>,
}

impl Late {
    /// This, completed by what a parent says.
    #[must_use]
    pub fn or(self, parent: Self) -> Self {
        Self {
            submitted: self.submitted.or(parent.submitted),
            active: self.active.or(parent.active),
            complete: self.complete.or(parent.complete),
        }
    }
}

/// When a node that stays complete is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AutoCancel {
    /// So many minutes after it completed.
    After(u32),
    /// At this minute of the day.
    At(u32),
    /// So many days after it completed; 0: at the next minute.
    Days(u32),
}

/// The clock of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The date stands still.
    pub is_hybrid: bool,
    /// The date at which the suite begins; `None`: today.
    pub date: Option<Date>,
    /// What the suite's clock is ahead, in seconds.
    pub gain: u32,
    /// Whether the gain was written as `+hh:mm`.
    pub is_gain_in_minutes: bool,
}

/// Why a child command is not of the present job of its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ZombieType {
    /// An operator deleted, forced, reran or requeued the running task.
    User,
    /// The job is right, the task not running.
    Ecf,
    /// There is no such task.
    Path,
    /// Another process, with the right password.
    EcfPid,
    /// The right process, with another password.
    EcfPassword,
    /// Another process, with another password.
    EcfPidPassword,
}

impl ZombieType {
    /// All types.
    pub const ALL: [Self; 6] = [
        Self::User,
        Self::Ecf,
        Self::Path,
        Self::EcfPid,
        Self::EcfPassword,
        Self::EcfPidPassword,
    ];

    /// The name in definitions and lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Ecf => "ecf",
            Self::Path => "path",
            Self::EcfPid => "ecf_pid",
            Self::EcfPassword => "ecf_passwd",
            Self::EcfPidPassword => "ecf_pid_passwd",
        }
    }

    /// The type of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// How long a zombie is remembered after its last call, in seconds.
    #[must_use]
    pub fn lifetime(self) -> u32 {
        match self {
            Self::User => 300,
            Self::Path => 900,
            _ => 3600,
        }
    }

    /// The cause, as the list of zombies explains it.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::User => "Created by user action(force)",
            Self::Ecf => {
                "Two init commands or task complete or aborted but receives another child cmd"
            }
            Self::Path => "Task not found. Nodes replaced whilst jobs were running",
            Self::EcfPid => {
                "PID miss-match, password matches. Job scheduled twice. Check submitter"
            }
            Self::EcfPassword => "Password miss-match, PID matches",
            Self::EcfPidPassword => {
                "Both PID and password miss-match. Re-queue & submit of active job?"
            }
        }
    }
}

/// What becomes of a zombie's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ZombieAction {
    /// They succeed without effect.
    Fob,
    /// They are refused.
    Fail,
    /// They are held: the client asks again.
    Block,
    /// The task takes the zombie's password and process.
    Adopt,
    /// It is forgotten, and may come back.
    Remove,
    /// Its process is killed.
    Kill,
}

impl ZombieAction {
    /// The action of a name; `delete` is another name of `remove`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "fob" => Self::Fob,
            "fail" => Self::Fail,
            "block" => Self::Block,
            "adopt" => Self::Adopt,
            "remove" | "delete" => Self::Remove,
            "kill" => Self::Kill,
            _ => return None,
        })
    }

    /// The name in definitions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fob => "fob",
            Self::Fail => "fail",
            Self::Block => "block",
            Self::Adopt => "adopt",
            Self::Remove => "remove",
            Self::Kill => "kill",
        }
    }
}

/// A kind of child command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChildKind {
    /// The job has started.
    Init,
    /// An event.
    Event,
    /// A meter.
    Meter,
    /// A label.
    Label,
    /// Waits for an expression.
    Wait,
    /// The job has failed.
    Abort,
    /// The job is done.
    Complete,
}

impl ChildKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Init,
        Self::Event,
        Self::Meter,
        Self::Label,
        Self::Wait,
        Self::Abort,
        Self::Complete,
    ];

    /// The name in definitions and lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Event => "event",
            Self::Meter => "meter",
            Self::Label => "label",
            Self::Wait => "wait",
            Self::Abort => "abort",
            Self::Complete => "complete",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// What becomes of zombies of one type at a node and all below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZombiePolicy {
    /// The type.
    pub kind: ZombieType,
    /// The action.
    pub action: ZombieAction,
    /// For which commands; empty: all.
    pub children: Box<[ChildKind]>,
    /// How long a zombie is remembered after its last call, in seconds; at least 60.
    pub lifetime: u32,
}
