//! The nodes that a caller asks for and may see.

use std::sync::Arc;

use crate::access::{Caller, Need};
use crate::tree::{NodeId, Tree};

use super::shared::Shared;

/// The nodes at and below a path, as far as a caller may see them.
pub(super) struct Scope {
    path: String,
    /// The caller, if it may not see all of them.
    limited: Option<(Caller, Arc<Shared>)>,
}

impl Scope {
    /// What a caller may see at and below a path, empty for the server itself.
    pub(super) fn new(path: &str, caller: Caller, shared: &Arc<Shared>) -> Self {
        let path = if path.is_empty() { "/" } else { path };
        let may_see_all = shared.access.check(&caller, Need::Read, &[path]).is_ok();
        Self {
            path: path.to_owned(),
            limited: (!may_see_all).then(|| (caller, Arc::clone(shared))),
        }
    }

    /// The node of the path.
    pub(super) fn top(&self, tree: &Tree) -> Option<NodeId> {
        tree.find(&self.path)
    }

    /// Whether a node is at or below the top, and the caller may see it.
    pub(super) fn holds(&self, tree: &Tree, top: Option<NodeId>, id: NodeId) -> bool {
        let is_below = match top {
            Some(NodeId::ROOT) => true,
            Some(top) => tree.upwards(id).any(|parent| parent == top),
            None => false,
        };
        is_below && self.shows(tree, id)
    }

    /// Whether the caller may see a node that is at or below the top.
    pub(super) fn shows(&self, tree: &Tree, id: NodeId) -> bool {
        self.limited.as_ref().is_none_or(|(caller, shared)| {
            let path = tree.path(id);
            shared.access.check(caller, Need::Read, &[&path]).is_ok()
        })
    }
}
