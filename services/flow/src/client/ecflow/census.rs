//! What a definition holds, without a server: `--load` with `print` and `stats`.

use std::fmt::Write;

use crate::attribute::TimeKind;
use crate::def::{self, Style};
use crate::tree::{Definition, Kind, NodeDefinition, NodeId, Tree};

/// The definition as it would be printed by the server.
pub(super) fn print(definition: Definition) -> String {
    let mut tree = Tree::default();
    tree.externs = definition.externs;
    for suite in definition.suites {
        tree.attach(NodeId::ROOT, suite);
    }
    def::print(&tree, NodeId::ROOT, Style::Definition)
}

/// How many nodes and attributes of each kind there are.
pub(super) fn census(definition: &Definition) -> String {
    let mut nodes = Vec::new();
    let mut open: Vec<_> = definition.suites.iter().collect();
    while let Some(node) = open.pop() {
        open.extend(&node.children);
        nodes.push(node);
    }
    let kind = |kind| nodes.iter().filter(|node| node.kind == kind).count();
    let sum = |count: fn(&NodeDefinition) -> usize| nodes.iter().map(|node| count(node)).sum();
    let groups: [&[(&str, usize)]; 5] = [
        &[
            ("Nodes", nodes.len()),
            ("Suites", kind(Kind::Suite)),
            ("Family", kind(Kind::Family)),
            ("Task", kind(Kind::Task)),
        ],
        &[
            ("vars", sum(|node| node.attributes.variables.len())),
            (
                "triggers",
                sum(|node| usize::from(node.attributes.trigger.is_some())),
            ),
            (
                "complete triggers",
                sum(|node| usize::from(node.attributes.complete.is_some())),
            ),
            (
                "events",
                sum(|node| node.attributes.signals().map_or(0, |all| all.events.len())),
            ),
            (
                "labels",
                sum(|node| node.attributes.signals().map_or(0, |all| all.labels.len())),
            ),
            (
                "meters",
                sum(|node| node.attributes.signals().map_or(0, |all| all.meters.len())),
            ),
        ],
        &[
            ("times", sum(|node| times(node, TimeKind::Time))),
            ("todays", sum(|node| times(node, TimeKind::Today))),
            (
                "crons",
                sum(|node| node.attributes.schedule().map_or(0, |all| all.crons.len())),
            ),
            (
                "dates",
                sum(|node| node.attributes.schedule().map_or(0, |all| all.dates.len())),
            ),
            (
                "days",
                sum(|node| node.attributes.schedule().map_or(0, |all| all.days.len())),
            ),
        ],
        &[
            ("late", sum(|node| policies(node).0)),
            ("inlimits", sum(|node| node.attributes.inlimits().len())),
            ("limits", sum(|node| node.attributes.limits().len())),
            (
                "repeats",
                sum(|node| usize::from(node.attributes.repeat.is_some())),
            ),
            ("zombies", sum(|node| policies(node).2)),
        ],
        &[("auto_cancel", sum(|node| policies(node).1))],
    ];
    let mut text = "Definition statistics\n".to_owned();
    for (at, group) in groups.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        for (name, count) in *group {
            _ = writeln!(text, "{name:20}{count}");
        }
    }
    text
}

fn times(node: &NodeDefinition, kind: TimeKind) -> usize {
    let times = node.attributes.schedule().map_or(&[][..], |all| &all.times);
    times.iter().filter(|time| time.kind == kind).count()
}

/// Whether a node has a late and an autocancel, and how many policies of zombies.
fn policies(node: &NodeDefinition) -> (usize, usize, usize) {
    node.attributes.policies().map_or((0, 0, 0), |all| {
        let late = usize::from(all.late.is_some());
        (
            late,
            usize::from(all.auto_cancel.is_some()),
            all.zombies.len(),
        )
    })
}
