//! `alter`: operators change attributes.

use crate::attribute::{Attributes, Schedule, TimeKind};
use crate::def::{is_quotable, parse_attribute};
use crate::expression::Expression;
use crate::state::{DefaultState, Flag};
use crate::tree::{Kind, NodeId, is_name};

use super::command::{AlterAction, Attribute};
use super::reply::{Code, Refusal};
use super::transition::{Result, Transition};

impl Transition<'_> {
    /// Changes the attributes of a node, or the variables of the server.
    pub(super) fn alter(&mut self, id: NodeId, action: &AlterAction) -> Result<Option<String>> {
        if let AlterAction::SetFlag(flag, value) = action {
            self.require_node(id)?;
            self.set_flag(id, *flag, *value);
            return Ok(None);
        }
        // Changed aside, so that a refusal changes nothing.
        let mut attributes = self.tree()[id].attributes.clone();
        match action {
            AlterAction::Add(text) => self.add(id, text, &mut attributes)?,
            AlterAction::Change {
                attribute,
                name,
                value,
            } => change(id, *attribute, name, value, &mut attributes)?,
            AlterAction::Delete { attribute, name } => {
                delete(*attribute, name, &mut attributes)?;
            }
            AlterAction::SetFlag(..) => {}
        }
        attributes.tidy();
        let has_crons = attributes
            .schedule()
            .is_some_and(|all| !all.crons.is_empty());
        if attributes.repeat.is_some() && has_crons {
            return Err(unsupported("a node can't have a repeat and a cron"));
        }
        self.require_paths(id, &attributes)?;
        let now = self.tree().suite_time(id);
        let is_new_schedule = attributes.schedule() != self.tree()[id].attributes.schedule();
        if is_new_schedule && attributes.schedule().is_some() {
            attributes.schedule_mut().reset(now, self.is_guarded(id));
        }
        self.machine.tree[id].attributes = attributes;
        if id == NodeId::ROOT {
            self.touch(id);
        } else {
            self.reindex(id);
            self.touch(id);
            self.set_flag(id, Flag::Message, true);
        }
        // Limits may have come into reach of nodes that look for them upwards.
        for id in self.machine.index.unresolved() {
            self.reindex(id);
        }
        // Variables and limits count for all below, as far as any expression looks upwards.
        let top = self.tree().suite(id).unwrap_or(NodeId::ROOT);
        self.candidates.insert(top);
        Ok(None)
    }

    fn add(&self, id: NodeId, text: &str, attributes: &mut Attributes) -> Result<()> {
        let mut words = text.split_whitespace();
        if words.next() == Some("edit") {
            let mut scratch = Attributes::default();
            parse_attribute(text, Kind::Suite, &mut scratch)
                .map_err(|error| unsupported(&error.message))?;
            for variable in &scratch.variables {
                attributes.set_variable(&variable.name, &variable.value);
            }
            return Ok(());
        }
        self.require_node(id)?;
        parse_attribute(text, self.tree()[id].kind(), attributes)
            .map_err(|error| unsupported(&error.message))
    }

    /// Refuses expressions that name nodes that are neither there nor extern.
    fn require_paths(&self, id: NodeId, attributes: &Attributes) -> Result<()> {
        let before = &self.tree()[id].attributes;
        for (new, old) in [
            (&attributes.trigger, &before.trigger),
            (&attributes.complete, &before.complete),
        ] {
            let Some(expression) = new.as_ref().filter(|_| new != old) else {
                continue;
            };
            let is_extern = |path: &str| {
                let mut externs = self.tree().externs.iter();
                externs.any(|known| known.split(':').next() == Some(path))
            };
            let mut paths = expression.paths().iter();
            let missing =
                paths.find(|path| self.tree().find_from(id, path).is_none() && !is_extern(path));
            if let Some(path) = missing {
                let text = format!("there is no node {path}");
                return Err(Refusal::new(Code::NodeNotFound, text));
            }
        }
        Ok(())
    }
}

