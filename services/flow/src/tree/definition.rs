//! Nodes as they are defined, apart from any tree: what texts are parsed to.

use crate::attribute::Attributes;

use super::arena::{Kind, Node, NodeId, Tree};

/// What a text defines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// Nodes, events or variables elsewhere that expressions may name.
    pub externs: Vec<Box<str>>,
    /// The suites.
    pub suites: Vec<NodeDefinition>,
}

/// A node and all below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDefinition {
    /// The name.
    pub name: Box<str>,
    /// What it is.
    pub kind: Kind,
    /// Its attributes, with their initial values.
    pub attributes: Attributes,
    /// The children in order; none for a task.
    pub children: Vec<NodeDefinition>,
}

impl NodeDefinition {
    /// How many nodes these are.
    #[must_use]
    pub fn len(&self) -> usize {
        1 + self.children.iter().map(Self::len).sum::<usize>()
    }

    /// Whether there are no nodes; never true.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How deep the nodes are nested, at least 1.
    #[must_use]
    pub fn depth(&self) -> usize {
        1 + self.children.iter().map(Self::depth).max().unwrap_or(0)
    }
}

impl Tree {
    /// Adds defined nodes behind the last child of a parent, where the name is not in use.
    pub fn attach(&mut self, parent: NodeId, definition: NodeDefinition) -> NodeId {
        self.reserve(definition.len());
        self.attach_below(parent, definition)
    }

    fn attach_below(&mut self, parent: NodeId, definition: NodeDefinition) -> NodeId {
        let mut attributes = definition.attributes;
        attributes.tidy();
        let node = Node::new(&definition.name, parent, definition.kind, attributes);
        let id = self.insert(node);
        for child in definition.children {
            self.attach_below(id, child);
        }
        id
    }

    /// How deep a node is in the tree: 1 for a suite.
    #[must_use]
    pub fn depth(&self, id: NodeId) -> usize {
        self.upwards(id).count()
    }
}
