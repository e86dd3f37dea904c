//! Tokens of limits: taken when a task is submitted, given back when it no longer runs.

use crate::attribute::Limit;
use crate::state::State;
use crate::tree::{Kind, NodeId};

use super::transition::Transition;

/// Tokens of one limit that a task needs.
struct Claim {
    /// The node that has the limit.
    node: NodeId,
    /// The limit's position there.
    limit: usize,
    /// Who holds the tokens: the task, or for `-n` the node with the inlimit.
    holder: NodeId,
    tokens: u32,
    is_submission_only: bool,
}

impl Transition<'_> {
    /// What a task needs of the limits of itself and its parents.
    fn claims(&self, task: NodeId) -> Vec<Claim> {
        let tree = self.tree();
        let mut claims = Vec::new();
        for id in tree.upwards(task) {
            for inlimit in tree[id].attributes.inlimits() {
                if let Some((node, limit)) = tree.find_limit(id, inlimit) {
                    claims.push(Claim {
                        node,
                        limit,
                        holder: if inlimit.is_node_only { id } else { task },
                        tokens: inlimit.tokens,
                        is_submission_only: inlimit.is_submission_only,
                    });
                }
            }
        }
        claims
    }

    fn limit(&mut self, claim: &Claim) -> Option<&mut Limit> {
        let limits = self.machine.tree[claim.node].attributes.limits_mut();
        limits.limits.get_mut(claim.limit)
    }

    /// Whether all limits have the tokens that a task needs.
    pub(super) fn has_tokens(&self, task: NodeId) -> bool {
        self.claims(task).iter().all(|claim| {
            let limits = self.tree()[claim.node].attributes.limits();
            let path = self.tree().path(claim.holder);
            limits
                .get(claim.limit)
                .is_none_or(|limit| limit.admits(&path, claim.tokens))
        })
    }

    /// Takes the tokens that a task needs, even if there are not enough: an operator may order so.
    pub(super) fn take_tokens(&mut self, task: NodeId) {
        for claim in self.claims(task) {
            let path = self.tree().path(claim.holder);
            if let Some(limit) = self.limit(&claim) {
                limit.holders.entry(path.into()).or_insert(claim.tokens);
                self.touch(claim.node);
            }
        }
    }

    /// Gives back the tokens of a task; those for the submission alone, if it is active now.
    pub(super) fn release_tokens(&mut self, task: NodeId, is_active: bool) {
        for claim in self.claims(task) {
            if claim.holder == task && (claim.is_submission_only || !is_active) {
                self.release(&claim);
            }
        }
    }

    /// Gives back the tokens that parents of a node hold for their tasks, of which none runs.
    pub(super) fn release_node_tokens(&mut self, id: NodeId) {
        for claim in self.claims(id) {
            let is_task = self.tree()[claim.holder].kind() == Kind::Task;
            if !is_task && !self.is_running(claim.holder) {
                self.release(&claim);
            }
        }
    }

    fn release(&mut self, claim: &Claim) {
        let path = self.tree().path(claim.holder);
        let is_released = self
            .limit(claim)
            .is_some_and(|limit| limit.holders.remove(&*path).is_some());
        if is_released {
            self.touch(claim.node);
        }
    }

    /// Whether a task runs at or below a node. An aborted container may hide some.
    pub(super) fn is_running(&self, id: NodeId) -> bool {
        let node = &self.tree()[id];
        match node.container() {
            None => node.state.is_running(),
            Some(_) if !node.state.is_running() && node.state != State::Aborted => false,
            Some(container) => container
                .children
                .iter()
                .any(|child| self.is_running(*child)),
        }
    }
}
