//! The tree as an environment of expressions.

use crate::attribute::Late;
use crate::expression::{
    AttributeReference, Environment, Expression, FlagCondition, NodeCondition, PathIndex, Value,
};

use crate::state::{Flag, State};

use super::arena::{NodeId, Tree};

/// A node whose expression is evaluated, and the nodes that its paths name.
#[derive(Debug, Clone, Copy)]
pub struct NodeEnvironment<'a> {
    /// The tree.
    pub tree: &'a Tree,
    /// The node that has the expression.
    pub node: NodeId,
    /// The node of each path.
    pub targets: &'a [Option<NodeId>],
}

impl NodeEnvironment<'_> {
    fn target(&self, path: PathIndex) -> Option<NodeId> {
        self.targets.get(usize::from(path)).copied().flatten()
    }
}

impl Environment for NodeEnvironment<'_> {
    fn node_is(&self, path: PathIndex, condition: NodeCondition) -> bool {
        let node = self.target(path).map(|id| &self.tree[id]);
        let (state, is_suspended) = node.map_or((State::Unknown, false), |node| {
            (node.state, node.is_suspended)
        });
        match condition {
            NodeCondition::State(wanted) => state == wanted && !is_suspended,
            NodeCondition::Suspended => is_suspended,
        }
    }

    fn has_flag(&self, path: PathIndex, flag: FlagCondition) -> bool {
        let flag = match flag {
            FlagCondition::Late => Flag::Late,
            FlagCondition::Zombie => Flag::Zombie,
        };
        self.target(path)
            .is_some_and(|id| self.tree[id].flags.has(flag))
    }

    fn attribute(&self, reference: &AttributeReference) -> Value {
        let name = &reference.name;
        let value = match reference.path {
            Some(path) => self
                .target(path)
                .and_then(|id| self.tree.attribute_value(id, name)),
            None => {
                let own = self.tree.upwards(self.node);
                own.chain([NodeId::ROOT])
                    .find_map(|id| self.tree.variable_value(id, name))
            }
        };
        value.unwrap_or(Value::Integer(0))
    }
}

impl Tree {
    /// When a task counts as late: its own attribute, completed by those of its parents.
    #[must_use]
    pub fn late(&self, id: NodeId) -> Option<Late> {
        self.upwards(id)
            .filter_map(|id| self[id].attributes.policies()?.late)
            .reduce(Late::or)
    }

    /// Finds the nodes that the expressions of a node name.
    pub fn resolve(&mut self, id: NodeId) {
        let targets = |expression: &Option<Box<Expression>>| {
            let paths = expression.as_ref().map_or(&[][..], |all| all.paths());
            paths.iter().map(|path| self.find_from(id, path)).collect()
        };
        let attributes = &self[id].attributes;
        let (trigger, complete) = (targets(&attributes.trigger), targets(&attributes.complete));
        self[id].trigger_targets = trigger;
        self[id].complete_targets = complete;
    }
}
