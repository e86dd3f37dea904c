//! Back to the default state: at begin, by order, when a repeat steps, and when a time is left.

use crate::attribute::SuiteTime;
use crate::calendar::{DAY_MINUTES, Date};
use crate::state::{DefaultState, Flag, Flags, State};
use crate::tree::{Content, Kind, NodeId};

use super::command::RequeueMode;
use super::reply::{Code, Refusal};
use super::transition::{Result, Transition};

/// What becomes of the node that is requeued. Those below always start anew.
#[derive(Debug, Clone, Copy)]
struct Reset {
    /// The repeat goes back to its first value.
    repeat: bool,
    /// Times go back to the first slot, and not on to the next one.
    times: bool,
    /// Nodes below are no longer suspended.
    resume_below: bool,
}

impl Transition<'_> {
    /// `begin`.
    pub(super) fn begin(&mut self, names: &[Box<str>], force: bool) -> Result<()> {
        let mut suites = Vec::new();
        for name in names {
            let name = name.trim_start_matches('/');
            let suite = self
                .tree()
                .find(&format!("/{name}"))
                .filter(|id| *id != NodeId::ROOT);
            suites.push(suite.ok_or_else(|| {
                let text = format!(
                    "BeginCmd::doHandleRequest:  Begin failed as suite '{name}' is not loaded."
                );
                Refusal::new(Code::NodeNotFound, text)
            })?);
        }
        if names.is_empty() {
            suites.extend(self.tree()[NodeId::ROOT].children());
        }
        for suite in suites {
            let path = self.tree().path(suite);
            let is_begun = self.tree()[suite].run().is_some_and(|run| run.is_begun);
            if is_begun && !force {
                self.outcome(&path, Ok(Some("the suite has begun before".to_owned())));
                continue;
            }
            self.begin_suite(suite);
            self.outcome(&path, Ok(None));
        }
        Ok(())
    }

    fn begin_suite(&mut self, suite: NodeId) {
        let clock = self.tree()[suite]
            .attributes
            .policies()
            .and_then(|all| all.clock);
        let local = self.tree().now.local();
        let day_seconds = DAY_MINUTES * 60;
        let today = Date::from_days(local.div_euclid(day_seconds));
        let date = clock.and_then(|clock| clock.date).unwrap_or(today);
        let gain = clock.map_or(0, |clock| i64::from(clock.gain));
        let offset = (date.days() - today.days()) * day_seconds + gain;
        let begin = Date::from_days(local.saturating_add(offset).div_euclid(day_seconds));
        if let Some(run) = self.machine.tree[suite].run_mut() {
            run.is_begun = true;
            run.offset = offset;
            run.date = clock.is_some_and(|clock| clock.is_hybrid).then_some(begin);
        }
        let reset = Reset {
            repeat: true,
            times: true,
            resume_below: false,
        };
        self.reset(suite, reset);
    }

    /// `requeue` of one node.
    pub(super) fn requeue(&mut self, id: NodeId, mode: RequeueMode) -> Result<Option<String>> {
        let suite = self
            .tree()
            .suite(id)
            .ok_or_else(|| Refusal::new(Code::NodeType, "the server itself can't be requeued"))?;
        if !self.tree()[suite].run().is_some_and(|run| run.is_begun) {
            if mode != RequeueMode::Begin {
                let text = "the suite has not begun".to_owned();
                return Err(Refusal::new(Code::FlowState, text));
            }
            self.begin_suite(suite);
            return Ok(None);
        }
        let reset = Reset {
            repeat: true,
            times: true,
            resume_below: true,
        };
        match mode {
            RequeueMode::Aborted => {
                let nodes = self.tree().subtree(id);
                let is_aborted = |id: &NodeId| {
                    let node = &self.tree()[*id];
                    node.kind() == Kind::Task && node.state == State::Aborted
                };
                let tasks: Vec<_> = nodes.into_iter().filter(is_aborted).collect();
                let is_idle = tasks.is_empty();
                for task in tasks {
                    self.reset(task, reset);
                }
                Ok(is_idle.then(|| "no task is aborted".to_owned()))
            }
            RequeueMode::Idle | RequeueMode::Begin if self.is_running(id) => {
                Ok(Some("tasks are submitted or active".to_owned()))
            }
            _ => {
                self.reset(id, reset);
                Ok(None)
            }
        }
    }

    /// Puts new nodes of a suite that has begun into their default states.
    pub(super) fn queue_new(&mut self, id: NodeId) {
        let suite = self
            .tree()
            .suite(id)
            .and_then(|suite| self.tree()[suite].run());
        if suite.is_some_and(|run| run.is_begun) {
            let is_suspended = self.tree()[id].is_suspended;
            let reset = Reset {
                repeat: true,
                times: true,
                resume_below: false,
            };
            self.reset(id, reset);
            self.machine.tree[id].is_suspended |= is_suspended;
        }
    }

    /// A node that is complete is queued again while its repeat has values, or a time is left.
    pub(super) fn queue_again(&mut self, id: NodeId) {
        let suite_time = self.tree().suite_time(id);
        let attributes = &mut self.machine.tree[id].attributes;
        if attributes
            .repeat
            .as_mut()
            .is_some_and(|repeat| repeat.step())
        {
            self.reset(
                id,
                Reset {
                    repeat: false,
                    times: true,
                    resume_below: false,
                },
            );
            if !self.stepped.insert(id) {
                // A repeat over nodes that complete at once would not let the step end.
                self.candidates.remove(&id);
                self.machine.deferred.insert(id);
            }
            return;
        }
        let schedule = self.tree()[id].attributes.schedule();
        if schedule.is_some_and(|all| !all.is_empty() && all.has_later(suite_time))
            && !self.is_on_other_day(id)
        {
            self.reset(
                id,
                Reset {
                    repeat: false,
                    times: false,
                    resume_below: false,
                },
            );
        }
    }

    /// Whether a hybrid clock holds a node back for ever: its date is another one.
    fn is_on_other_day(&self, id: NodeId) -> bool {
        let tree = self.tree();
        let suite = tree.suite(id).and_then(|suite| tree[suite].run());
        suite.is_some_and(|run| run.date.is_some())
            && tree[id]
                .attributes
                .schedule()
                .is_some_and(|all| !all.is_date_free())
    }

    /// Resets a node and all below, and computes the states above.
    fn reset(&mut self, id: NodeId, reset: Reset) {
        let now = self.tree().suite_time(id);
        self.reset_below(id, reset, true, now);
        self.propagate_from_parent(id);
        self.candidates.insert(id);
    }

    fn reset_below(&mut self, id: NodeId, reset: Reset, is_top: bool, now: SuiteTime) {
        if self.tree()[id].kind() == Kind::Task {
            self.disown_job(id);
        }
        let is_guarded = self.is_guarded(id);
        let node = &mut self.machine.tree[id];
        let is_message = node.flags.has(Flag::Message);
        let is_zombie = node.flags.has(Flag::Zombie);
        node.flags = Flags::default();
        node.flags.set(Flag::Message, is_message);
        node.flags.set(Flag::Zombie, is_zombie);
        node.is_trigger_free = false;
        if let Content::Task(Some(job)) = &mut node.content {
            **job = crate::tree::Job::default();
        }
        let attributes = &mut node.attributes;
        if attributes.signals().is_some() {
            attributes.signals_mut().reset();
        }
        if let Some(repeat) = attributes
            .repeat
            .as_mut()
            .filter(|_| reset.repeat || !is_top)
        {
            repeat.index = 0;
        }
        if attributes.schedule().is_some() {
            if reset.times || !is_top {
                attributes.schedule_mut().reset(now, is_guarded);
            } else {
                attributes.schedule_mut().requeue(now);
            }
        }
        match attributes.default_state {
            DefaultState::Suspended => node.is_suspended = true,
            DefaultState::State(_) if reset.resume_below && !is_top => node.is_suspended = false,
            DefaultState::State(_) => {}
        }
        let default = match attributes.default_state {
            DefaultState::State(state) => state,
            DefaultState::Suspended => State::Queued,
        };
        self.touch(id);
        for at in 0..self.tree()[id].children().len() {
            let child = self.tree()[id].children()[at];
            self.reset_below(child, reset, false, now);
        }
        let is_done = self.is_on_other_day(id);
        let computed = self.tree()[id].computed_state();
        let state = if is_done {
            State::Complete
        } else {
            computed.unwrap_or(default)
        };
        if is_done && computed.is_some() {
            self.complete_below(id);
        }
        self.set_state(id, state);
    }

    /// Sets a node and all below complete, whatever they do. Their parents are left alone.
    pub(super) fn complete_below(&mut self, id: NodeId) {
        for id in self.tree().subtree(id) {
            self.set_state(id, State::Complete);
        }
    }
}
