//! What depends on what: computed from the tree, and kept beside it.

use std::collections::BTreeSet;

use crate::attribute::AutoCancel;
use crate::calendar::DAY_MINUTES;
use crate::expression::Expression;
use crate::state::State;
use crate::tree::{Kind, NodeId, Tree, is_clock_variable};

/// References of expressions and limits, and moments at which nodes may change by themselves.
#[derive(Debug, Default, Clone)]
pub(super) struct Index {
    /// Pairs of a node and one whose expressions or limits refer to it.
    watchers: BTreeSet<(NodeId, NodeId)>,
    /// The same pairs, turned around.
    watched: BTreeSet<(NodeId, NodeId)>,
    /// Nodes whose expressions name a node that is missing.
    unresolved: BTreeSet<NodeId>,
    /// Nodes whose expressions depend on the time of a suite.
    timed: BTreeSet<NodeId>,
    /// When to look at nodes, in Unix seconds. An entry may be out of date: looking at a node too
    /// often changes nothing.
    wakes: BTreeSet<(i64, NodeId)>,
    /// What local time was ahead of UTC when the moments were computed, in seconds.
    utc_offset: i32,
}

impl Index {
    /// The index of a tree whose expressions are resolved.
    pub(super) fn build(tree: &Tree) -> Self {
        let mut index = Self {
            utc_offset: tree.now.offset,
            ..Self::default()
        };
        for id in tree.subtree(NodeId::ROOT) {
            index.add(tree, id);
        }
        index
    }

    /// Enters a node whose expressions are resolved.
    pub(super) fn add(&mut self, tree: &Tree, id: NodeId) {
        let node = &tree[id];
        let targets = node.trigger_targets.iter().chain(&node.complete_targets);
        let mut watched = BTreeSet::new();
        let mut is_unresolved = false;
        for target in targets {
            match target {
                Some(target) => {
                    watched.insert(*target);
                }
                None => is_unresolved = true,
            }
        }
        for inlimit in node.attributes.inlimits() {
            match tree.find_limit(id, inlimit) {
                Some((target, _)) => {
                    watched.insert(target);
                }
                None => is_unresolved = true,
            }
        }
        for target in watched {
            self.watchers.insert((target, id));
            self.watched.insert((id, target));
        }
        if is_unresolved {
            self.unresolved.insert(id);
        }
        let expressions = [&node.attributes.trigger, &node.attributes.complete];
        if expressions
            .into_iter()
            .flatten()
            .any(|expression| is_timed(expression))
        {
            self.timed.insert(id);
        }
        self.schedule(tree, id);
    }

    /// Forgets what a node refers to, and what refers to it if it is removed.
    pub(super) fn remove(&mut self, id: NodeId) {
        for target in pairs_of(&self.watched, id).collect::<Vec<_>>() {
            self.watched.remove(&(id, target));
            self.watchers.remove(&(target, id));
        }
        self.unresolved.remove(&id);
        self.timed.remove(&id);
    }

    /// The nodes that refer to a node.
    pub(super) fn watchers(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        pairs_of(&self.watchers, id)
    }

    /// The nodes that refer to missing ones.
    pub(super) fn unresolved(&self) -> Vec<NodeId> {
        self.unresolved.iter().copied().collect()
    }

    /// The nodes whose expressions depend on the time.
    pub(super) fn timed(&self) -> Vec<NodeId> {
        self.timed.iter().copied().collect()
    }

    pub(super) fn next_wake(&self) -> Option<i64> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// The nodes to look at up to a moment, each once.
    pub(super) fn take_wakes(&mut self, now: i64) -> BTreeSet<NodeId> {
        let mut due = BTreeSet::new();
        while let Some((at, id)) = self.wakes.first().copied() {
            if at > now {
                break;
            }
            self.wakes.pop_first();
            due.insert(id);
        }
        due
    }

    /// Enters when to look at a node next, later than now.
    pub(super) fn schedule(&mut self, tree: &Tree, id: NodeId) {
        let now = tree.now.unix;
        let due = [
            schedule_due(tree, id),
            late_due(tree, id),
            auto_cancel_due(tree, id),
        ];
        if let Some(at) = due.into_iter().flatten().min() {
            self.wakes.insert((at.max(now.saturating_add(1)), id));
        }
    }

