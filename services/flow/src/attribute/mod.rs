//! What nodes are described by: states, variables, events, limits, times and the rest.
//!
//! An attribute holds what its definition says and, beside it, its present value.

mod signal;
mod limit;
mod repeat;
mod schedule;
mod policy;

pub use limit::{InLimit, Limit};
pub use policy::{AutoCancel, ChildKind, Clock, Late, ZombieAction, ZombiePolicy, ZombieType};
pub use repeat::{MAX_WORDS, Repeat, RepeatKind};
pub use schedule::{
    Cron, DateRule, DayRule, Schedule, Series, Slot, SuiteTime, TimeKind, TimeRule,
};
pub use signal::{Event, Label, Meter, Signals, Variable};

use serde::{Deserialize, Serialize};

use crate::expression::Expression;
use crate::state::DefaultState;

/// Every attribute of a node. Rare ones are in boxes of their own, so that a task without them
/// costs little.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// The state after begin and requeue.
    pub default_state: DefaultState,
    /// The user's variables.
    pub variables: Vec<Variable>,
    /// What has to be true before the node runs.
    pub trigger: Option<Box<Expression>>,
    /// What makes the node complete without running.
    pub complete: Option<Box<Expression>>,
    /// What changes from run to run.
    pub repeat: Option<Box<Repeat>>,
    signals: Option<Box<Signals>>,
    limits: Option<Box<Limits>>,
    schedule: Option<Box<Schedule>>,
    policies: Option<Box<Policies>>,
}

/// Limits, and the tokens of limits that the node's tasks take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Limits that belong to the node.
    pub limits: Vec<Limit>,
    /// Limits whose tokens are taken.
    pub inlimits: Vec<InLimit>,
}

/// Attributes that few nodes have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// When a task counts as late.
    pub late: Option<Late>,
    /// When a complete node is deleted.
    pub auto_cancel: Option<AutoCancel>,
    /// The clock of a suite.
    pub clock: Option<Clock>,
    /// What becomes of zombies, one for each type.
    pub zombies: Vec<ZombiePolicy>,
}

impl Attributes {
    /// Events, meters and labels, if the node has any.
    #[must_use]
    pub fn signals(&self) -> Option<&Signals> {
        self.signals.as_deref()
    }

    /// Events, meters and labels, to be changed.
    pub fn signals_mut(&mut self) -> &mut Signals {
        self.signals.get_or_insert_default()
    }

    /// The node's limits.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        self.limits.as_ref().map_or(&[], |all| &all.limits)
    }

    /// The limits whose tokens the node's tasks take.
    #[must_use]
    pub fn inlimits(&self) -> &[InLimit] {
        self.limits.as_ref().map_or(&[], |all| &all.inlimits)
    }

    /// Limits and inlimits, to be changed.
    pub fn limits_mut(&mut self) -> &mut Limits {
        self.limits.get_or_insert_default()
    }

    /// The times at which the node may run, if it has any.
    #[must_use]
    pub fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_deref()
    }

    /// The times, to be changed.
    pub fn schedule_mut(&mut self) -> &mut Schedule {
        self.schedule.get_or_insert_default()
    }

    /// Late, autocancel, clock and zombies, if the node has any.
    #[must_use]
    pub fn policies(&self) -> Option<&Policies> {
        self.policies.as_deref()
    }

    /// Late, autocancel, clock and zombies, to be changed.
    pub fn policies_mut(&mut self) -> &mut Policies {
        self.policies.get_or_insert_default()
    }

    /// The user's variable of a name.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        let variable = self.variables.iter().find(|known| &*known.name == name);
        variable.map(|variable| &*variable.value)
    }

    /// Sets the user's variable of a name.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        match self.variables.iter_mut().find(|known| &*known.name == name) {
            Some(variable) => variable.value = value.into(),
            None => self.variables.push(Variable::new(name, value)),
        }
    }

    /// Frees what is empty, so that equal attributes are equal however they came about, and the
    /// capacity that lists have beyond their content: most have one item.
    pub fn tidy(&mut self) {
        self.variables.shrink_to_fit();
        if let Some(signals) = &mut self.signals {
            signals.events.shrink_to_fit();
            signals.meters.shrink_to_fit();
            signals.labels.shrink_to_fit();
        }
        if let Some(limits) = &mut self.limits {
            limits.limits.shrink_to_fit();
            limits.inlimits.shrink_to_fit();
        }
        if let Some(schedule) = &mut self.schedule {
            schedule.times.shrink_to_fit();
            schedule.crons.shrink_to_fit();
            schedule.dates.shrink_to_fit();
            schedule.days.shrink_to_fit();
        }
        drop_default(&mut self.signals);
        drop_default(&mut self.limits);
        drop_default(&mut self.schedule);
        drop_default(&mut self.policies);
    }
}

fn drop_default<T: Default + PartialEq>(part: &mut Option<Box<T>>) {
    if part.as_deref() == Some(&T::default()) {
        *part = None;
    }
}
