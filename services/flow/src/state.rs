//! States of nodes, and the flags beside them.

use serde::{Deserialize, Serialize};

/// The state of a node. The discriminants are the numbers that expressions see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum State {
    /// Before the suite begins.
    #[default]
    Unknown = 0,
    /// Done.
    Complete = 1,
    /// Waits to be submitted.
    Queued = 2,
    /// Failed.
    Aborted = 3,
    /// A job was started, and has not called yet.
    Submitted = 4,
    /// The job runs.
    Active = 5,
}

impl State {
    /// All states, from the least to the most significant one: a container has the most
    /// significant state of its children.
    pub const BY_SIGNIFICANCE: [Self; 6] = [
        Self::Unknown,
        Self::Complete,
        Self::Queued,
        Self::Submitted,
        Self::Active,
        Self::Aborted,
    ];

    /// The name in definitions and expressions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Complete => "complete",
            Self::Queued => "queued",
            Self::Aborted => "aborted",
            Self::Submitted => "submitted",
            Self::Active => "active",
        }
    }

    /// The state of a name in lower case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::BY_SIGNIFICANCE
            .into_iter()
            .find(|state| state.name() == name)
    }

    /// Whether a job has been started and has not ended.
    #[must_use]
    pub fn is_running(self) -> bool {
        matches!(self, Self::Submitted | Self::Active)
    }
}

/// The state after begin and requeue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DefaultState {
    /// A state.
    State(State),
    /// Queued, and suspended.
    Suspended,
}

impl Default for DefaultState {
    fn default() -> Self {
        Self::State(State::Queued)
    }
}

impl DefaultState {
    /// The name in definitions.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::State(state) => state.name(),
            Self::Suspended => "suspended",
        }
    }

    /// The state of a name in lower case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "suspended" => Some(Self::Suspended),
            _ => State::from_name(name).map(Self::State),
        }
    }
}

/// A mark beside the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flag {
    /// A task took longer, or began later, than its `late` attribute permits.
    Late,
    /// A zombie of the task is known.
    Zombie,
    /// The job was killed by an operator.
    Killed,
    /// The job aborted itself.
    TaskAborted,
    /// An operator aborted the task.
    ForceAborted,
    /// There is no script.
    NoScript,
    /// The script could not be made into a job.
    EditFailed,
    /// The job's command failed.
    JobCommandFailed,
    /// The command that kills failed.
    KillCommandFailed,
    /// The command that asks for the job's status failed.
    StatusCommandFailed,
    /// An operator changed the node.
    Message,
}

impl Flag {
    /// All flags, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::Late,
        Self::Zombie,
        Self::Killed,
        Self::TaskAborted,
        Self::ForceAborted,
        Self::NoScript,
        Self::EditFailed,
        Self::JobCommandFailed,
        Self::KillCommandFailed,
        Self::StatusCommandFailed,
        Self::Message,
    ];

    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Zombie => "zombie",
            Self::Killed => "killed",
            Self::TaskAborted => "task_aborted",
            Self::ForceAborted => "force_aborted",
            Self::NoScript => "no_script",
            Self::EditFailed => "edit_failed",
            Self::JobCommandFailed => "ecfcmd_failed",
            Self::KillCommandFailed => "killcmd_failed",
            Self::StatusCommandFailed => "statuscmd_failed",
            Self::Message => "message",
        }
    }

    /// The flag of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.name() == name)
    }

    fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

/// A set of flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags(u16);

impl Flags {
    /// Whether a flag is set.
    #[must_use]
    pub fn has(self, flag: Flag) -> bool {
        self.0 & flag.bit() != 0
    }

    /// Sets or clears a flag, and tells whether that changed it.
    pub fn set(&mut self, flag: Flag, value: bool) -> bool {
        let before = *self;
        if value {
            self.0 |= flag.bit();
        } else {
            self.0 &= !flag.bit();
        }
        *self != before
    }

    /// The flags that are set, in the order of [`Flag::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }

    /// The names, parted by commas.
    #[must_use]
    pub fn names(self) -> String {
        self.iter().map(Flag::name).collect::<Vec<_>>().join(",")
    }
}
