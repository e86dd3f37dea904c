//! One step of the machine: what it has changed, and what may have come free by that.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::attribute::{ZombieAction, ZombieType};
use crate::state::{Flag, State};
use crate::tree::{Content, Kind, NodeId, Tree};

use super::Machine;
use super::command::{Command, Record};
use super::reply::{Applied, Change, Code, Effect, Outcome, Refusal};
use super::zombie::{MAX_ZOMBIES, Zombie};

pub(super) type Result<T> = std::result::Result<T, Refusal>;

/// A step under way. Commands check what they are given before they change anything.
pub(super) struct Transition<'a> {
    pub(super) machine: &'a mut Machine,
    record: &'a Record,
    /// How many passwords were derived.
    passwords: u32,
    /// Nodes that may have come free.
    pub(super) candidates: BTreeSet<NodeId>,
    /// Nodes whose repeat has stepped: it does so once in a step, so that a step ends.
    pub(super) stepped: BTreeSet<NodeId>,
    /// Tasks that no longer run, perhaps the last ones of a node that holds tokens for its tasks.
    pub(super) idle: BTreeSet<NodeId>,
    changed: BTreeSet<NodeId>,
    gone: Vec<NodeId>,
    states: Vec<(NodeId, State)>,
    pub(super) effects: Vec<Effect>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) code: Code,
    pub(super) text: String,
    /// Whether something other than a node has changed.
    pub(super) is_changed: bool,
}

impl<'a> Transition<'a> {
    pub(super) fn new(machine: &'a mut Machine, record: &'a Record) -> Self {
        Self {
            machine,
            record,
            passwords: 0,
            candidates: BTreeSet::new(),
            stepped: BTreeSet::new(),
            idle: BTreeSet::new(),
            changed: BTreeSet::new(),
            gone: Vec::new(),
            states: Vec::new(),
            effects: Vec::new(),
            outcomes: Vec::new(),
            code: Code::Success,
            text: String::new(),
            is_changed: false,
        }
    }

    pub(super) fn run(&mut self, command: &Command) -> Result<()> {
        let before = self.tree().now;
        self.machine.tree.now = self.record.moment;
        let result = self.dispatch(command);
        match result {
            Ok(()) => {
                self.settle();
                Ok(())
            }
            Err(refusal) => {
                self.machine.tree.now = before;
                Err(refusal)
            }
        }
    }

    fn dispatch(&mut self, command: &Command) -> Result<()> {
        match command {
            Command::Tick => self.tick(),
            Command::Child(job, call) => return self.child(job, call),
            Command::Runner(event) => return self.runner(event),
            Command::Load { text, force } => return self.load(text, *force),
            Command::Replace {
                path,
                text,
                parents,
                force,
            } => return self.replace(path, text, *parents, *force),
            Command::Begin { suites, force } => return self.begin(suites, *force),
            Command::Requeue { paths, mode } => self.each(paths, |it, id| it.requeue(id, *mode)),
            Command::Suspend(paths) => self.each(paths, |it, id| it.suspend(id, true)),
            Command::Resume(paths) => self.each(paths, |it, id| it.suspend(id, false)),
            Command::Run { paths, force } => self.each(paths, |it, id| it.run_tasks(id, *force)),
            Command::Force {
                paths,
                target,
                is_recursive,
                is_full,
            } => self.force(paths, *target, *is_recursive, *is_full),
            Command::Free { paths, kind } => self.each(paths, |it, id| it.free(id, *kind)),
            Command::Alter { paths, action } => self.each(paths, |it, id| it.alter(id, action)),
            Command::Delete { paths, force } => self.each(paths, |it, id| it.delete(id, *force)),
            Command::Order { path, order } => return self.order(path, *order),
            Command::Kill(paths) => self.each(paths, Self::kill),
            Command::Status(paths) => self.each(paths, Self::status),
            Command::Zombies { paths, action } => self.act_on_zombies(paths, *action),
            Command::Server(state) => self.set_server(*state),
        }
        Ok(())
    }

    /// Runs a command for several paths: a refusal of one of them stops no other.
    fn each(
        &mut self,
        paths: &[Box<str>],
        mut run: impl FnMut(&mut Self, NodeId) -> Result<Option<String>>,
    ) {
        for path in paths {
            let result = self.find(path).and_then(|id| run(self, id));
            self.outcome(path, result);
        }
    }

    /// Notes what became of a path: `Ok(Some(text))` says why there was nothing to do.
    pub(super) fn outcome(&mut self, path: &str, result: Result<Option<String>>) {
        let (code, text, is_applied) = match result {
            Ok(None) => (Code::Success, String::new(), true),
            Ok(Some(text)) => (Code::Success, text, false),
            Err(refusal) => (refusal.code, refusal.text, false),
        };
        self.outcomes.push(Outcome {
            path: path.into(),
            code,
            text,
            is_applied,
        });
    }

    /// Gives every changed node a version.
    pub(super) fn finish(self) -> Applied {
        let mut changes = Vec::new();
        let mut version = self.machine.version;
        let mut change = |node, is_gone| {
            version += 1;
            changes.push(Change {
                node,
                version,
                is_gone,
            });
            version
        };
        for id in self.gone {
            change(id, true);
        }
        for id in self.changed {
            if self.machine.tree.get(id).is_some() {
                self.machine.tree[id].version = change(id, false);
                self.machine.index.schedule(&self.machine.tree, id);
            }
        }
        self.machine.version = version;
        Applied {
            code: self.code,
            text: self.text,
            outcomes: self.outcomes,
            is_changed: self.is_changed || !changes.is_empty(),
            changes,
            states: self.states,
            effects: self.effects,
        }
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.machine.tree
    }

