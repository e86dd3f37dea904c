//! Nodes to text, in the layout of ecFlow.

use std::fmt::{self, Display, Formatter, Write};

use crate::attribute::{
    Attributes, AutoCancel, Clock, Cron, DateRule, InLimit, Late, Repeat, RepeatKind, Series,
    TimeKind, TimeRule,
};
use crate::calendar::{DAY_NAMES, clock_text};
use crate::state::{DefaultState, State};
use crate::tree::{Kind, NodeId, Tree, is_password};

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// What can be loaded: `get`.
    Definition,
    /// The same with values and states in comments: `get_state`. Passwords are left out.
    State,
}

/// A node and all below as text; the server itself gives all suites.
#[must_use]
pub fn print(tree: &Tree, id: NodeId, style: Style) -> String {
    let mut printer = Printer {
        tree,
        style,
        text: "#5.9.2\n".to_owned(),
    };
    if id == NodeId::ROOT {
        if style == Style::State {
            printer.line(0, format_args!("defs_state STATE"));
            for variable in &tree[id].attributes.variables {
                let value = quoted(&variable.value);
                printer.line(1, format_args!("edit {} {value} # server", variable.name));
            }
        }
        for name in &tree.externs {
            printer.line(0, format_args!("extern {name}"));
        }
    }
    let suites = if id == NodeId::ROOT {
        tree[id].children()
    } else {
        &[id]
    };
    for suite in suites {
        printer.node(*suite, 0);
    }
    printer.text.push_str("# enddef\n");
    printer.text
}

/// The attributes of a node alone, each as in its definition.
#[must_use]
pub fn print_attributes(tree: &Tree, id: NodeId) -> Vec<String> {
    let mut printer = Printer {
        tree,
        style: Style::Definition,
        text: String::new(),
    };
    printer.attributes(id, 0);
    printer.text.lines().map(str::to_owned).collect()
}

/// Whether a definition can hold a value: it has no end of line, and one kind of quote does not
/// end it too early.
#[must_use]
pub fn is_quotable(value: &str) -> bool {
    !value.contains(['\n', '\r']) && (holds(value, '\'') || holds(value, '"'))
}

/// Whether quotes of a kind hold a value: it has none before a blank or `;`, and none at its end.
fn holds(value: &str, quote: char) -> bool {
    let mut after = value.split(quote).skip(1);
    after.all(|rest| !rest.is_empty() && !rest.starts_with([' ', '\t', ';']))
        || !value.contains(quote)
}

fn quoted(value: &str) -> String {
    if holds(value, '\'') {
        format!("'{value}'")
    } else {
        format!("\"{value}\"")
    }
}

/// Labels and words of repeats, which ecFlow prints in double quotes.
fn double_quoted(value: &str) -> String {
    let value = value.replace('\n', "\\n");
    if holds(&value, '"') {
        format!("\"{value}\"")
    } else {
        format!("'{value}'")
    }
}

struct Printer<'a> {
    tree: &'a Tree,
    style: Style,
    text: String,
}

