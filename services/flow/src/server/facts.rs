//! What `statistics` reports.

use std::fmt::Write;

use crate::calendar::{Date, Moment};
use crate::machine::Machine;
use crate::tree::NodeId;

use super::shared::Shared;

/// What the machine says about itself.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) state: &'static str,
    pub(crate) nodes: usize,
    pub(crate) suites: usize,
    pub(crate) zombies: usize,
    host: String,
    port: String,
}

impl Facts {
    pub(crate) fn of(machine: &Machine) -> Self {
        let tree = machine.tree();
        let variable = |name| {
            let value = tree.lookup(NodeId::ROOT, name);
            value.unwrap_or_default().into_owned()
        };
        Self {
            state: machine.server().name(),
            nodes: tree.len(),
            suites: tree[NodeId::ROOT].children().len(),
            zombies: machine.zombies().len(),
            host: variable("ECF_HOST"),
            port: variable("ECF_PORT"),
        }
    }
}

impl Shared {
    /// Two columns, as ecFlow has them.
    pub(super) fn report(&self, facts: &Facts) -> String {
        let version = concat!(
            "Ecflow version(5.9.2) tce-flow(",
            env!("CARGO_PKG_VERSION"),
            ")"
        );
        let mut text = "Server statistics\n".to_owned();
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            // Writing to a string never fails.
            let _ = writeln!(text, "   {name:<38} {value}");
        };
        line("Version", &version);
        line("Status", &facts.state);
        line("Host", &facts.host);
        line("Port", &facts.port);
        line("Up since", &date_and_time(self.started_at));
        line("Suites", &facts.suites);
        line("Nodes", &facts.nodes);
        line("Zombies", &facts.zombies);
        line("Watchers", &self.watchers.len());
        let counts = self.statistics.counts();
        line("Number of requests", &counts.values().sum::<u64>());
        for (name, count) in counts {
            line(&name, &count);
        }
        text
    }
}

fn date_and_time(moment: Moment) -> String {
    let local = moment.local();
    let (year, month, day) = Date::from_days(local.div_euclid(86_400)).civil();
    let second = local.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}
