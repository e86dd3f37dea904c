//! Commands, and the records of them in a journal.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::attribute::ZombieAction;
use crate::calendar::Moment;
use crate::state::{Flag, State};

use super::ServerState;

/// The version of the format of records and snapshots: their first byte.
const FORMAT: u8 = 1;

/// A command with all that its effect depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The number in the journal, from 1.
    pub sequence: u64,
    /// When it is applied.
    pub moment: Moment,
    /// Who has sent it.
    pub user: Box<str>,
    /// Random bytes, fresh for each record, from which passwords of jobs are derived.
    pub secret: [u8; 16],
    /// What to do.
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Command {
    /// The time has passed.
    Tick,
    /// A job tells about itself.
    Child(JobIdentity, ChildCall),
    /// The runner tells about a job.
    Runner(RunnerEvent),
    /// Adds suites, in place of those of the same names if `force`.
    Load {
        /// A definition.
        text: Box<str>,
        /// Whether suites may be replaced.
        force: bool,
    },
    /// Puts a node of a definition in place of the one at the same path.
    Replace {
        /// The path.
        path: Box<str>,
        /// A definition that has the path.
        text: Box<str>,
        /// Whether parents that are missing are added.
        parents: bool,
        /// Whether running tasks may be replaced.
        force: bool,
    },
    /// Starts suites; all of them if there is no name.
    Begin {
        /// The names.
        suites: Vec<Box<str>>,
        /// Whether those that have begun start anew.
        force: bool,
    },
    /// Puts nodes back to their default states.
    Requeue {
        /// The paths.
        paths: Vec<Box<str>>,
        /// Which of the nodes.
        mode: RequeueMode,
    },
    /// Holds nodes.
    Suspend(Vec<Box<str>>),
    /// Holds nodes no longer.
    Resume(Vec<Box<str>>),
    /// Submits tasks, whatever they wait for.
    Run {
        /// The paths.
        paths: Vec<Box<str>>,
        /// Whether running tasks are submitted again.
        force: bool,
    },
    /// Sets states or events.
    Force {
        /// The paths; with `:NAME` for an event.
        paths: Vec<Box<str>>,
        /// What is set.
        target: ForceTarget,
        /// Whether nodes below are set, too.
        is_recursive: bool,
        /// Whether repeats go to their last values.
        is_full: bool,
    },
    /// Frees nodes of what they wait for, until the next requeue.
    Free {
        /// The paths.
        paths: Vec<Box<str>>,
        /// Of what.
        kind: FreeKind,
    },
    /// Changes attributes.
    Alter {
        /// The paths; `/` for the server.
        paths: Vec<Box<str>>,
        /// The change.
        action: AlterAction,
    },
    /// Removes nodes.
    Delete {
        /// The paths.
        paths: Vec<Box<str>>,
        /// Whether running tasks may be removed.
        force: bool,
    },
    /// Moves a node among its siblings, or sorts its children.
    Order {
        /// The path.
        path: Box<str>,
        /// How.
        order: Order,
    },
    /// Kills jobs.
    Kill(Vec<Box<str>>),
    /// Asks for the status of jobs.
    Status(Vec<Box<str>>),
    /// Decides about the zombies of tasks.
    Zombies {
        /// The paths.
        paths: Vec<Box<str>>,
        /// The decision.
        action: ZombieAction,
    },
    /// Changes what the server as a whole does.
    Server(ServerState),
}

/// Who a job is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobIdentity {
    /// The path of the task.
    pub path: Box<str>,
    /// The password that it was started with.
    pub password: Box<str>,
    /// The id of the process, or of the job in a queueing system; may be empty.
    pub rid: Box<str>,
    /// The number of the try; noted, not compared.
    pub try_no: u32,
    /// The host that it runs on.
    pub host: Box<str>,
    /// Whether it calls by Takler's client.
    pub is_takler: bool,
}

/// What a job tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildCall {
    /// It runs; sets variables of the task.
    Started(Vec<(Box<str>, Box<str>)>),
    /// It is done; removes variables of the task.
    Completed(Vec<Box<str>>),
    /// It has failed, for a reason.
    Aborted(Box<str>),
    /// Sets or clears an event.
    Event(Box<str>, bool),
    /// Sets a meter.
    Meter(Box<str>, i32),
    /// Sets a label.
    Label(Box<str>, Box<str>),
    /// Asks whether an expression is true.
    Wait(Box<str>),
}