impl Printer<'_> {
    fn line(&mut self, level: usize, text: fmt::Arguments<'_>) {
        self.text.extend(std::iter::repeat_n("  ", level));
        // Writing to a string never fails.
        let _ = self.text.write_fmt(text);
        self.text.push('\n');
    }

    fn comment(&self, text: &str) -> String {
        match self.style {
            Style::State if !text.is_empty() => format!(" # {text}"),
            _ => String::new(),
        }
    }

    fn node(&mut self, id: NodeId, level: usize) {
        let node = &self.tree[id];
        let (word, state) = (node.kind().word(), self.comment(&self.state(id)));
        self.line(level, format_args!("{word} {}{state}", node.name));
        self.attributes(id, level + 1);
        for child in self.tree[id].children() {
            self.node(*child, level + 1);
        }
        if node.kind() != Kind::Task {
            self.line(level, format_args!("end{word}"));
        }
    }

    fn state(&self, id: NodeId) -> String {
        let node = &self.tree[id];
        let mut parts = Vec::new();
        if node.run().is_some_and(|run| run.is_begun) {
            parts.push("begun:1".to_owned());
        }
        if let Some(job) = node.job().filter(|job| job.try_no > 0) {
            if !job.rid.is_empty() {
                parts.push(format!("rid:{}", job.rid));
            }
            parts.push(format!("try:{}", job.try_no));
        }
        if node.state != State::Unknown {
            parts.push(format!("state:{}", node.state.name()));
        }
        if node.flags.iter().next().is_some() {
            parts.push(format!("flag:{}", node.flags.names()));
        }
        if node.is_suspended {
            parts.push("suspended:1".to_owned());
        }
        parts.join(" ")
    }

    /// All attributes, in the order of ecFlow.
    fn attributes(&mut self, id: NodeId, level: usize) {
        let attributes = &self.tree[id].attributes;
        if attributes.default_state != DefaultState::default() {
            let name = attributes.default_state.name();
            self.line(level, format_args!("defstatus {name}"));
        }
        if let Some(late) = attributes.policies().and_then(|all| all.late) {
            self.line(level, format_args!("late{late}"));
        }
        if let Some(expression) = &attributes.complete {
            self.line(level, format_args!("complete {expression}"));
        }
        if let Some(expression) = &attributes.trigger {
            self.line(level, format_args!("trigger {expression}"));
        }
        if let Some(repeat) = &attributes.repeat {
            let value = if repeat.index > 0 {
                repeat.text()
            } else {
                String::new()
            };
            let value = self.comment(&value);
            self.line(level, format_args!("repeat {repeat}{value}"));
        }
        self.variables(id, level);
        self.limits(attributes, level);
        if let Some(clock) = attributes.policies().and_then(|all| all.clock) {
            self.line(level, format_args!("clock {clock}"));
        }
        self.signals(attributes, level);
        self.schedule(attributes, level);
        let Some(policies) = attributes.policies() else {
            return;
        };
        if let Some(auto_cancel) = policies.auto_cancel {
            self.line(level, format_args!("autocancel {auto_cancel}"));
        }
        for zombie in &policies.zombies {
            let children: Vec<_> = zombie.children.iter().map(|kind| kind.name()).collect();
            let (kind, action) = (zombie.kind.name(), zombie.action.name());
            let (children, lifetime) = (children.join(","), zombie.lifetime);
            self.line(
                level,
                format_args!("zombie {kind}:{action}:{children}:{lifetime}"),
            );
        }
    }

    fn variables(&mut self, id: NodeId, level: usize) {
        for variable in &self.tree[id].attributes.variables {
            let value = quoted(&variable.value);
            self.line(level, format_args!("edit {} {value}", variable.name));
        }
        if self.style == Style::State {
            for (name, value) in self.tree.generated_variables(id) {
                if !is_password(&name) {
                    self.line(level, format_args!("# edit {name} '{value}'"));
                }
            }
        }
    }

    fn limits(&mut self, attributes: &Attributes, level: usize) {
        for limit in attributes.limits() {
            let holders: String = limit.holders.keys().flat_map(|path| [" ", path]).collect();
            let used = match limit.used() {
                0 => String::new(),
                used => self.comment(&format!("{used}{holders}")),
            };
            self.line(
                level,
                format_args!("limit {} {}{used}", limit.name, limit.max),
            );
        }
        for inlimit in attributes.inlimits() {
            self.line(level, format_args!("inlimit {inlimit}"));
        }
    }

    fn signals(&mut self, attributes: &Attributes, level: usize) {
        let Some(signals) = attributes.signals() else {
            return;
        };
        for label in &signals.labels {
            let text = double_quoted(&label.default);
            let value = label.value.as_deref().map(double_quoted);
            let value = self.comment(&value.unwrap_or_default());
            self.line(level, format_args!("label {} {text}{value}", label.name));
        }
        for meter in &signals.meters {
            let value = if meter.value == meter.min {
                String::new()
            } else {
                meter.value.to_string()
            };
            let value = self.comment(&value);
            self.line(
                level,
                format_args!(
                    "meter {} {} {} {}{value}",
                    meter.name, meter.min, meter.max, meter.threshold
                ),
            );
        }
        for event in &signals.events {
            let number = event
                .number
                .map_or(String::new(), |number| format!(" {number}"));
            let name = event
                .name
                .as_ref()
                .map_or(String::new(), |name| format!(" {name}"));
            let initial = if event.initial { " set" } else { "" };
            let value = match (event.value, event.initial) {
                (true, false) => self.comment("set"),
                (false, true) => self.comment("clear"),
                _ => String::new(),
            };
            self.line(level, format_args!("event{number}{name}{initial}{value}"));
        }
    }

    fn schedule(&mut self, attributes: &Attributes, level: usize) {
        let Some(schedule) = attributes.schedule() else {
            return;
        };
        for kind in [TimeKind::Time, TimeKind::Today] {
            for time in schedule.times.iter().filter(|time| time.kind == kind) {
                let free = self.free(time.slot.is_free);
                self.line(level, format_args!("{time}{free}"));
            }
        }
        for date in &schedule.dates {
            let free = self.free(date.is_free);
            self.line(level, format_args!("date {date}{free}"));
        }
        for day in &schedule.days {
            let free = self.free(day.is_free);
            let name = DAY_NAMES[usize::from(day.weekday) % 7];
            self.line(level, format_args!("day {name}{free}"));
        }
        for cron in &schedule.crons {
            let free = self.free(cron.slot.is_free);
            self.line(level, format_args!("cron {cron}{free}"));
        }
    }

    fn free(&self, is_free: bool) -> String {
        self.comment(if is_free { "free" } else { "" })
    }
}

