//! Jobs that wait for an expression. One is asked again only when something that its expression
//! names has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::expression::Expression;
use crate::machine::{Change, ChildCall, JobIdentity};
use crate::tree::{NodeId, Tree, is_clock_variable};

use super::owner::CommandResult;

/// How long a job waits for an answer; then it asks again.
const WAIT_TIME: Duration = Duration::from_secs(25);
/// Jobs that wait at once; further ones are told at once to ask again.
const MAX_WAITS: usize = 100_000;

/// A job that waits.
pub(super) struct Wait {
    pub(super) job: JobIdentity,
    pub(super) expression: Box<str>,
    pub(super) reply: oneshot::Sender<CommandResult>,
    pub(super) deadline: Instant,
}

impl Wait {
    pub(super) fn new(
        job: JobIdentity,
        expression: Box<str>,
        reply: oneshot::Sender<CommandResult>,
    ) -> Self {
        Self {
            job,
            expression,
            reply,
            deadline: Instant::now() + WAIT_TIME,
        }
    }

    pub(super) fn call(&self) -> ChildCall {
        ChildCall::Wait(self.expression.clone())
    }
}

/// What a change of can make an expression true.
#[derive(Debug, Default)]
struct Dependencies {
    nodes: BTreeSet<NodeId>,
    /// It names what does not exist yet.
    is_unresolved: bool,
    /// It names the time.
    is_timed: bool,
}

/// All jobs that wait.
#[derive(Default)]
pub(super) struct Waits {
    waits: BTreeMap<u64, (Wait, Dependencies)>,
    by_node: BTreeSet<(NodeId, u64)>,
    by_deadline: BTreeSet<(Instant, u64)>,
    unresolved: BTreeSet<u64>,
    timed: BTreeSet<u64>,
    next: u64,
}

impl Waits {
    /// Lets a job wait. Gives it back if too many do.
    pub(super) fn add(&mut self, wait: Wait, tree: &Tree) -> Result<(), Wait> {
        if self.waits.len() >= MAX_WAITS {
            return Err(wait);
        }
        let id = self.next;
        self.next += 1;
        let dependencies = dependencies(&wait, tree);
        let nodes = dependencies.nodes.iter();
        self.by_node.extend(nodes.map(|node| (*node, id)));
        if dependencies.is_unresolved {
            self.unresolved.insert(id);
        }
        if dependencies.is_timed {
            self.timed.insert(id);
        }
        self.by_deadline.insert((wait.deadline, id));
        self.waits.insert(id, (wait, dependencies));
        Ok(())
    }

    /// Takes those that a change of these nodes concerns.
    pub(super) fn take_affected(&mut self, changes: &[Change]) -> Vec<Wait> {
        if changes.is_empty() || self.waits.is_empty() {
            return Vec::new();
        }
        let mut ids = self.unresolved.clone();
        for change in changes {
            let range = (change.node, 0)..=(change.node, u64::MAX);
            ids.extend(self.by_node.range(range).map(|(_, id)| *id));
        }
        self.take(ids)
    }

    /// Takes those that the time concerns.
    pub(super) fn take_timed(&mut self) -> Vec<Wait> {
        let ids = self.timed.clone();
        self.take(ids)
    }

    /// Takes those that have waited long enough, and those whose callers have gone.
    pub(super) fn take_expired(&mut self, now: Instant) -> Vec<Wait> {
        let expired = self.by_deadline.range(..=(now, u64::MAX));
        let ids = expired.map(|(_, id)| *id).collect();
        self.take(ids)
    }

    pub(super) fn has_timed(&self) -> bool {
        !self.timed.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    fn take(&mut self, ids: BTreeSet<u64>) -> Vec<Wait> {
        let mut taken = Vec::new();
        for id in ids {
            let Some((wait, dependencies)) = self.waits.remove(&id) else {
                continue;
            };
            for node in dependencies.nodes {
                self.by_node.remove(&(node, id));
            }
            self.by_deadline.remove(&(wait.deadline, id));
            self.unresolved.remove(&id);
            self.timed.remove(&id);
            if !wait.reply.is_closed() {
                taken.push(wait);
            }
        }
        taken
    }
}

fn dependencies(wait: &Wait, tree: &Tree) -> Dependencies {
    let mut found = Dependencies::default();
    let task = tree.find(&wait.job.path);
    let Some(task) = task.filter(|id| *id != NodeId::ROOT) else {
        found.is_unresolved = true;
        return found;
    };
    // The task itself: its job may be another one by then.
    found.nodes.insert(task);
    let Ok(expression) = Expression::parse(&wait.expression) else {
        return found;
    };
    for path in expression.paths() {
        match tree.find_from(task, path) {
            Some(node) => drop(found.nodes.insert(node)),
            None => found.is_unresolved = true,
        }
    }
    for reference in expression.attributes() {
        found.is_timed |= is_clock_variable(&reference.name);
        if reference.path.is_none() {
            found.nodes.extend(tree.upwards(task));
            found.nodes.insert(NodeId::ROOT);
        }
    }
    found
}
