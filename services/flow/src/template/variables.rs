//! The variables that a task sees, at one moment.

use std::collections::BTreeMap;

use crate::calendar::clock_text;
use crate::tree::{Kind, NodeId, SERVER_VARIABLES, Tree};

/// The variables that a task sees when it is submitted. Later changes do not reach its job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables {
    values: BTreeMap<Box<str>, Value>,
    path: Box<str>,
    /// The user's ECF_SCRIPT or TAKLER_SCRIPT of the task.
    script: Option<Box<str>>,
    is_takler: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    text: Box<str>,
    /// Whether the user has set it, and not the server or a repeat.
    is_own: bool,
}

/// What the server generates for tasks beside what it shows.
const TAKLER_NAMES: [&str; 7] = [
    "TAKLER_NAME",
    "TAKLER_PASS",
    "TAKLER_TRY_NO",
    "TAKLER_RID",
    "TAKLER_JOB",
    "TAKLER_JOBOUT",
    "TAKLER_SCRIPT",
];

impl Variables {
    /// What a node sees: the nearest variable of each name, at one node the user's.
    #[must_use]
    pub fn of(tree: &Tree, node: NodeId) -> Self {
        let attributes = &tree[node].attributes;
        let ecflow = attributes.variable("ECF_SCRIPT");
        let takler = attributes.variable("TAKLER_SCRIPT");
        let is_takler = match ecflow {
            Some(path) => path.ends_with(".takler"),
            None => takler.is_some() || tree.lookup(node, "ECF_EXTN").as_deref() == Some(".takler"),
        };
        let mut variables = Self {
            values: BTreeMap::new(),
            path: tree.path(node).into(),
            script: ecflow.or(takler).map(Box::from),
            is_takler,
        };
        for (name, value) in SERVER_VARIABLES {
            variables.set(name, value, false);
        }
        let mut chain: Vec<_> = tree.upwards(node).collect();
        chain.push(NodeId::ROOT);
        for id in chain.into_iter().rev() {
            variables.add(tree, id);
        }
        variables
    }

    fn add(&mut self, tree: &Tree, id: NodeId) {
        // A repeat comes first in the list, and wins.
        for (name, value) in tree.generated_variables(id).into_iter().rev() {
            self.set(&name, &value, false);
        }
        match tree[id].kind() {
            Kind::Task => {
                for name in TAKLER_NAMES {
                    if let Some(value) = tree.variable(id, name) {
                        self.set(name, &value, false);
                    }
                }
            }
            Kind::Suite if self.is_takler => self.set_takler_time(tree, id),
            _ => {}
        }
        for variable in &tree[id].attributes.variables {
            self.set(&variable.name, &variable.value, true);
        }
    }

    /// In Takler's templates the generated DATE is `2026-11-29`, and TIME `18:21`.
    fn set_takler_time(&mut self, tree: &Tree, suite: NodeId) {
        let now = tree.suite_time(suite);
        let (year, month, day) = now.date.civil();
        let repeat = tree[suite].attributes.repeat.as_deref();
        let values = [
            ("DATE", format!("{year:04}-{month:02}-{day:02}")),
            ("TIME", clock_text(now.minute_of_day())),
        ];
        for (name, value) in values {
            if repeat.is_none_or(|repeat| &*repeat.name != name) {
                self.set(name, &value, false);
            }
        }
    }

    fn set(&mut self, name: &str, text: &str, is_own: bool) {
        let text = text.into();
        self.values.insert(name.into(), Value { text, is_own });
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| &*value.text)
    }

    /// Makes this the id of the job.
    pub fn set_rid(&mut self, rid: &str) {
        self.set("ECF_RID", rid, false);
        self.set("TAKLER_RID", rid, false);
    }

    /// Whether the user has set a variable, and not the server or a repeat.
    #[must_use]
    pub fn is_own(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value.is_own)
    }

    /// The path of the task.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the task's script, as far as its name is known, is in Takler's language.
    #[must_use]
    pub fn is_takler(&self) -> bool {
        self.is_takler
    }

    /// The user's ECF_SCRIPT or TAKLER_SCRIPT of the task.
    #[must_use]
    pub fn script(&self) -> Option<&str> {
        self.script.as_deref()
    }
}
