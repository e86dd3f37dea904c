//! Nodes as Takler's `show` prints them.

use std::fmt::Write;

use crate::attribute::{Repeat, RepeatKind};
use crate::calendar::clock_text;
use crate::tree::{Kind, NodeId, Tree};

/// What is shown beside names, states and repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command `show`"
)]
pub struct TaklerView {
    /// Triggers and times.
    pub has_triggers: bool,
    /// Parameters, the user's and generated ones.
    pub has_parameters: bool,
    /// Limits with the tokens in use.
    pub has_limits: bool,
    /// Events with their values.
    pub has_events: bool,
    /// Meters with their values.
    pub has_meters: bool,
}

impl TaklerView {
    /// The view of a style such as `takler trigger limit`; `None` if it is another style.
    #[must_use]
    pub fn from_style(style: &str) -> Option<Self> {
        let mut words = style.split_whitespace();
        if words.next() != Some("takler") {
            return None;
        }
        let mut view = Self::default();
        for word in words {
            match word {
                "trigger" => view.has_triggers = true,
                "parameter" => view.has_parameters = true,
                "limit" => view.has_limits = true,
                "event" => view.has_events = true,
                "meter" => view.has_meters = true,
                _ => return None,
            }
        }
        Some(view)
    }
}

/// A node and all below; the server itself gives all suites. Passwords are left out.
#[must_use]
pub fn print_takler(tree: &Tree, id: NodeId, view: TaklerView) -> String {
    let mut text = String::new();
    if id == NodeId::ROOT {
        for suite in tree[id].children() {
            print_node(tree, *suite, view, 0, &mut text);
        }
    } else {
        print_node(tree, id, view, 0, &mut text);
    }
    text
}

fn print_node(tree: &Tree, id: NodeId, view: TaklerView, level: usize, text: &mut String) {
    let node = &tree[id];
    let state = node.state.name();
    let state = if node.is_suspended {
        format!("suspend ({state})")
    } else {
        state.to_owned()
    };
    _ = writeln!(text, "{:1$}|- {2} [{state}]", "", 2 * level, node.name);
    for line in attributes(tree, id, view) {
        _ = writeln!(text, "{:1$}{line}", "", 2 * level + 4);
    }
    for child in node.children() {
        print_node(tree, *child, view, level + 1, text);
    }
}

fn attributes(tree: &Tree, id: NodeId, view: TaklerView) -> Vec<String> {
    let attributes = &tree[id].attributes;
    let mut lines = Vec::new();
    if let Some(repeat) = attributes.repeat.as_deref() {
        let (from, to) = bounds(repeat);
        lines.push(format!(
            "repeat {} {} [{from}, {to}]",
            repeat.name,
            repeat.text()
        ));
    }
    if view.has_triggers {
        lines.extend(
            attributes
                .trigger
                .iter()
                .map(|trigger| format!("trigger {trigger}")),
        );
        let times = attributes.schedule().map_or(&[][..], |all| &all.times);
        lines.extend(times.iter().map(|time| format!("time {}", time.series)));
    }
    if view.has_parameters {
        let variables = attributes.variables.iter();
        lines.extend(variables.map(|one| format!("param {} '{}'", one.name, one.value)));
        let generated = generated(tree, id).into_iter();
        lines.extend(generated.map(|(name, value)| format!("# param {name} '{value}'")));
    }
    if view.has_limits {
        let limits = attributes.limits().iter();
        lines.extend(limits.map(|one| format!("limit {} [{}/{}]", one.name, one.used(), one.max)));
    }
    let Some(signals) = attributes.signals() else {
        return lines;
    };
    if view.has_events {
        lines.extend(signals.events.iter().map(|event| {
            let number = event.number.map(|number| number.to_string());
            let name = event.name.as_deref().or(number.as_deref());
            let value = if event.value { "set" } else { "unset" };
            format!("event {} [{value}]", name.unwrap_or_default())
        }));
    }
    if view.has_meters {
        lines.extend(signals.meters.iter().map(|meter| {
            format!(
                "meter {} {} {} [{}]",
                meter.name, meter.min, meter.max, meter.value
            )
        }));
    }
    lines
}

/// The first and the last value.
fn bounds(repeat: &Repeat) -> (String, String) {
    match &repeat.kind {
        RepeatKind::Integer { from, to, .. } => (from.to_string(), to.to_string()),
        RepeatKind::Date { from, to, .. } => (from.number().to_string(), to.number().to_string()),
        RepeatKind::DateList(dates) => {
            let number = |date: Option<&crate::calendar::Date>| {
                date.map_or(String::new(), |date| date.number().to_string())
            };
            (number(dates.first()), number(dates.last()))
        }
        RepeatKind::Enumerated(words) | RepeatKind::String(words) => {
            let word = |word: Option<&Box<str>>| word.map_or(String::new(), ToString::to_string);
            (word(words.first()), word(words.last()))
        }
    }
}

/// The parameters that Takler's server generates, under its names and in its formats.
fn generated(tree: &Tree, id: NodeId) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let node = &tree[id];
    if let Some(repeat) = node.attributes.repeat.as_deref() {
        found.push((repeat.name.to_string(), repeat.text()));
    }
    let names: &[&str] = match node.kind() {
        Kind::Suite => {
            let now = tree.suite_time(id);
            let (year, month, day) = now.date.civil();
            found.push(("DATE".to_owned(), format!("{year}-{month:02}-{day:02}")));
            found.push(("TIME".to_owned(), clock_text(now.minute_of_day())));
            &[]
        }
        Kind::Task => &[
            "TAKLER_SCRIPT",
            "TAKLER_JOB",
            "TAKLER_JOBOUT",
            "TASK",
            "TAKLER_NAME",
            "TAKLER_RID",
            "TAKLER_TRY_NO",
        ],
        Kind::Server | Kind::Family => &[],
    };
    for name in names {
        if node.attributes.variable(name).is_none()
            && let Some(value) = tree.variable(id, name)
        {
            found.push(((*name).to_owned(), value.into_owned()));
        }
    }
    found
}