    pub(super) fn now(&self) -> i64 {
        self.record.moment.unix
    }

    pub(super) fn find(&self, path: &str) -> Result<NodeId> {
        if !path.starts_with('/') {
            let text = "Paths must begin with a leading '/' character";
            return Err(Refusal::new(Code::InvalidPath, text));
        }
        self.tree().find(path).ok_or_else(|| {
            Refusal::new(
                Code::NodeNotFound,
                format!("Could not find node at path {path}"),
            )
        })
    }

    /// Notes that a node has changed: who refers to it may have come free.
    pub(super) fn touch(&mut self, id: NodeId) {
        self.changed.insert(id);
        self.candidates.extend(self.machine.index.watchers(id));
    }

    pub(super) fn set_flag(&mut self, id: NodeId, flag: Flag, value: bool) {
        if self.machine.tree[id].flags.set(flag, value) {
            self.touch(id);
        }
    }

    /// Sets the state of a node alone. A task that no longer runs gives its tokens back.
    pub(super) fn set_state(&mut self, id: NodeId, state: State) {
        let before = self.tree()[id].state;
        if before == state {
            return;
        }
        let now = self.now();
        self.machine.tree.set_state(id, state);
        self.machine.tree[id].changed_at = now;
        self.states.push((id, state));
        self.touch(id);
        let is_task = self.tree()[id].kind() == Kind::Task;
        if is_task && before.is_running() && state != State::Submitted {
            self.release_tokens(id, state == State::Active);
            self.idle.insert(id);
        }
    }

    /// Computes the states of the parents of a node whose state has changed. A node that becomes
    /// complete is queued again if its repeat or its times say so.
    pub(super) fn propagate(&mut self, id: NodeId) {
        if self.tree()[id].state == State::Complete {
            self.queue_again(id);
        }
        self.propagate_from_parent(id);
    }

    /// The same, where the node itself is not to be queued again.
    pub(super) fn propagate_from_parent(&mut self, id: NodeId) {
        let mut current = id;
        while current != NodeId::ROOT {
            let parent = self.tree()[current].parent;
            let computed = self.tree()[parent].computed_state();
            let Some(computed) = computed.filter(|state| *state != self.tree()[parent].state)
            else {
                break;
            };
            self.set_state(parent, computed);
            if computed == State::Complete && parent != NodeId::ROOT {
                self.queue_again(parent);
            }
            current = parent;
        }
    }

    /// A password for a job: 128 bits, in letters, digits, `-` and `_`.
    pub(super) fn password(&mut self) -> Box<str> {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        self.passwords += 1;
        let mut hash = Sha256::new();
        hash.update(self.record.secret);
        hash.update(self.passwords.to_be_bytes());
        let digest = hash.finalize();
        // 22 characters of 6 bits each hold 132 bits.
        let mut password = String::with_capacity(22);
        let (mut bits, mut count) = (0_u32, 0);
        for byte in digest.iter().take(17) {
            bits = bits << 8 | u32::from(*byte);
            count += 8;
            while count >= 6 && password.len() < 22 {
                count -= 6;
                password.push(char::from(ALPHABET[(bits >> count & 63) as usize]));
            }
        }
        password.into()
    }

    /// Makes the running job of a task a zombie, and lets no job call for the task.
    pub(super) fn disown_job(&mut self, id: NodeId) {
        if !self.tree()[id].state.is_running() {
            return;
        }
        let path = self.tree().path(id);
        let now = self.now();
        let job = match &mut self.machine.tree[id].content {
            Content::Task(Some(job)) => job,
            _ => return,
        };
        let zombie = Zombie {
            path: path.into(),
            kind: ZombieType::User,
            password: std::mem::take(&mut job.password),
            rid: std::mem::take(&mut job.rid),
            try_no: job.try_no,
            host: "".into(),
            action: None::<ZombieAction>,
            child: None,
            calls: 0,
            created_at: now,
            seen_at: now,
            lifetime: ZombieType::User.lifetime(),
        };
        self.remember(zombie);
        self.set_flag(id, Flag::Zombie, true);
    }

    pub(super) fn remember(&mut self, zombie: Zombie) {
        if self.machine.zombies.len() == MAX_ZOMBIES {
            self.machine.zombies.remove(0);
        }
        self.machine.zombies.push(zombie);
        self.is_changed = true;
    }

    /// Enters a node that is new, or whose references have changed, in the index.
    pub(super) fn reindex(&mut self, id: NodeId) {
        self.machine.tree.resolve(id);
        self.machine.index.remove(id);
        self.machine.index.add(&self.machine.tree, id);
        self.changed.insert(id);
        self.candidates.insert(id);
    }

    /// Removes a node and all below, without a look at the states of its parents.
    pub(super) fn remove_nodes(&mut self, id: NodeId) {
        let parent = self.tree()[id].parent;
        let nodes = self.tree().subtree(id);
        let mut watchers = BTreeSet::new();
        for id in &nodes {
            if self.tree()[*id].kind() == Kind::Task {
                self.disown_job(*id);
            }
            self.release_tokens(*id, false);
            watchers.extend(self.machine.index.watchers(*id));
        }
        self.machine.tree.remove(id);
        for id in &nodes {
            self.machine.index.remove(*id);
            watchers.remove(id);
            self.machine.deferred.remove(id);
            self.candidates.remove(id);
        }
        self.gone.extend(nodes);
        for watcher in watchers {
            self.reindex(watcher);
        }
        self.release_node_tokens(parent);
        self.changed.insert(parent);
    }
}
