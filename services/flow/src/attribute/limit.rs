//! Limits, and the tokens that tasks take of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A number of tokens, some of which are held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Its name.
    pub name: Box<str>,
    /// How many tokens there are.
    pub max: u32,
    /// How many tokens each path holds. Paths, not ids: a token outlives the node that took it if
    /// that is replaced while its job runs.
    pub holders: BTreeMap<Box<str>, u32>,
}

impl Limit {
    /// A limit without holders.
    #[must_use]
    pub fn new(name: &str, max: u32) -> Self {
        Self {
            name: name.into(),
            max,
            holders: BTreeMap::new(),
        }
    }

    /// How many tokens are held.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.holders.values().copied().map(u64::from).sum()
    }

    /// Whether a path holds tokens, or can take `tokens`.
    #[must_use]
    pub fn admits(&self, path: &str, tokens: u32) -> bool {
        self.holders.contains_key(path) || self.used() + u64::from(tokens) <= u64::from(self.max)
    }
}

/// The tokens that each task of a node takes of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InLimit {
    /// The node that has the limit; `None`: the nearest one upwards.
    pub path: Option<Box<str>>,
    /// The name of the limit.
    pub name: Box<str>,
    /// How many tokens.
    pub tokens: u32,
    /// `-n`: the node takes the tokens once, and not each of its tasks.
    pub is_node_only: bool,
    /// `-s`: the tokens are given back when the job becomes active.
    pub is_submission_only: bool,
}

impl InLimit {
    /// Whether both name the same limit.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.path == other.path
    }
}
