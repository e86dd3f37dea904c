//! What operators order: suspend, resume, run, free, kill, status, order.

use crate::state::{Flag, State};
use crate::tree::{Kind, NodeId};

use super::ServerState;
use super::command::{FreeKind, Order};
use super::reply::{Code, Effect, Refusal};
use super::transition::{Result, Transition};

impl Transition<'_> {
    /// `suspend` and `resume`.
    pub(super) fn suspend(&mut self, id: NodeId, value: bool) -> Result<Option<String>> {
        self.require_node(id)?;
        if self.tree()[id].is_suspended == value {
            let state = if value { "suspended" } else { "not suspended" };
            return Ok(Some(format!("the node is {state} already")));
        }
        self.machine.tree[id].is_suspended = value;
        self.touch(id);
        self.candidates.insert(id);
        Ok(None)
    }

    /// `run`: submits the tasks at and below a node, whatever they wait for.
    pub(super) fn run_tasks(&mut self, id: NodeId, force: bool) -> Result<Option<String>> {
        let suite = self.require_node(id)?;
        if self.machine.server != ServerState::Running {
            let text = format!("server is {}", self.machine.server.name());
            return Err(Refusal::new(Code::Halted, text));
        }
        if !self.tree()[suite].run().is_some_and(|run| run.is_begun) {
            return Err(Refusal::new(Code::FlowState, "the suite has not begun"));
        }
        if !force && self.is_running(id) {
            return Ok(Some("tasks are submitted or active".to_owned()));
        }
        let tasks = self.tasks(id);
        for task in tasks {
            self.disown_job(task);
            let attributes = &mut self.machine.tree[task].attributes;
            if attributes.schedule().is_some() {
                attributes.schedule_mut().use_slot();
            }
            self.submit(task);
        }
        Ok(None)
    }

    fn tasks(&self, id: NodeId) -> Vec<NodeId> {
        let mut nodes = self.tree().subtree(id);
        nodes.retain(|id| self.tree()[*id].kind() == Kind::Task);
        nodes
    }

    /// `free-dep`.
    pub(super) fn free(&mut self, id: NodeId, kind: FreeKind) -> Result<Option<String>> {
        self.require_node(id)?;
        let node = &mut self.machine.tree[id];
        if matches!(kind, FreeKind::Trigger | FreeKind::All) {
            node.is_trigger_free = true;
        }
        let times = matches!(kind, FreeKind::Time | FreeKind::All);
        let dates = matches!(kind, FreeKind::Date | FreeKind::All);
        if node.attributes.schedule().is_some() {
            node.attributes.schedule_mut().set_free(times, dates);
        }
        self.touch(id);
        self.candidates.insert(id);
        Ok(None)
    }

    /// `kill`.
    pub(super) fn kill(&mut self, id: NodeId) -> Result<Option<String>> {
        let jobs = self.jobs(id, true)?;
        for (task, path, rid) in jobs {
            self.set_flag(task, Flag::Killed, true);
            let job = self.tree()[task].job();
            let password = job.map(|job| job.password.clone()).unwrap_or_default();
            self.effects.push(Effect::Kill {
                path,
                password,
                rid,
            });
        }
        Ok(None)
    }

    /// `status`.
    pub(super) fn status(&mut self, id: NodeId) -> Result<Option<String>> {
        let jobs = self.jobs(id, false)?.into_iter();
        let effects = jobs.map(|(_, path, rid)| Effect::Status { path, rid });
        self.effects.extend(effects);
        Ok(None)
    }

    /// The jobs at and below a node; those that are only submitted if `submitted`.
    fn jobs(&self, id: NodeId, submitted: bool) -> Result<Vec<(NodeId, String, Box<str>)>> {
        self.require_node(id)?;
        let tasks = self.tasks(id).into_iter();
        let jobs = tasks.filter_map(|task| {
            let node = &self.tree()[task];
            let rid = node.job().map(|job| job.rid.clone()).unwrap_or_default();
            let is_known = node.state.is_running() && !rid.is_empty();
            let is_meant = is_known || (submitted && node.state == State::Submitted);
            is_meant.then(|| (task, self.tree().path(task), rid))
        });
        let jobs: Vec<_> = jobs.collect();
        if jobs.is_empty() {
            let text = format!("no job runs at or below {}", self.tree().path(id));
            return Err(Refusal::new(Code::FlowState, text));
        }
        Ok(jobs)
    }

    /// `order`.
    pub(super) fn order(&mut self, path: &str, order: Order) -> Result<()> {
        let id = self.find(path)?;
        self.require_node(id)?;
        let parent = self.tree()[id].parent;
        let mut siblings = self.tree()[parent].children().to_vec();
        let Some(at) = siblings.iter().position(|sibling| *sibling == id) else {
            return Ok(());
        };
        match order {
            Order::Top => siblings[..=at].rotate_right(1),
            Order::Bottom => siblings[at..].rotate_left(1),
            Order::Up => siblings.swap(at, at.saturating_sub(1)),
            Order::Down => {
                let last = siblings.len() - 1;
                siblings.swap(at, (at + 1).min(last));
            }
            Order::Alphabetical | Order::Backwards => {
                siblings.sort_by(|a, b| self.tree()[*a].name.cmp(&self.tree()[*b].name));
                if order == Order::Backwards {
                    siblings.reverse();
                }
            }
        }
        self.machine.tree.reorder(parent, siblings);
        self.touch(parent);
        Ok(())
    }

    /// Refuses the server itself; gives the suite of any other node.
    pub(super) fn require_node(&self, id: NodeId) -> Result<NodeId> {
        self.tree().suite(id).ok_or_else(|| {
            Refusal::new(Code::NodeType, "this is not possible for the server itself")
        })
    }
}
