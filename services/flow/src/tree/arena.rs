//! Nodes by id.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use crate::attribute::{Attributes, SuiteTime};
use crate::calendar::{Date, Moment};
use crate::state::{Flags, State};

/// A node. An id is never used again: each slot of the arena counts its nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId {
    index: u32,
    generation: u32,
}

impl NodeId {
    /// The server itself, the parent of all suites.
    pub const ROOT: Self = Self {
        index: 0,
        generation: 0,
    };

    /// The id as one number.
    #[must_use]
    pub fn number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The id of a number; [`Tree::get`] tells whether there is such a node.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each half is taken by itself"
    )]
    pub fn from_number(number: u64) -> Self {
        Self {
            index: number as u32,
            generation: (number >> 32) as u32,
        }
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// The server.
    Server,
    /// A suite.
    Suite,
    /// A family.
    Family,
    /// A task.
    Task,
}

impl Kind {
    /// The word in definitions.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Suite => "suite",
            Self::Family => "family",
            Self::Task => "task",
        }
    }
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// The name; empty for the server.
    pub name: Box<str>,
    /// The node that it is in; the server is its own parent.
    pub parent: NodeId,
    /// What only its kind has.
    pub content: Content,
    /// Its state, for a container that of its most significant child.
    pub state: State,
    /// Marks beside the state.
    pub flags: Flags,
    /// Whether it, and all below, is held.
    pub is_suspended: bool,
    /// Whether an operator has freed the trigger, until the next requeue.
    pub is_trigger_free: bool,
    /// The change of the tree that changed it last.
    pub version: u64,
    /// When its state changed, in Unix seconds.
    pub changed_at: i64,
    /// Its attributes.
    pub attributes: Attributes,
    /// The node of each path of the trigger, `None` where there is no such node.
    pub trigger_targets: Box<[Option<NodeId>]>,
    /// The node of each path of the complete expression.
    pub complete_targets: Box<[Option<NodeId>]>,
    generation: u32,
}

/// What only nodes of one kind have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Content {
    /// The server's suites.
    Server(Box<Container>),
    /// The children of a suite, and its run.
    Suite(Box<(Container, SuiteRun)>),
    /// The children of a family.
    Family(Box<Container>),
    /// The job of a task; `None` until the first one.
    Task(Option<Box<Job>>),
}

/// The children of a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// In order.
    pub children: Vec<NodeId>,
    /// By name.
    pub names: BTreeMap<Box<str>, NodeId>,
    /// How many children are in each state, by the state's number.
    pub counts: [u32; 6],
}

/// The run of a suite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct SuiteRun {
    /// Whether the suite has begun.
    pub is_begun: bool,
    /// What the suite's clock is ahead of the wall clock, in seconds.
    pub offset: i64,
    /// The date that stands still, on a hybrid clock.
    pub date: Option<Date>,
}

/// The present or last job of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// What the job's calls have to present; empty: no job may call.
    pub password: Box<str>,
    /// The id that the job has given; empty before it has called.
    pub rid: Box<str>,
    /// The number of the try; 0 before the first.
    pub try_no: u32,
    /// The process of the job's command; 0 before it has started.
    pub pid: u32,
    /// Whether the job's command has ended.
    pub is_ended: bool,
    /// Why the task has aborted.
    pub reason: Option<Box<str>>,
}

/// All nodes. [`NodeId::ROOT`] is always there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    slots: Vec<Node>,
    vacant: Vec<u32>,
    /// Nodes that expressions may name although they are missing.
    pub externs: Vec<Box<str>>,
    /// The moment of the last step.
    pub now: Moment,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Node::new("", NodeId::ROOT, Kind::Server, Attributes::default());
        Self {
            slots: vec![root],
            vacant: Vec::new(),
            externs: Vec::new(),
            now: Moment::utc(0),
        }
    }
}

impl Index<NodeId> for Tree {
    type Output = Node;

    /// The node of an id that [`Tree::get`] knows. An id of a removed node gives a vacant slot or
    /// the node after it.
    fn index(&self, id: NodeId) -> &Node {
        &self.slots[id.index as usize]
    }
}

impl IndexMut<NodeId> for Tree {
    fn index_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.slots[id.index as usize]
    }
}

impl Node {
    pub(super) fn new(name: &str, parent: NodeId, kind: Kind, attributes: Attributes) -> Self {
        Self {
            name: name.into(),
            parent,
            content: match kind {
                Kind::Server => Content::Server(Box::default()),
                Kind::Suite => Content::Suite(Box::default()),
                Kind::Family => Content::Family(Box::default()),
                Kind::Task => Content::Task(None),
            },
            state: State::Unknown,
            flags: Flags::default(),
            is_suspended: false,
            is_trigger_free: false,
            version: 0,
            changed_at: 0,
            attributes,
            trigger_targets: Box::default(),
            complete_targets: Box::default(),
            generation: 0,
        }
    }

