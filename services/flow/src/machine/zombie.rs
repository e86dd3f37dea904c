//! Calls of jobs that are not the present job of their task.

use serde::{Deserialize, Serialize};

use crate::attribute::{ChildKind, ZombieAction, ZombieType};

/// The most zombies that are remembered; older ones give way.
pub(super) const MAX_ZOMBIES: usize = 10_000;

/// A job that is not the present job of its task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zombie {
    /// The path of the task.
    pub path: Box<str>,
    /// Why it is one.
    pub kind: ZombieType,
    /// Its password.
    pub password: Box<str>,
    /// Its id.
    pub rid: Box<str>,
    /// The number of its try, as it says.
    pub try_no: u32,
    /// Its host.
    pub host: Box<str>,
    /// What an operator has decided.
    pub action: Option<ZombieAction>,
    /// Its last call; `None` before the first one.
    pub child: Option<ChildKind>,
    /// How many calls it has made.
    pub calls: u32,
    /// When it was found, in Unix seconds.
    pub created_at: i64,
    /// When it called last, in Unix seconds.
    pub seen_at: i64,
    /// How long it is remembered after its last call, in seconds.
    pub lifetime: u32,
}

impl Zombie {
    /// Whether the job of a call is this one.
    pub(super) fn is_job(&self, path: &str, password: &str, rid: &str) -> bool {
        *self.path == *path
            && *self.password == *password
            && (self.rid.is_empty() || rid.is_empty() || *self.rid == *rid)
    }

    /// Whether it is forgotten.
    pub(super) fn is_expired(&self, now: i64) -> bool {
        now.saturating_sub(self.seen_at) > i64::from(self.lifetime)
    }
}
