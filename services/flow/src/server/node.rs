//! Nodes by the paths that clients give.

use crate::idl::flow::Reply;
use crate::machine::Code;
use crate::tree::{NodeId, Tree};

use super::answer::refused;

/// The node of a path; an empty one is the server itself.
pub(super) fn find(tree: &Tree, path: &str) -> Result<NodeId, Reply> {
    if !path.is_empty() && !path.starts_with('/') {
        let text = "Paths must begin with a leading '/' character";
        return Err(refused(Code::InvalidPath, text));
    }
    let found = if path.is_empty() {
        Some(NodeId::ROOT)
    } else {
        tree.find(path)
    };
    found.ok_or_else(|| {
        let text = format!("Could not find node at path {path}");
        refused(Code::NodeNotFound, text)
    })
}