fn change(
    id: NodeId,
    attribute: Attribute,
    name: &str,
    value: &str,
    attributes: &mut Attributes,
) -> Result<()> {
    if id == NodeId::ROOT && attribute != Attribute::Variable {
        return Err(Refusal::new(
            Code::NodeType,
            "the server has variables alone",
        ));
    }
    match attribute {
        Attribute::Variable => {
            if !is_name(name) || !is_quotable(value) {
                return Err(unsupported("a definition could not hold this variable"));
            }
            // The server's own variables are generated until they are set.
            if id != NodeId::ROOT && attributes.variable(name).is_none() {
                return Err(none("variable", name));
            }
            attributes.set_variable(name, value);
        }
        Attribute::Trigger => attributes.trigger = Some(expression(value)?),
        Attribute::Complete => attributes.complete = Some(expression(value)?),
        Attribute::DefaultState => {
            let state = DefaultState::from_name(value);
            attributes.default_state = state.ok_or_else(|| unsupported("this is not a state"))?;
        }
        Attribute::Repeat => {
            let repeat = attributes.repeat.as_mut();
            if !repeat.ok_or_else(|| none("repeat", name))?.set(value) {
                return Err(unsupported(&format!("the repeat has no value {value}")));
            }
        }
        Attribute::Event | Attribute::Meter | Attribute::Label => {
            change_signal(attribute, name, value, attributes)?;
        }
        Attribute::Limit | Attribute::LimitMax => {
            let max = number(value)?;
            let limit = attributes
                .limits_mut()
                .limits
                .iter_mut()
                .find(|limit| &*limit.name == name);
            limit.ok_or_else(|| none("limit", name))?.max = max;
        }
        Attribute::Late | Attribute::Clock | Attribute::AutoCancel => {
            let word = word(attribute);
            delete(attribute, "", attributes)?;
            parse_attribute(&format!("{word} {value}"), Kind::Suite, attributes)
                .map_err(|error| unsupported(&error.message))?;
        }
        _ => {
            let text = format!(
                "`{}` can be added and deleted, not changed",
                word(attribute)
            );
            return Err(Refusal::new(Code::InvalidRequest, text));
        }
    }
    Ok(())
}

fn expression(text: &str) -> Result<Box<Expression>> {
    let parsed = Expression::parse(text);
    let parsed = parsed.map_err(|error| Refusal::new(Code::ExpressionSyntax, error.to_string()));
    parsed.map(Box::new)
}

fn change_signal(
    attribute: Attribute,
    name: &str,
    value: &str,
    attributes: &mut Attributes,
) -> Result<()> {
    let signals = attributes.signals_mut();
    match attribute {
        Attribute::Event => {
            let is_set = match value {
                "set" | "" => true,
                "clear" => false,
                _ => return Err(unsupported("an event is set or clear")),
            };
            let event = signals.events.iter_mut().find(|event| event.is_named(name));
            event.ok_or_else(|| none("event", name))?.value = is_set;
        }
        Attribute::Meter => {
            let meter = signals.meters.iter_mut().find(|meter| &*meter.name == name);
            let meter = meter.ok_or_else(|| none("meter", name))?;
            let value = number(value)?;
            if !(meter.min..=meter.max).contains(&value) {
                let text = format!("the meter goes from {} to {}", meter.min, meter.max);
                return Err(unsupported(&text));
            }
            meter.value = value;
        }
        _ => {
            let label = signals.labels.iter_mut().find(|label| &*label.name == name);
            let label = label.ok_or_else(|| none("label", name))?;
            label.value = Some(value.replace("\\n", "\n").into());
        }
    }
    Ok(())
}

/// Removes from a list what is named so, or everything for an empty name.
fn take<T>(list: &mut Vec<T>, name: &str, is_named: impl Fn(&T) -> bool) -> bool {
    let before = list.len();
    list.retain(|item| !name.is_empty() && !is_named(item));
    list.len() < before
}

