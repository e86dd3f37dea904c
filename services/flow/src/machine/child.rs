//! What jobs and the runner tell about tasks.

use crate::attribute::{ChildKind, ZombieAction, ZombieType};
use crate::expression::Expression;
use crate::state::{Flag, State};
use crate::tree::{Job, Kind, NodeEnvironment, NodeId};

use super::ServerState;
use super::command::{ChildCall, JobIdentity, RunnerEvent};
use super::reply::{Code, Effect, Refusal};
use super::transition::{Result, Transition};
use super::zombie::Zombie;

/// What a call is to a task.
enum Standing {
    /// A call of its present job.
    Present(NodeId),
    /// The repetition of a call that has had its effect: the answer was lost.
    Repeated,
    /// A call of another job.
    Zombie(ZombieType),
}

impl ChildCall {
    fn kind(&self) -> ChildKind {
        match self {
            Self::Started(_) => ChildKind::Init,
            Self::Completed(_) => ChildKind::Complete,
            Self::Aborted(_) => ChildKind::Abort,
            Self::Event(..) => ChildKind::Event,
            Self::Meter(..) => ChildKind::Meter,
            Self::Label(..) => ChildKind::Label,
            Self::Wait(_) => ChildKind::Wait,
        }
    }
}

impl Transition<'_> {
    /// A call of a job.
    pub(super) fn child(&mut self, job: &JobIdentity, call: &ChildCall) -> Result<()> {
        if self.machine.server == ServerState::Halted {
            return Err(Refusal::new(Code::Halted, "server is HALTED"));
        }
        match self.standing(job, call) {
            Standing::Present(id) => self.perform(id, job, call),
            Standing::Repeated => Ok(()),
            Standing::Zombie(kind) => self.zombie(kind, job, call),
        }
    }

    fn standing(&self, job: &JobIdentity, call: &ChildCall) -> Standing {
        let task = self.tree().find(&job.path);
        let Some(id) = task.filter(|id| self.tree()[*id].kind() == Kind::Task) else {
            return Standing::Zombie(ZombieType::Path);
        };
        let node = &self.tree()[id];
        let (password, rid) = node
            .job()
            .map_or(("", ""), |job| (&*job.password, &*job.rid));
        let is_password = !password.is_empty() && is_same_secret(password, &job.password);
        let is_rid_known = !rid.is_empty() && !job.rid.is_empty();
        let is_rid = !is_rid_known || rid == &*job.rid;
        let kind = match (is_password, is_rid) {
            (true, true) => return self.standing_of_job(id, call),
            (true, false) => ZombieType::EcfPid,
            (false, true) => ZombieType::EcfPassword,
            (false, false) => ZombieType::EcfPidPassword,
        };
        let known = self.known_zombie(job);
        Standing::Zombie(known.map_or(kind, |at| self.machine.zombies[at].kind))
    }

    fn standing_of_job(&self, id: NodeId, call: &ChildCall) -> Standing {
        match (self.tree()[id].state, call) {
            (State::Active, ChildCall::Started(_))
            | (State::Complete, ChildCall::Completed(_))
            | (State::Aborted, ChildCall::Aborted(_)) => Standing::Repeated,
            (State::Submitted | State::Active, _) => Standing::Present(id),
            _ => Standing::Zombie(ZombieType::Ecf),
        }
    }

    fn perform(&mut self, id: NodeId, job: &JobIdentity, call: &ChildCall) -> Result<()> {
        match call {
            ChildCall::Started(variables) => {
                let node = &mut self.machine.tree[id];
                for (name, value) in variables {
                    node.attributes.set_variable(name, value);
                }
                if let Some(present) = node.job_mut() {
                    present.rid.clone_from(&job.rid);
                }
                self.set_state(id, State::Active);
                self.propagate(id);
            }
            ChildCall::Completed(removed) => {
                let attributes = &mut self.machine.tree[id].attributes;
                attributes
                    .variables
                    .retain(|known| !removed.contains(&known.name));
                self.set_state(id, State::Complete);
                self.propagate(id);
            }
            ChildCall::Aborted(reason) => self.abort(id, Flag::TaskAborted, reason),
            ChildCall::Event(name, value) => return self.set_event(id, name, *value),
            ChildCall::Meter(name, value) => return self.set_meter(id, name, *value),
            ChildCall::Label(name, value) => return self.set_label(id, name, value),
            ChildCall::Wait(text) => return self.wait(id, text),
        }
        Ok(())
    }

    fn abort(&mut self, id: NodeId, flag: Flag, reason: &str) {
        if let Some(job) = self.machine.tree[id].job_mut() {
            job.reason = Some(reason.into());
        }
        self.set_flag(id, flag, true);
        self.set_state(id, State::Aborted);
        self.propagate(id);
        // It may be tried again.
        self.candidates.insert(id);
    }

    /// Sets or clears an event.
    pub(super) fn set_event(&mut self, id: NodeId, name: &str, value: bool) -> Result<()> {
        let has_event =
            |all: &crate::attribute::Signals| all.events.iter().any(|one| one.is_named(name));
        if !self.tree()[id].attributes.signals().is_some_and(has_event) {
            return Err(missing("event", name));
        }
        let signals = self.machine.tree[id].attributes.signals_mut();
        for event in signals.events.iter_mut().filter(|one| one.is_named(name)) {
            event.value = value;
        }
        self.touch(id);
        Ok(())
    }

    fn set_meter(&mut self, id: NodeId, name: &str, value: i32) -> Result<()> {
        let signals = self.tree()[id].attributes.signals();
        let meters = signals.map_or(&[][..], |all| &all.meters);
        let at = meters.iter().position(|meter| &*meter.name == name);
        let at = at.ok_or_else(|| missing("meter", name))?;
        let (min, max) = (meters[at].min, meters[at].max);
        if !(min..=max).contains(&value) {
            let text = format!("the meter {name} goes from {min} to {max}, not to {value}");
            return Err(Refusal::new(Code::UnsupportedValue, text));
        }
        self.machine.tree[id].attributes.signals_mut().meters[at].value = value;
        self.touch(id);
        Ok(())
    }

    fn set_label(&mut self, id: NodeId, name: &str, value: &str) -> Result<()> {
        let signals = self.tree()[id].attributes.signals();
        let labels = signals.map_or(&[][..], |all| &all.labels);
        let at = labels.iter().position(|label| &*label.name == name);
        let at = at.ok_or_else(|| missing("label", name))?;
        let signals = self.machine.tree[id].attributes.signals_mut();
        signals.labels[at].value = Some(value.replace("\\n", "\n").into());
        self.touch(id);
        Ok(())
    }

    fn wait(&mut self, id: NodeId, text: &str) -> Result<()> {
        let expression = Expression::parse(text)
            .map_err(|error| Refusal::new(Code::ExpressionSyntax, error.to_string()))?;
        let paths = expression.paths().iter();
        let targets: Vec<_> = paths.map(|path| self.tree().find_from(id, path)).collect();
        if let Some(missing) = targets.iter().position(Option::is_none) {
            let text = format!("there is no node {}", expression.paths()[missing]);
            return Err(Refusal::new(Code::NodeNotFound, text));
        }
        let environment = NodeEnvironment {
            tree: self.tree(),
            node: id,
            targets: &targets,
        };
        match expression.evaluate(&environment) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::new(
                Code::NotYetTrue,
                "the expression is not true yet",
            )),
            Err(error) => Err(Refusal::new(Code::NotYetTrue, error.to_string())),
        }
    }

    fn known_zombie(&self, job: &JobIdentity) -> Option<usize> {
        let mut zombies = self.machine.zombies.iter();
        zombies.position(|zombie| zombie.is_job(&job.path, &job.password, &job.rid))
    }

    /// Remembers a zombie, and answers its call as attributes and operators say.
    fn zombie(&mut self, kind: ZombieType, job: &JobIdentity, call: &ChildCall) -> Result<()> {
        let child = call.kind();
        let task = self.tree().find(&job.path).filter(|id| *id != NodeId::ROOT);
        let now = self.now();
        let policy = task.and_then(|task| self.policy(task, kind, child));
        let at = match self.known_zombie(job) {
            Some(at) => at,
            None => {
                self.remember(Zombie {
                    path: job.path.clone(),
                    kind,
                    password: job.password.clone(),
                    rid: job.rid.clone(),
                    try_no: job.try_no,
                    host: job.host.clone(),
                    action: None,
                    child: None,
                    calls: 0,
                    created_at: now,
                    seen_at: now,
                    lifetime: policy.map_or(kind.lifetime(), |(_, lifetime)| lifetime),
                });
                self.machine.zombies.len() - 1
            }
        };
        self.is_changed = true;
        let zombie = &mut self.machine.zombies[at];
        zombie.kind = kind;
        zombie.child = Some(child);
        zombie.calls = zombie.calls.saturating_add(1);
        zombie.seen_at = now;
        if zombie.rid.is_empty() {
            zombie.rid.clone_from(&job.rid);
        }
        let action = zombie.action.or(policy.map(|(action, _)| action));
        let action = action.unwrap_or_else(|| self.default_action(job, child));
        if let Some(task) = task {
            self.set_flag(task, Flag::Zombie, true);
        }
        self.answer_zombie(action, at, task, job, call)
    }

    fn default_action(&self, job: &JobIdentity, child: ChildKind) -> ZombieAction {
        if job.is_takler {
            let policy = self.tree().lookup(NodeId::ROOT, "TAKLER_ZOMBIE_POLICY");
            let policy = policy.and_then(|policy| ZombieAction::from_name(&policy));
            return policy.unwrap_or(ZombieAction::Fail);
        }
        match child {
            ChildKind::Event | ChildKind::Meter | ChildKind::Label => ZombieAction::Fob,
            _ => ZombieAction::Block,
        }
    }

    /// What the nearest `zombie` attribute says, and for how long the zombie is remembered.
    fn policy(
        &self,
        task: NodeId,
        kind: ZombieType,
        child: ChildKind,
    ) -> Option<(ZombieAction, u32)> {
        let tree = self.tree();
        tree.upwards(task).find_map(|id| {
            let mut zombies = tree[id].attributes.policies()?.zombies.iter();
            let policy = zombies.find(|policy| {
                policy.kind == kind
                    && (policy.children.is_empty() || policy.children.contains(&child))
            })?;
            Some((policy.action, policy.lifetime))
        })
    }

    fn answer_zombie(
        &mut self,
        action: ZombieAction,
        at: usize,
        task: Option<NodeId>,
        job: &JobIdentity,
        call: &ChildCall,
    ) -> Result<()> {
        match (action, task) {
            (ZombieAction::Fob, _) => {}
            (ZombieAction::Adopt, Some(task)) if self.tree()[task].kind() == Kind::Task => {
                return self.adopt(at, task, job, call);
            }
            (ZombieAction::Fail, _) => {
                self.code = Code::Zombie;
                self.text =
                    "[ authentication failed ] Request set to FAIL via zombie setting".into();
            }
            (ZombieAction::Remove, _) => {
                let zombie = self.machine.zombies.remove(at);
                self.clear_zombie_flag(&zombie.path);
                self.hold_zombie();
            }
            (ZombieAction::Kill, _) => {
                self.effects.push(Effect::Kill {
                    path: job.path.to_string(),
                    password: job.password.clone(),
                    rid: job.rid.clone(),
                });
                self.hold_zombie();
            }
            (ZombieAction::Block | ZombieAction::Adopt, _) => self.hold_zombie(),
        }
        Ok(())
    }

    fn hold_zombie(&mut self) {
        self.code = Code::ZombieHeld;
        self.text = "zombie detected".into();
    }

    /// The task takes the zombie's password and id; the call counts if the task still runs.
    fn adopt(
        &mut self,
        at: usize,
        task: NodeId,
        job: &JobIdentity,
        call: &ChildCall,
    ) -> Result<()> {
        self.machine.zombies.remove(at);
        if let Some(present) = self.machine.tree[task].job_mut() {
            present.password.clone_from(&job.password);
            present.rid.clone_from(&job.rid);
        }
        self.clear_zombie_flag(&job.path);
        self.touch(task);
        let result = match self.standing_of_job(task, call) {
            Standing::Present(id) => self.perform(id, job, call),
            _ => Ok(()),
        };
        // The adoption is in effect, whatever becomes of the call.
        if let Err(refusal) = result {
            self.code = refusal.code;
            self.text = refusal.text;
        }
        Ok(())
    }

    /// What an operator decides about the zombies of tasks.
    pub(super) fn act_on_zombies(&mut self, paths: &[Box<str>], action: ZombieAction) {
        for path in paths {
            let mut killed = Vec::new();
            let mut is_found = false;
            for zombie in self
                .machine
                .zombies
                .iter_mut()
                .filter(|zombie| zombie.path == *path)
            {
                is_found = true;
                zombie.action = Some(action);
                if action == ZombieAction::Kill {
                    killed.push((zombie.password.clone(), zombie.rid.clone()));
                }
            }
            if action == ZombieAction::Remove {
                self.machine.zombies.retain(|zombie| zombie.path != *path);
                self.clear_zombie_flag(path);
            }
            let killed = killed.into_iter().map(|(password, rid)| Effect::Kill {
                path: path.to_string(),
                password,
                rid,
            });
            self.effects.extend(killed);
            self.is_changed |= is_found;
            let text = format!("there is no zombie of {path}");
            self.outcome(
                path,
                if is_found {
                    Ok(None)
                } else {
                    Err(Refusal::new(Code::NodeNotFound, text))
                },
            );
        }
    }

    /// What the runner tells. What it says about a job that is not the present one is dropped.
    pub(super) fn runner(&mut self, event: &RunnerEvent) -> Result<()> {
        match event {
            RunnerEvent::Started {
                path,
                password,
                pid,
            } => {
                let id = self.find(path)?;
                if let Some(job) = self.present_job(id, password) {
                    job.pid = *pid;
                    self.touch(id);
                }
            }
            RunnerEvent::Ended { path, password } => {
                let id = self.find(path)?;
                if let Some(job) = self.present_job(id, password) {
                    job.is_ended = true;
                    let pid = job.pid;
                    self.touch(id);
                    if self.tree().lookup(id, "ECF_JOB_END").as_deref() == Some("abort") {
                        let reason = format!(
                            "ECF_JOB_CMD PID({pid}) path({path}) has ended without a word of the job"
                        );
                        self.abort(id, Flag::JobCommandFailed, &reason);
                    }
                }
            }
            RunnerEvent::Failed {
                path,
                password,
                flag,
                reason,
            } => {
                let id = self.find(path)?;
                if let Some(job) = self.present_job(id, password) {
                    job.is_ended = true;
                    self.abort(id, *flag, reason);
                }
            }
            RunnerEvent::CommandFailed { path, flag } => {
                let id = self.find(path)?;
                self.set_flag(id, *flag, true);
            }
        }
        Ok(())
    }

    /// The running job of a task, if it has this password.
    fn present_job(&mut self, id: NodeId, password: &str) -> Option<&mut Job> {
        let node = &mut self.machine.tree[id];
        let is_present = node.job().is_some_and(|job| &*job.password == password);
        if node.state.is_running() && is_present {
            node.job_mut()
        } else {
            None
        }
    }
}

/// Compares secrets in a time that depends on their lengths alone.
fn is_same_secret(left: &str, right: &str) -> bool {
    let pairs = left.bytes().zip(right.bytes());
    let difference = pairs.fold(0, |difference, (a, b)| difference | (a ^ b));
    left.len() == right.len() && std::hint::black_box(difference) == 0
}

fn missing(what: &str, name: &str) -> Refusal {
    Refusal::new(Code::UnsupportedValue, format!("there is no {what} {name}"))
}
