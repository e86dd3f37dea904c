//! What may have come free: complete expressions, triggers, times, tries and limits.

use crate::attribute::Schedule;
use crate::expression::Expression;
use crate::state::{Flag, State};
use crate::tree::{Kind, NodeEnvironment, NodeId};

use super::ServerState;
use super::reply::Effect;
use super::transition::Transition;

/// How often a task is tried where ECF_TRIES is missing or malformed.
const DEFAULT_TRIES: u32 = 2;

impl Transition<'_> {
    /// Checks what may have come free, and what that frees in turn, in the order of the ids.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(task) = self.idle.pop_first() {
                if self.tree().get(task).is_some() {
                    self.release_node_tokens(task);
                }
            }
            if self.machine.server != ServerState::Running {
                // All nodes are checked when the server runs again.
                self.candidates.clear();
            }
            let Some(id) = self.candidates.pop_first() else {
                return;
            };
            if self.tree().get(id).is_none() {
                continue;
            }
            let mut parents: Vec<_> = self.tree().upwards(id).skip(1).collect();
            parents.reverse();
            if parents.into_iter().all(|parent| self.is_open(parent)) {
                self.check(id);
            }
        }
    }

    /// Checks a node whose parents are open, and all below.
    fn check(&mut self, id: NodeId) {
        if id != NodeId::ROOT && !self.is_open(id) {
            return;
        }
        if self.tree()[id].kind() == Kind::Task {
            if self.has_tokens(id) {
                self.submit(id);
            }
            return;
        }
        for at in 0..self.tree()[id].children().len() {
            // The state of the container may have changed by one of its children.
            if let Some(child) = self.tree()[id].children().get(at).copied() {
                self.check(child);
            }
        }
    }

    /// Whether a node lets itself and those below run. A complete expression that has come true
    /// takes effect here.
    fn is_open(&mut self, id: NodeId) -> bool {
        let node = &self.tree()[id];
        let is_waiting = match node.kind() {
            Kind::Task => node.state == State::Queued || self.may_retry(id),
            Kind::Suite if !node.run().is_some_and(|run| run.is_begun) => false,
            _ => node.state != State::Complete,
        };
        if node.is_suspended || !is_waiting {
            return false;
        }
        let attributes = &node.attributes;
        if !attributes.schedule().is_none_or(Schedule::is_free) {
            return false;
        }
        if self.is_true(id, attributes.complete.as_deref(), &node.complete_targets) == Some(true) {
            self.complete_below(id);
            self.propagate(id);
            return false;
        }
        let node = &self.tree()[id];
        let trigger = node.attributes.trigger.as_deref();
        node.is_trigger_free || self.is_true(id, trigger, &node.trigger_targets) != Some(false)
    }

    /// The value of an expression of a node, if it has one.
    fn is_true(
        &self,
        node: NodeId,
        expression: Option<&Expression>,
        targets: &[Option<NodeId>],
    ) -> Option<bool> {
        let environment = NodeEnvironment {
            tree: self.tree(),
            node,
            targets,
        };
        // A division by zero is false.
        expression.map(|expression| expression.evaluate(&environment).unwrap_or(false))
    }

    /// Whether an aborted task is to be tried again.
    fn may_retry(&self, id: NodeId) -> bool {
        let node = &self.tree()[id];
        let holds = [
            Flag::Killed,
            Flag::ForceAborted,
            Flag::NoScript,
            Flag::EditFailed,
            Flag::JobCommandFailed,
        ];
        if node.state != State::Aborted || holds.into_iter().any(|flag| node.flags.has(flag)) {
            return false;
        }
        let tries = self.tree().lookup(id, "ECF_TRIES");
        let tries = tries.and_then(|tries| tries.trim().parse().ok());
        node.try_no() < tries.unwrap_or(DEFAULT_TRIES)
    }

    /// Submits a task, whether it is free or not.
    pub(super) fn submit(&mut self, id: NodeId) {
        if self.tree().lookup(id, "ECF_DUMMY_TASK").is_some() {
            self.set_state(id, State::Complete);
            self.propagate(id);
            return;
        }
        let password = self.password();
        let node = &mut self.machine.tree[id];
        let flags = [
            Flag::Killed,
            Flag::TaskAborted,
            Flag::ForceAborted,
            Flag::NoScript,
        ];
        for flag in flags
            .into_iter()
            .chain([Flag::EditFailed, Flag::JobCommandFailed])
        {
            node.flags.set(flag, false);
        }
        if node.attributes.signals().is_some() {
            for label in &mut node.attributes.signals_mut().labels {
                label.value = None;
            }
        }
        let Some(job) = node.job_mut() else {
            return;
        };
        job.try_no = job.try_no.saturating_add(1);
        job.password.clone_from(&password);
        job.rid = "".into();
        job.reason = None;
        job.pid = 0;
        job.is_ended = false;
        let try_no = job.try_no;
        self.take_tokens(id);
        self.set_state(id, State::Submitted);
        self.touch(id);
        let path = self.tree().path(id);
        self.effects.push(Effect::Submit {
            node: id,
            path,
            try_no,
            password,
        });
        self.propagate(id);
    }
}