fn delete(attribute: Attribute, name: &str, attributes: &mut Attributes) -> Result<()> {
    let is_found = match attribute {
        Attribute::Variable => take(&mut attributes.variables, name, |one| &*one.name == name),
        Attribute::Trigger => attributes.trigger.take().is_some(),
        Attribute::Complete => attributes.complete.take().is_some(),
        Attribute::Repeat => attributes.repeat.take().is_some(),
        Attribute::DefaultState => {
            attributes.default_state = DefaultState::default();
            true
        }
        Attribute::Event => take(&mut attributes.signals_mut().events, name, |one| {
            one.is_named(name)
        }),
        Attribute::Meter => take(&mut attributes.signals_mut().meters, name, |one| {
            &*one.name == name
        }),
        Attribute::Label => take(&mut attributes.signals_mut().labels, name, |one| {
            &*one.name == name
        }),
        Attribute::Limit | Attribute::LimitMax => {
            take(&mut attributes.limits_mut().limits, name, |one| {
                &*one.name == name
            })
        }
        Attribute::InLimit => {
            let short = name.rsplit(':').next().unwrap_or(name);
            take(&mut attributes.limits_mut().inlimits, name, |one| {
                &*one.name == short
            })
        }
        Attribute::Time | Attribute::Today | Attribute::Cron | Attribute::Date | Attribute::Day => {
            delete_time(attribute, name, attributes.schedule_mut())
        }
        Attribute::Late => attributes.policies_mut().late.take().is_some(),
        Attribute::Clock => attributes.policies_mut().clock.take().is_some(),
        Attribute::AutoCancel => attributes.policies_mut().auto_cancel.take().is_some(),
        Attribute::Zombie => take(&mut attributes.policies_mut().zombies, name, |one| {
            one.kind.name() == name
        }),
    };
    let is_change = matches!(
        attribute,
        Attribute::Late | Attribute::Clock | Attribute::AutoCancel
    );
    if is_found || (is_change && name.is_empty()) {
        Ok(())
    } else {
        Err(none(word(attribute), name))
    }
}

/// Removes times that are written so.
fn delete_time(attribute: Attribute, name: &str, schedule: &mut Schedule) -> bool {
    match attribute {
        Attribute::Time => take(&mut schedule.times, name, |one| {
            one.kind == TimeKind::Time && one.series.to_string() == name
        }),
        Attribute::Today => take(&mut schedule.times, name, |one| {
            one.kind == TimeKind::Today && one.series.to_string() == name
        }),
        Attribute::Cron => take(&mut schedule.crons, name, |one| one.to_string() == name),
        Attribute::Date => take(&mut schedule.dates, name, |one| one.to_string() == name),
        _ => take(&mut schedule.days, name, |one| {
            crate::calendar::DAY_NAMES[usize::from(one.weekday) % 7] == name
        }),
    }
}

fn word(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::Variable => "variable",
        Attribute::Trigger => "trigger",
        Attribute::Complete => "complete",
        Attribute::Event => "event",
        Attribute::Meter => "meter",
        Attribute::Label => "label",
        Attribute::Limit => "limit",
        Attribute::LimitMax => "limit_max",
        Attribute::InLimit => "inlimit",
        Attribute::DefaultState => "defstatus",
        Attribute::Repeat => "repeat",
        Attribute::Time => "time",
        Attribute::Today => "today",
        Attribute::Cron => "cron",
        Attribute::Date => "date",
        Attribute::Day => "day",
        Attribute::Late => "late",
        Attribute::Clock => "clock",
        Attribute::AutoCancel => "autocancel",
        Attribute::Zombie => "zombie",
    }
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T> {
    let text = || unsupported(&format!("`{value}` is not a number that is possible here"));
    value.parse().map_err(|_| text())
}

fn none(what: &str, name: &str) -> Refusal {
    unsupported(&format!("there is no {what} {name}"))
}

fn unsupported(text: &str) -> Refusal {
    Refusal::new(Code::UnsupportedValue, text)
}