    /// What the node is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.content {
            Content::Server(_) => Kind::Server,
            Content::Suite(_) => Kind::Suite,
            Content::Family(_) => Kind::Family,
            Content::Task(_) => Kind::Task,
        }
    }

    /// The children, if it is no task.
    #[must_use]
    pub fn container(&self) -> Option<&Container> {
        match &self.content {
            Content::Server(container) | Content::Family(container) => Some(container),
            Content::Suite(suite) => Some(&suite.0),
            Content::Task(_) => None,
        }
    }

    fn container_mut(&mut self) -> Option<&mut Container> {
        match &mut self.content {
            Content::Server(container) | Content::Family(container) => Some(container),
            Content::Suite(suite) => Some(&mut suite.0),
            Content::Task(_) => None,
        }
    }

    /// The most significant state of the children; `None` without children.
    #[must_use]
    pub fn computed_state(&self) -> Option<State> {
        self.container()?.computed_state()
    }

    /// The ids of the children in order; none for a task.
    #[must_use]
    pub fn children(&self) -> &[NodeId] {
        self.container()
            .map_or(&[], |container| &container.children)
    }

    /// The run of a suite.
    #[must_use]
    pub fn run(&self) -> Option<&SuiteRun> {
        match &self.content {
            Content::Suite(suite) => Some(&suite.1),
            _ => None,
        }
    }

    /// The run of a suite, to be changed.
    pub fn run_mut(&mut self) -> Option<&mut SuiteRun> {
        match &mut self.content {
            Content::Suite(suite) => Some(&mut suite.1),
            _ => None,
        }
    }

    /// The job of a task that has had one.
    #[must_use]
    pub fn job(&self) -> Option<&Job> {
        match &self.content {
            Content::Task(job) => job.as_deref(),
            _ => None,
        }
    }

    /// The job of a task, to be changed.
    pub fn job_mut(&mut self) -> Option<&mut Job> {
        match &mut self.content {
            Content::Task(job) => Some(job.get_or_insert_default()),
            _ => None,
        }
    }

    /// The number of the last try of a task.
    #[must_use]
    pub fn try_no(&self) -> u32 {
        self.job().map_or(0, |job| job.try_no)
    }
}

impl Container {
    /// The most significant state of the children; `None` without children.
    fn computed_state(&self) -> Option<State> {
        State::BY_SIGNIFICANCE
            .into_iter()
            .rev()
            .find(|state| self.count(*state) > 0)
    }

    /// How many children are in a state.
    #[must_use]
    pub fn count(&self, state: State) -> u32 {
        self.counts[state as usize]
    }
}

impl Tree {
    /// The node of an id, unless it was removed.
    #[must_use]
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        let node = self.slots.get(id.index as usize)?;
        let is_vacant = id != NodeId::ROOT && node.name.is_empty();
        (node.generation == id.generation && !is_vacant).then_some(node)
    }

    /// How many nodes there are, without the server.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len() - self.vacant.len() - 1
    }

    /// Whether there are no suites.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids of a node and of all below, in tree order.
    #[must_use]
    pub fn subtree(&self, id: NodeId) -> Vec<NodeId> {
        let mut found = Vec::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            found.push(id);
            open.extend(self[id].children().iter().rev());
        }
        found
    }

    /// A node and its parents up to, and without, the server.
    pub fn upwards(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        std::iter::successors(Some(id), |id| Some(self[*id].parent))
            .take_while(|id| *id != NodeId::ROOT)
    }

    /// The suite that a node is in.
    #[must_use]
    pub fn suite(&self, id: NodeId) -> Option<NodeId> {
        self.upwards(id).last()
    }

    /// The clock of the suite that a node is in.
    #[must_use]
    pub fn suite_time(&self, id: NodeId) -> SuiteTime {
        let run = self.suite(id).and_then(|suite| self[suite].run());
        let run = run.copied().unwrap_or_default();
        let minute = self.now.local().saturating_add(run.offset).div_euclid(60);
        let today = Date::from_days(minute.div_euclid(crate::calendar::DAY_MINUTES));
        SuiteTime {
            minute,
            date: run.date.unwrap_or(today),
        }
    }

    /// Prepares for so many more nodes, without the capacity that growth one by one would add.
    pub(super) fn reserve(&mut self, nodes: usize) {
        self.slots.reserve(nodes.saturating_sub(self.vacant.len()));
    }

    /// Adds a node behind the last child of its parent. The name is not in use there.
    pub(super) fn insert(&mut self, mut node: Node) -> NodeId {
        let parent = node.parent;
        let (name, state) = (node.name.clone(), node.state);
        let index = match self.vacant.pop() {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                node.generation = slot.generation;
                *slot = node;
                index
            }
            None => {
                self.slots.push(node);
                u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let generation = self.slots[index as usize].generation;
        let id = NodeId { index, generation };
        if let Some(container) = self[parent].container_mut() {
            container.children.push(id);
            container.names.insert(name, id);
            container.counts[state as usize] += 1;
        }
        id
    }

    /// Removes a node and all below. The state of its parent is not computed anew.
    pub fn remove(&mut self, id: NodeId) {
        let (parent, state) = (self[id].parent, self[id].state);
        let name = self[id].name.clone();
        if let Some(container) = self[parent].container_mut() {
            container.children.retain(|child| *child != id);
            container.names.remove(&name);
            container.counts[state as usize] -= 1;
        }
        for id in self.subtree(id) {
            let slot = &mut self.slots[id.index as usize];
            *slot = Node::new("", NodeId::ROOT, Kind::Task, Attributes::default());
            slot.generation = id.generation.wrapping_add(1);
            self.vacant.push(id.index);
        }
    }

    /// Sets the state of a node, and counts it at its parent.
    pub fn set_state(&mut self, id: NodeId, state: State) {
        let before = std::mem::replace(&mut self[id].state, state);
        let parent = self[id].parent;
        if id != NodeId::ROOT
            && let Some(container) = self[parent].container_mut()
        {
            container.counts[before as usize] -= 1;
            container.counts[state as usize] += 1;
        }
    }

    /// Puts the children of a node in an order, which holds the same ids.
    pub fn reorder(&mut self, id: NodeId, children: Vec<NodeId>) {
        if let Some(container) = self[id].container_mut() {
            container.children = children;
        }
    }
}