/// What the runner tells about a job. The password says which job it is: the number of a try comes
/// again after a requeue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunnerEvent {
    /// The job's command runs.
    Started {
        /// The path of the task.
        path: Box<str>,
        /// The password that the job presents.
        password: Box<str>,
        /// The id of the process.
        pid: u32,
    },
    /// The job's command has ended well. The job may go on elsewhere.
    Ended {
        /// The path of the task.
        path: Box<str>,
        /// The password that the job presents.
        password: Box<str>,
    },
    /// The job could not be made or started, or its command failed: [`Flag::NoScript`],
    /// [`Flag::EditFailed`] or [`Flag::JobCommandFailed`].
    Failed {
        /// The path of the task.
        path: Box<str>,
        /// The password that the job presents.
        password: Box<str>,
        /// What has failed.
        flag: Flag,
        /// Why.
        reason: Box<str>,
    },
    /// The command that kills, or that asks for the status, has failed.
    CommandFailed {
        /// The path of the task.
        path: Box<str>,
        /// [`Flag::KillCommandFailed`] or [`Flag::StatusCommandFailed`].
        flag: Flag,
    },
}

/// Which nodes a requeue concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequeueMode {
    /// The nodes, unless a task runs.
    Idle,
    /// Aborted tasks alone.
    Aborted,
    /// The nodes, although tasks run.
    Force,
    /// The nodes; a suite that has not begun begins.
    Begin,
}

/// What a force sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForceTarget {
    /// The state of a node.
    State(State),
    /// An event.
    Event(bool),
}

/// What a node is freed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FreeKind {
    /// The trigger.
    Trigger,
    /// Times and crons.
    Time,
    /// Dates and days.
    Date,
    /// All.
    All,
}

/// A change of attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlterAction {
    /// Adds an attribute, given as in a definition.
    Add(Box<str>),
    /// Changes the value of an attribute.
    Change {
        /// What.
        attribute: Attribute,
        /// Its name; empty where a node has one of it.
        name: Box<str>,
        /// The new value.
        value: Box<str>,
    },
    /// Removes an attribute, or all of a kind if the name is empty.
    Delete {
        /// What.
        attribute: Attribute,
        /// Its name, or its text for times.
        name: Box<str>,
    },
    /// Sets a flag.
    SetFlag(Flag, bool),
}

/// A kind of attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the keyword of a definition")]
pub enum Attribute {
    Variable,
    Trigger,
    Complete,
    Event,
    Meter,
    Label,
    Limit,
    LimitMax,
    InLimit,
    DefaultState,
    Repeat,
    Time,
    Today,
    Cron,
    Date,
    Day,
    Late,
    Clock,
    AutoCancel,
    Zombie,
}

/// An order of siblings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// The node comes first.
    Top,
    /// The node comes last.
    Bottom,
    /// The children are sorted by name.
    Alphabetical,
    /// The children are sorted by name, backwards.
    Backwards,
    /// The node comes one earlier.
    Up,
    /// The node comes one later.
    Down,
}

/// Why bytes are no record, or no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The first byte is not the version of a format that is known.
    #[error("format {0:?} is not supported; this version reads format {FORMAT}")]
    Format(Option<u8>),
    /// The bytes are damaged.
    #[error("malformed: {0}")]
    Malformed(#[from] postcard::Error),
    /// Bytes follow the record.
    #[error("{0} bytes too many")]
    Trailing(usize),
}

impl Record {
    /// The record as bytes, with the version of the format first.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if a value can't be encoded, which no record has.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        encode(self)
    }

    /// The record of exactly these bytes.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if the bytes are damaged, or of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        decode(bytes)
    }
}

pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>, CodecError> {
    Ok(postcard::to_extend(value, vec![FORMAT])?)
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let content = match bytes.split_first() {
        Some((&FORMAT, content)) => content,
        first => return Err(CodecError::Format(first.map(|(format, _)| *format))),
    };
    let (value, rest) = postcard::take_from_bytes(content)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(CodecError::Trailing(rest.len()))
    }
}
