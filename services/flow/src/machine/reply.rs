//! What a command leads to.

use crate::state::State;
use crate::tree::NodeId;

/// The number of an error, as Takler's clients know it; from 60 on our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Done.
    Success = 0,
    /// There is no such node.
    NodeNotFound = 10,
    /// The path is malformed.
    InvalidPath = 11,
    /// The command is not for a node of this kind.
    NodeType = 12,
    /// The value is not possible.
    UnsupportedValue = 13,
    /// Not in this state of the nodes.
    FlowState = 14,
    /// The command makes no sense.
    InvalidRequest = 15,
    /// The expression can't be understood.
    ExpressionSyntax = 20,
    /// The call is not of the present job of the task, and is refused.
    Zombie = 31,
    /// Ask again: the server is halted.
    Halted = 60,
    /// Ask again: the call is not of the present job of the task, and is held.
    ZombieHeld = 61,
    /// Ask again: the expression is not yet true.
    NotYetTrue = 62,
}

/// A command that has changed nothing, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The number for programs.
    pub code: Code,
    /// The reason for people.
    pub text: String,
}

impl Refusal {
    pub(super) fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

/// What became of one path of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The path, as it was given.
    pub path: Box<str>,
    /// [`Code::Success`], or why nothing has happened.
    pub code: Code,
    /// More about it; may be empty.
    pub text: String,
    /// Whether something has changed.
    pub is_applied: bool,
}

/// What a command has led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The answer to a command that is not for several paths.
    pub code: Code,
    /// The text of the answer; may be empty.
    pub text: String,
    /// One for each path, in order.
    pub outcomes: Vec<Outcome>,
    /// Nodes that are new, different or gone.
    pub changes: Vec<Change>,
    /// Nodes and the states that they have taken, in order.
    pub states: Vec<(NodeId, State)>,
    /// What the runner has to do, in order.
    pub effects: Vec<Effect>,
    /// Whether anything has changed: if not, the command need not be journalled.
    pub is_changed: bool,
}

/// A node that is new, different or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The node.
    pub node: NodeId,
    /// The number of the change.
    pub version: u64,
    /// Whether the node was removed.
    pub is_gone: bool,
}

/// What the runner has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make and start a job.
    Submit {
        /// The task.
        node: NodeId,
        /// Its path.
        path: String,
        /// The number of the try.
        try_no: u32,
        /// The password that the job presents.
        password: Box<str>,
    },
    /// Run the command that kills a job.
    Kill {
        /// The path of the task.
        path: String,
        /// The password of the job; may be empty for a zombie.
        password: Box<str>,
        /// The id of the job.
        rid: Box<str>,
    },
    /// Run the command that asks for a job's status.
    Status {
        /// The path of the task.
        path: String,
        /// The id of the job.
        rid: Box<str>,
    },
}
