//! A machine with a clock that tests turn.

use tce_flow::calendar::Moment;
use tce_flow::def::{Style, print};
use tce_flow::machine::{
    Applied, ChildCall, Command, Effect, ForceTarget, JobIdentity, Machine, Record, Refusal,
};
use tce_flow::state::State;
use tce_flow::tree::NodeId;

/// 2026-11-30 12:00:00, a Monday.
pub(crate) const NOON: i64 = 1_796_040_000;

/// A machine, the time, and the journal of all commands.
#[derive(Default)]
pub(crate) struct Simulation {
    pub(crate) machine: Machine,
    pub(crate) now: i64,
    pub(crate) sequence: u64,
    /// What has changed something.
    pub(crate) journal: Vec<Record>,
    pub(crate) effects: Vec<Effect>,
}

impl Simulation {
    pub(crate) fn new() -> Self {
        Self {
            now: NOON,
            ..Self::default()
        }
    }

    /// A machine that has loaded and begun a definition.
    pub(crate) fn begun(definition: &str) -> Self {
        let mut simulation = Self::new();
        simulation.load(definition);
        simulation
            .apply(Command::Begin {
                suites: Vec::new(),
                force: false,
            })
            .unwrap();
        simulation
    }

    pub(crate) fn load(&mut self, definition: &str) {
        let text = definition.into();
        let loaded = self.apply(Command::Load { text, force: false });
        loaded.unwrap_or_else(|refusal| panic!("{refusal}"));
    }

    pub(crate) fn apply(&mut self, command: Command) -> Result<Applied, Refusal> {
        let sequence = self.sequence + 1;
        self.sequence = sequence;
        let mut secret = [0; 16];
        secret[..8].copy_from_slice(&sequence.to_be_bytes());
        let record = Record {
            sequence,
            moment: Moment::utc(self.now),
            user: "tester".into(),
            secret,
            command,
        };
        let applied = self.machine.apply(&record)?;
        if applied.is_changed {
            self.journal.push(record);
        }
        self.effects.extend(applied.effects.iter().cloned());
        Ok(applied)
    }

    /// Lets minutes pass, with a tick at the beginning of each.
    pub(crate) fn pass(&mut self, minutes: i64) {
        for _ in 0..minutes {
            self.now = (self.now / 60 + 1) * 60;
            self.apply(Command::Tick).unwrap();
        }
    }

    pub(crate) fn id(&self, path: &str) -> NodeId {
        self.machine
            .tree()
            .find(path)
            .unwrap_or_else(|| panic!("no {path}"))
    }

    pub(crate) fn state(&self, path: &str) -> State {
        self.machine.tree()[self.id(path)].state
    }

    pub(crate) fn tries(&self, path: &str) -> u32 {
        self.machine.tree()[self.id(path)].try_no()
    }

    pub(crate) fn variable(&self, path: &str, name: &str) -> String {
        let value = self.machine.tree().lookup(self.id(path), name);
        value
            .unwrap_or_else(|| panic!("{path} has no {name}"))
            .into_owned()
    }

    pub(crate) fn used(&self, path: &str, limit: &str) -> u64 {
        let limits = self.machine.tree()[self.id(path)].attributes.limits();
        limits
            .iter()
            .find(|one| &*one.name == limit)
            .unwrap()
            .used()
    }

    /// The present job of a task, as the job itself says.
    pub(crate) fn job(&self, path: &str) -> JobIdentity {
        let node = &self.machine.tree()[self.id(path)];
        let job = node.job().cloned().unwrap_or_default();
        JobIdentity {
            path: path.into(),
            password: job.password,
            rid: "77".into(),
            try_no: job.try_no,
            host: "here".into(),
            is_takler: false,
        }
    }

    pub(crate) fn child(&mut self, path: &str, call: ChildCall) -> Result<Applied, Refusal> {
        let job = self.job(path);
        self.apply(Command::Child(job, call))
    }

    pub(crate) fn start(&mut self, path: &str) {
        self.child(path, ChildCall::Started(Vec::new())).unwrap();
    }

    pub(crate) fn complete(&mut self, path: &str) {
        self.child(path, ChildCall::Completed(Vec::new())).unwrap();
    }

    pub(crate) fn abort(&mut self, path: &str) {
        self.child(path, ChildCall::Aborted("trap".into())).unwrap();
    }

    pub(crate) fn force(&mut self, path: &str, state: State) {
        self.apply(Command::Force {
            paths: vec![path.into()],
            target: ForceTarget::State(state),
            is_recursive: false,
            is_full: false,
        })
        .unwrap();
    }

    pub(crate) fn get_state(&self) -> String {
        print(self.machine.tree(), NodeId::ROOT, Style::State)
    }
}
