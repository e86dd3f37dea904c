//! `force`: operators set states and events.

use crate::state::{Flag, State};
use crate::tree::{Kind, NodeId};

use super::command::ForceTarget;
use super::reply::{Code, Refusal};
use super::transition::{Result, Transition};

impl Transition<'_> {
    pub(super) fn force(
        &mut self,
        paths: &[Box<str>],
        target: ForceTarget,
        is_recursive: bool,
        is_full: bool,
    ) {
        for path in paths {
            let result = match target {
                ForceTarget::Event(value) => self.force_event(path, value),
                ForceTarget::State(state) => self
                    .find(path)
                    .and_then(|id| self.force_state(id, state, is_recursive, is_full)),
            };
            self.outcome(path, result.map(|()| None));
        }
    }

    fn force_event(&mut self, path: &str, value: bool) -> Result<()> {
        let (node, name) = path
            .rsplit_once(':')
            .ok_or_else(|| Refusal::new(Code::InvalidPath, "an event is given as PATH:NAME"))?;
        let id = self.find(node)?;
        self.set_event(id, name, value)?;
        self.set_flag(id, Flag::Message, true);
        Ok(())
    }

    /// A container has the state of its children: alone it can't be forced to another one.
    fn force_state(
        &mut self,
        id: NodeId,
        state: State,
        is_recursive: bool,
        is_full: bool,
    ) -> Result<()> {
        self.require_node(id)?;
        let nodes = if is_recursive {
            self.tree().subtree(id)
        } else {
            vec![id]
        };
        for node in nodes.iter().rev() {
            if is_full {
                self.finish_repeat(*node);
            }
            self.force_node(*node, state);
        }
        self.set_flag(id, Flag::Message, true);
        if is_recursive || self.tree()[id].kind() != Kind::Task {
            self.recompute(id);
        } else {
            self.propagate(id);
        }
        self.candidates.extend(nodes);
        Ok(())
    }

    fn force_node(&mut self, id: NodeId, state: State) {
        let node = &self.tree()[id];
        let computed = node.computed_state();
        if node.kind() == Kind::Task {
            if node.state.is_running() && !state.is_running() {
                self.disown_job(id);
            }
            self.set_flag(id, Flag::ForceAborted, state == State::Aborted);
        }
        let attributes = &mut self.machine.tree[id].attributes;
        if state == State::Queued && attributes.signals().is_some() {
            attributes.signals_mut().reset();
        }
        if state == State::Complete && attributes.schedule().is_some() {
            attributes.schedule_mut().use_slot();
        }
        if self.tree()[id].kind() == Kind::Task && state == State::Submitted {
            self.take_tokens(id);
        }
        self.set_state(id, computed.unwrap_or(state));
        self.touch(id);
    }

    fn finish_repeat(&mut self, id: NodeId) {
        if let Some(repeat) = &mut self.machine.tree[id].attributes.repeat {
            repeat.index = repeat.len() - 1;
        }
    }
}
