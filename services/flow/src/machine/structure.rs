//! What changes the tree: load, replace, delete.

use crate::def::{Parsed, parse, render};
use crate::state::State;
use crate::tree::{Kind, MAX_DEPTH, MAX_NODES, NodeDefinition, NodeId};

use super::reply::{Code, Refusal};
use super::transition::{Result, Transition};

impl Transition<'_> {
    /// `load`.
    pub(super) fn load(&mut self, text: &str, force: bool) -> Result<()> {
        let parsed = parse_definition(text)?;
        let suites = parsed.definition.suites;
        let existing = |suite: &NodeDefinition| self.tree().find(&format!("/{}", suite.name));
        let replaced: Vec<_> = suites.iter().filter_map(existing).collect();
        if let (false, Some(first)) = (force, replaced.first()) {
            let name = &self.tree()[*first].name;
            let text = format!("Add Suite failed: A Suite of name '{name}' already exist");
            return Err(Refusal::new(Code::InvalidRequest, text));
        }
        self.require_capacity(suites.iter().map(NodeDefinition::len).sum())?;
        for suite in replaced {
            self.remove_nodes(suite);
        }
        for name in parsed.definition.externs {
            if !self.machine.tree.externs.contains(&name) {
                self.machine.tree.externs.push(name);
            }
        }
        for suite in suites {
            let id = self.machine.tree.attach(NodeId::ROOT, suite);
            self.enter(id);
        }
        self.recompute(NodeId::ROOT);
        self.text = render(&parsed.diagnostics, "definition", text);
        Ok(())
    }

    /// `replace`.
    pub(super) fn replace(
        &mut self,
        path: &str,
        text: &str,
        parents: bool,
        force: bool,
    ) -> Result<()> {
        let parsed = parse_definition(text)?;
        let mut definition = take(parsed.definition.suites, path).ok_or_else(|| {
            Refusal::new(
                Code::NodeNotFound,
                format!("the definition has no node {path}"),
            )
        })?;
        self.require_capacity(definition.len())?;
        let existing = self.tree().find(path);
        if let Some(id) = existing
            && !force
            && self.is_running(id)
        {
            return Err(Refusal::new(Code::FlowState, running(path)));
        }
        let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
        if names.len() - 1 + definition.depth() > MAX_DEPTH {
            return Err(Refusal::new(
                Code::InvalidRequest,
                "the nodes are nested too deeply",
            ));
        }
        let (parent, depth) = self.parent_of(path, &names[..names.len() - 1], parents)?;
        for (at, name) in names[depth..names.len() - 1].iter().enumerate().rev() {
            definition = NodeDefinition {
                name: (*name).into(),
                kind: if depth + at == 0 {
                    Kind::Suite
                } else {
                    Kind::Family
                },
                attributes: crate::attribute::Attributes::default(),
                children: vec![definition],
            };
        }
        self.substitute(existing, parent, definition);
        self.text = render(&parsed.diagnostics, "definition", text);
        Ok(())
    }

    /// Goes down to the parent of a path, or, if parents may be added, to the last one that is
    /// there; gives it, and how deep it is.
    fn parent_of(&self, path: &str, names: &[&str], may_add: bool) -> Result<(NodeId, usize)> {
        let mut parent = NodeId::ROOT;
        let mut depth = 0;
        for name in names {
            let children = self.tree()[parent].container();
            match children.and_then(|all| all.names.get(*name)) {
                Some(child) => parent = *child,
                None if may_add => break,
                None => {
                    let text = format!("the parent of {path} does not exist");
                    return Err(Refusal::new(Code::NodeNotFound, text));
                }
            }
            depth += 1;
        }
        if self.tree()[parent].kind() == Kind::Task {
            return Err(Refusal::new(Code::NodeType, "a task has no children"));
        }
        Ok((parent, depth))
    }

    /// Puts a definition in the place of a node, at the same position and as suspended as it was.
    fn substitute(&mut self, existing: Option<NodeId>, parent: NodeId, definition: NodeDefinition) {
        let mut position = None;
        let mut before = None;
        if let Some(id) = existing {
            position = self.tree()[parent]
                .children()
                .iter()
                .position(|child| *child == id);
            before = Some((self.tree()[id].is_suspended, self.tree()[id].run().copied()));
            self.remove_nodes(id);
        }
        let id = self.machine.tree.attach(parent, definition);
        let mut children = self.tree()[parent].children().to_vec();
        if let (Some(position), Some(last)) = (position, children.pop()) {
            children.insert(position.min(children.len()), last);
            self.machine.tree.reorder(parent, children);
        }
        self.enter(id);
        if let Some((is_suspended, run)) = before {
            self.machine.tree[id].is_suspended = is_suspended;
            if let (Some(run), Some(new)) = (run, self.machine.tree[id].run_mut()) {
                *new = run;
            }
        }
        self.queue_new(id);
        self.recompute(parent);
    }

    /// Resolves new nodes, and what has waited for their paths.
    fn enter(&mut self, id: NodeId) {
        for id in self.tree().subtree(id) {
            self.reindex(id);
        }
        for id in self.machine.index.unresolved() {
            self.reindex(id);
        }
    }

    /// `delete`; of the server itself: of all suites.
    pub(super) fn delete(&mut self, id: NodeId, force: bool) -> Result<Option<String>> {
        if !force && self.is_running(id) {
            return Err(Refusal::new(Code::FlowState, self.undeletable(id)));
        }
        if id == NodeId::ROOT {
            for suite in self.tree()[id].children().to_vec() {
                self.remove_nodes(suite);
            }
            return Ok(None);
        }
        let parent = self.tree()[id].parent;
        self.remove_nodes(id);
        self.recompute(parent);
        Ok(None)
    }

    /// Why a node can't be deleted, in ecFlow's words.
    fn undeletable(&self, id: NodeId) -> String {
        let mut text = match self.tree()[id].kind() {
            Kind::Server => "Cannot delete all nodes.".to_owned(),
            kind => {
                let kind = kind.word().to_uppercase();
                format!("Cannot delete node {kind}:{}", self.tree().path(id))
            }
        };
        let nodes = self.tree().subtree(id);
        for state in [State::Active, State::Submitted] {
            let is_meant = |id: &&NodeId| {
                let node = &self.tree()[**id];
                node.kind() == Kind::Task && node.state == state
            };
            let count = nodes.iter().filter(is_meant).count();
            if let Some(first) = nodes.iter().find(is_meant) {
                let (state, first) = (state.name(), self.tree().path(*first));
                text += &format!("\n There are {count} {state} tasks. First : {first}");
            }
        }
        text + "\nPlease use the 'force' option to bypass this check, at the expense of creating zombies\n"
    }

    fn require_capacity(&self, nodes: usize) -> Result<()> {
        if self.tree().len() + nodes > MAX_NODES {
            let text = format!("there would be more than {MAX_NODES} nodes");
            return Err(Refusal::new(Code::InvalidRequest, text));
        }
        Ok(())
    }
}

fn running(path: &str) -> String {
    format!("tasks are submitted or active at or below {path}; use force")
}

fn parse_definition(text: &str) -> Result<Parsed> {
    let parsed = parse(text);
    if parsed.has_errors() {
        let text = render(&parsed.diagnostics, "definition", text);
        return Err(Refusal::new(Code::InvalidRequest, text));
    }
    Ok(parsed)
}

/// The node of a path.
fn take(mut nodes: Vec<NodeDefinition>, path: &str) -> Option<NodeDefinition> {
    let mut names = path.strip_prefix('/')?.split('/').peekable();
    loop {
        let name = names.next()?;
        let at = nodes.iter().position(|node| &*node.name == name)?;
        let node = nodes.swap_remove(at);
        if names.peek().is_none() {
            return Some(node);
        }
        nodes = node.children;
    }
}
