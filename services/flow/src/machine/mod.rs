//! The machine: `(state, moment, command) → changes, effects and replies, or a refusal`.
//!
//! It reads no clock and draws no random numbers: both come with the [`Record`] of a command, so
//! that a journal of records replays to the same state. What may have come free by a change is
//! looked at within the same step, along an index of what expressions refer to.

mod command;
mod reply;
mod zombie;
mod index;
mod transition;
mod limits;
mod requeue;
mod check;
mod clock;
mod child;
mod operator;
mod force;
mod alter;
mod structure;
mod why;

pub use command::{
    AlterAction, Attribute, ChildCall, CodecError, Command, ForceTarget, FreeKind, JobIdentity,
    Order, Record, RequeueMode, RunnerEvent,
};
pub use reply::{Applied, Change, Code, Effect, Outcome, Refusal};
pub use zombie::Zombie;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::tree::{NodeId, Tree};

use index::Index;
use transition::Transition;

/// What the server as a whole does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerState {
    /// Everything.
    #[default]
    Running,
    /// No new jobs.
    Shutdown,
    /// No new jobs, and child commands are told to wait.
    Halted,
}

impl ServerState {
    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Shutdown => "SHUTDOWN",
            Self::Halted => "HALTED",
        }
    }
}

/// The state of the server. It is serialized as a snapshot; what can be computed from the rest is
/// left out.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Machine {
    tree: Tree,
    server: ServerState,
    zombies: Vec<Zombie>,
    /// The number of the last change of a node.
    version: u64,
    /// Nodes to check in the next step: their repeat has already stepped in this one.
    deferred: BTreeSet<NodeId>,
    #[serde(skip)]
    index: Index,
}

/// States are equal if their snapshots are.
impl PartialEq for Machine {
    fn eq(&self, other: &Self) -> bool {
        self.tree == other.tree
            && self.server == other.server
            && self.zombies == other.zombies
            && self.version == other.version
            && self.deferred == other.deferred
    }
}

impl Machine {
    /// Applies a command.
    ///
    /// # Errors
    ///
    /// A [`Refusal`]; then nothing has changed, and the command need not be journalled. A command
    /// for several nodes is refused for each of them by itself, in [`Applied::outcomes`].
    pub fn apply(&mut self, record: &Record) -> Result<Applied, Refusal> {
        let mut transition = Transition::new(self, record);
        transition.run(&record.command)?;
        Ok(transition.finish())
    }

    /// The nodes.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What the server as a whole does.
    #[must_use]
    pub fn server(&self) -> ServerState {
        self.server
    }

    /// Calls of jobs that are not the present job of their task.
    #[must_use]
    pub fn zombies(&self) -> &[Zombie] {
        &self.zombies
    }

    /// The number of the last change of a node.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The next moment, in Unix seconds, at which [`Command::Tick`] may change something.
    #[must_use]
    pub fn next_wake(&self) -> Option<i64> {
        self.index.next_wake()
    }

    /// The state as bytes, which equal states have in common.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if a value can't be encoded, which no state has.
    pub fn snapshot(&self) -> Result<Vec<u8>, CodecError> {
        command::encode(self)
    }

    /// The state of a snapshot.
    ///
    /// # Errors
    ///
    /// [`CodecError`] if the bytes are damaged, or of a newer version.
    pub fn restore(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut machine: Self = command::decode(bytes)?;
        machine.index = Index::build(&machine.tree);
        Ok(machine)
    }
}
