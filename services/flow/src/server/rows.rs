//! Nodes as rows.

use crate::def::print_attributes;
use crate::idl::flow;
use crate::machine::Machine;
use crate::tree::{Kind, NodeId, Tree};

use super::scope::Scope;

/// The most rows that one answer holds.
pub(super) const MAX_ROWS: usize = 1000;
/// The most bytes of texts in one answer: clients take messages of up to 1 MiB.
const MAX_BYTES: usize = 768 * 1024;

/// A number of the machine on the wire, which has no unsigned ones.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A node as a row.
pub(super) fn row(machine: &Machine, id: NodeId) -> flow::Row {
    let tree = machine.tree();
    let node = &tree[id];
    flow::Row {
        id: signed(id.number()),
        parent: signed(node.parent.number()),
        kind: match node.kind() {
            Kind::Server => 0,
            Kind::Suite => 1,
            Kind::Family => 2,
            Kind::Task => 3,
        },
        name: node.name.to_string(),
        state: node.state as u8,
        suspended: node.is_suspended,
        gone: false,
        version: signed(node.version),
        flags: node.flags.names(),
        attributes: print_attributes(tree, id),
    }
}

/// A node that was removed.
pub(super) fn gone(id: NodeId, version: u64) -> flow::Row {
    flow::Row {
        id: signed(id.number()),
        gone: true,
        version: signed(version),
        ..flow::Row::default()
    }
}

/// The bytes of a row, about.
fn size(row: &flow::Row) -> usize {
    let attributes = row.attributes.iter();
    let texts: usize = attributes.map(|text| text.len() + 4).sum();
    // The other fields, and the lengths of the texts.
    64 + row.name.len() + row.flags.len() + texts
}

/// Rows of an answer, until it is full.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) rows: Vec<flow::Row>,
    bytes: usize,
}

impl Page {
    /// Adds a row, unless the page is full. The first row always fits.
    pub(super) fn add(&mut self, row: flow::Row) -> bool {
        let bytes = self.bytes + size(&row);
        if self.rows.len() >= MAX_ROWS || (bytes > MAX_BYTES && !self.rows.is_empty()) {
            return false;
        }
        self.bytes = bytes;
        self.rows.push(row);
        true
    }
}

/// Nodes in tree order: a parent before its children.
pub(super) struct TreeOrder<'a> {
    tree: &'a Tree,
    first: Option<NodeId>,
    /// Siblings that are still to come, the deepest last.
    open: Vec<&'a [NodeId]>,
}

impl<'a> TreeOrder<'a> {
    /// A node and all below.
    pub(super) fn from_top(tree: &'a Tree, top: NodeId) -> Self {
        Self {
            tree,
            first: Some(top),
            open: Vec::new(),
        }
    }

    /// The nodes below `top` that come behind another one; `None` if that is not at or below it.
    pub(super) fn behind(tree: &'a Tree, top: NodeId, after: NodeId) -> Option<Self> {
        tree.get(after)?;
        let mut open = vec![tree[after].children()];
        let mut child = after;
        while child != top {
            if child == NodeId::ROOT {
                return None;
            }
            let parent = tree[child].parent;
            let siblings = tree[parent].children();
            let at = siblings.iter().position(|sibling| *sibling == child)?;
            open.push(&siblings[at + 1..]);
            child = parent;
        }
        open.reverse();
        Some(Self {
            tree,
            first: None,
            open,
        })
    }
}

impl Iterator for TreeOrder<'_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        let id = match self.first.take() {
            Some(first) => first,
            None => loop {
                let siblings = self.open.last_mut()?;
                match siblings.split_first() {
                    Some((id, rest)) => {
                        *siblings = rest;
                        break *id;
                    }
                    None => drop(self.open.pop()),
                }
            },
        };
        self.open.push(self.tree[id].children());
        Some(id)
    }
}

/// The rows of `tree`: those at and below `top` behind the row `after`, or from the first one on
/// if that is negative, that have changed since a version. `None` if `after` is not there.
pub(super) fn page(
    machine: &Machine,
    top: NodeId,
    scope: &Scope,
    since: i64,
    after: i64,
) -> Option<Vec<flow::Row>> {
    let tree = machine.tree();
    let nodes = match u64::try_from(after) {
        Ok(after) => TreeOrder::behind(tree, top, NodeId::from_number(after))?,
        Err(_) => TreeOrder::from_top(tree, top),
    };
    let mut page = Page::default();
    let changed = nodes.filter(|id| signed(tree[*id].version) > since || since < 0);
    for id in changed.filter(|id| scope.shows(tree, *id)) {
        if !page.add(row(machine, id)) {
            break;
        }
    }
    Some(page.rows)
}