    /// Computes all moments anew if local time has changed against UTC.
    pub(super) fn reschedule_if_moved(&mut self, tree: &Tree) {
        let offset = std::mem::replace(&mut self.utc_offset, tree.now.offset);
        if offset == tree.now.offset {
            return;
        }
        self.wakes.clear();
        for id in tree.subtree(NodeId::ROOT) {
            self.schedule(tree, id);
        }
    }
}

/// The second nodes of the pairs whose first one is `id`.
fn pairs_of(
    pairs: &BTreeSet<(NodeId, NodeId)>,
    id: NodeId,
) -> impl Iterator<Item = NodeId> + use<'_> {
    let from = pairs.range((id, NodeId::ROOT)..);
    from.take_while(move |(first, _)| *first == id)
        .map(|(_, second)| *second)
}

fn is_timed(expression: &Expression) -> bool {
    let mut attributes = expression.attributes().into_iter();
    attributes.any(|reference| is_clock_variable(&reference.name))
}

/// The Unix second at which a minute of a suite's clock begins.
fn unix_second(tree: &Tree, id: NodeId, suite_minute: i64) -> i64 {
    let run = tree.suite(id).and_then(|suite| tree[suite].run());
    let ahead = run.map_or(0, |run| run.offset) + i64::from(tree.now.offset);
    suite_minute.saturating_mul(60).saturating_sub(ahead)
}

fn schedule_due(tree: &Tree, id: NodeId) -> Option<i64> {
    let minute = tree[id].attributes.schedule()?.next_minute()?;
    Some(unix_second(tree, id, minute))
}

/// The moment at which a suite's clock shows a minute of the day, today.
fn time_of_day(tree: &Tree, id: NodeId, minute: u32) -> i64 {
    let now = tree.suite_time(id);
    unix_second(
        tree,
        id,
        now.minute - now.minute_of_day() + i64::from(minute),
    )
}

/// The same, tomorrow if it has passed today before the node changed its state.
fn next_time_of_day(tree: &Tree, id: NodeId, minute: u32) -> i64 {
    let today = time_of_day(tree, id, minute);
    if today < tree[id].changed_at {
        today + DAY_MINUTES * 60
    } else {
        today
    }
}

/// Whether a task is late now.
pub(super) fn is_late(tree: &Tree, id: NodeId) -> bool {
    late_due(tree, id).is_some_and(|due| due <= tree.now.unix)
}

/// Whether a complete node has stayed so for as long as its `autocancel` says.
pub(super) fn is_cancelled(tree: &Tree, id: NodeId) -> bool {
    auto_cancel_due(tree, id).is_some_and(|due| due <= tree.now.unix)
}

fn late_due(tree: &Tree, id: NodeId) -> Option<i64> {
    let node = &tree[id];
    if node.kind() != Kind::Task || node.flags.has(crate::state::Flag::Late) {
        return None;
    }
    let late = tree.late(id)?;
    let is_waiting = matches!(node.state, State::Queued | State::Submitted);
    let submitted = late.submitted.filter(|_| node.state == State::Submitted);
    let submitted = submitted.map(|minutes| node.changed_at + i64::from(minutes) * 60);
    let active = late.active.filter(|_| is_waiting);
    let active = active.map(|minute| time_of_day(tree, id, minute));
    let complete = match late.complete {
        Some((true, minutes)) if node.state == State::Active => {
            Some(node.changed_at + i64::from(minutes) * 60)
        }
        Some((false, minute)) if is_waiting || node.state == State::Active => {
            Some(time_of_day(tree, id, minute))
        }
        _ => None,
    };
    [submitted, active, complete].into_iter().flatten().min()
}

fn auto_cancel_due(tree: &Tree, id: NodeId) -> Option<i64> {
    let node = &tree[id];
    if node.state != State::Complete {
        return None;
    }
    Some(match node.attributes.policies()?.auto_cancel? {
        AutoCancel::After(minutes) => node.changed_at + i64::from(minutes) * 60,
        AutoCancel::At(minute) => next_time_of_day(tree, id, minute),
        AutoCancel::Days(days) => node.changed_at + i64::from(days) * 86_400,
    })
}