impl Display for Late {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(time) = self.submitted {
            write!(f, " -s +{}", clock_text(i64::from(time)))?;
        }
        if let Some(time) = self.active {
            write!(f, " -a {}", clock_text(i64::from(time)))?;
        }
        if let Some((is_relative, time)) = self.complete {
            let sign = if is_relative { "+" } else { "" };
            write!(f, " -c {sign}{}", clock_text(i64::from(time)))?;
        }
        Ok(())
    }
}

impl Display for Repeat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.kind {
            RepeatKind::Integer { from, to, step } => {
                write!(f, "integer {name} {from} {to}")?;
                if *step == 1 {
                    Ok(())
                } else {
                    write!(f, " {step}")
                }
            }
            RepeatKind::Date { from, to, step } => {
                write!(f, "date {name} {} {} {step}", from.number(), to.number())
            }
            RepeatKind::DateList(dates) => {
                write!(f, "datelist {name}")?;
                dates
                    .iter()
                    .try_for_each(|date| write!(f, " \"{}\"", date.number()))
            }
            RepeatKind::Enumerated(words) => {
                write!(f, "enumerated {name}")?;
                words
                    .iter()
                    .try_for_each(|word| write!(f, " {}", double_quoted(word)))
            }
            RepeatKind::String(words) => {
                write!(f, "string {name}")?;
                words
                    .iter()
                    .try_for_each(|word| write!(f, " {}", double_quoted(word)))
            }
        }
    }
}

impl Display for InLimit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_node_only {
            f.write_str("-n ")?;
        }
        if self.is_submission_only {
            f.write_str("-s ")?;
        }
        if let Some(path) = &self.path {
            write!(f, "{path}:")?;
        }
        f.write_str(&self.name)?;
        if self.tokens == 1 {
            Ok(())
        } else {
            write!(f, " {}", self.tokens)
        }
    }
}

impl Display for Clock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_hybrid { "hybrid" } else { "real" })?;
        if let Some(date) = self.date {
            let (year, month, day) = date.civil();
            write!(f, " {day}.{month}.{year}")?;
        }
        match (self.gain, self.is_gain_in_minutes) {
            (0, false) => Ok(()),
            (gain, true) => write!(f, " +{}", clock_text(i64::from(gain / 60))),
            (gain, false) => write!(f, " {gain}"),
        }
    }
}

impl Display for AutoCancel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(minutes) => write!(f, "+{}", clock_text(i64::from(*minutes))),
            Self::At(minutes) => f.write_str(&clock_text(i64::from(*minutes))),
            Self::Days(days) => write!(f, "{days}"),
        }
    }
}

impl Display for Series {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sign = if self.is_relative { "+" } else { "" };
        write!(f, "{sign}{}", clock_text(i64::from(self.start)))?;
        match self.range {
            Some((finish, step)) => {
                let (finish, step) = (i64::from(finish), i64::from(step));
                write!(f, " {} {}", clock_text(finish), clock_text(step))
            }
            None => Ok(()),
        }
    }
}

impl Display for TimeRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = match self.kind {
            TimeKind::Time => "time",
            TimeKind::Today => "today",
        };
        write!(f, "{word} {}", self.series)
    }
}

impl Display for Cron {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sets = [
            ("-w", u32::from(self.weekdays)),
            ("-d", self.days),
            ("-m", u32::from(self.months)),
        ];
        for (option, bits) in sets {
            if bits != 0 {
                let numbers = (0..32).filter(|bit| bits & (1_u32 << bit) != 0);
                let numbers: Vec<_> = numbers.map(|bit: u32| bit.to_string()).collect();
                write!(f, "{option} {} ", numbers.join(","))?;
            }
        }
        write!(f, "{}", self.series)
    }
}

impl Display for DateRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let part = |part: Option<u16>| part.map_or("*".to_owned(), |number| number.to_string());
        let (day, month) = (
            part(self.day.map(u16::from)),
            part(self.month.map(u16::from)),
        );
        write!(f, "{day}.{month}.{}", part(self.year))
    }
}
