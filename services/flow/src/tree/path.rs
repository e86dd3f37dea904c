//! Nodes by path.

use crate::attribute::InLimit;

use super::arena::{NodeId, Tree};

/// Whether a text may be the name of a node or attribute: letters, digits, `_` and, not first,
/// `.`, up to 255 bytes, as the names of job files.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_character = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    !text.is_empty()
        && text.len() <= 255
        && !text.starts_with('.')
        && text.bytes().all(is_character)
}

impl Tree {
    /// The path of a node; `/` for the server.
    #[must_use]
    pub fn path(&self, id: NodeId) -> String {
        let names: Vec<_> = self.upwards(id).map(|id| &*self[id].name).collect();
        if names.is_empty() {
            return "/".to_owned();
        }
        names.iter().rev().flat_map(|name| ["/", name]).collect()
    }

    /// The node of an absolute path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<NodeId> {
        let names = path.strip_prefix('/')?;
        if names.is_empty() {
            return Some(NodeId::ROOT);
        }
        self.descend(NodeId::ROOT, names)
    }

    /// The node of a path in an expression of a node: a bare name is a sibling.
    #[must_use]
    pub fn find_from(&self, id: NodeId, path: &str) -> Option<NodeId> {
        if path.starts_with('/') {
            return self.find(path);
        }
        let mut names = path.strip_prefix("./").unwrap_or(path);
        let mut container = self[id].parent;
        while let Some(rest) = names.strip_prefix("../") {
            if container == NodeId::ROOT {
                return None;
            }
            container = self[container].parent;
            names = rest;
        }
        self.descend(container, names)
    }

    fn descend(&self, from: NodeId, names: &str) -> Option<NodeId> {
        names.split('/').try_fold(from, |id, name| {
            self[id].container()?.names.get(name).copied()
        })
    }
}

impl Tree {
    /// The node that has the limit of an inlimit, and the limit's position there.
    #[must_use]
    pub fn find_limit(&self, id: NodeId, inlimit: &InLimit) -> Option<(NodeId, usize)> {
        let position = |node: NodeId| {
            let mut limits = self[node].attributes.limits().iter();
            let at = limits.position(|limit| limit.name == inlimit.name);
            at.map(|at| (node, at))
        };
        match &inlimit.path {
            Some(path) => position(self.find_from(id, path)?),
            None => self.upwards(id).find_map(position),
        }
    }
}
