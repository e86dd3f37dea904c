//! The only names that generated clients of tasks may use.

use tce_runtime::wire::{Marshal, Writer};

pub use serde_json::Value;

pub use crate::{
    from_json::{FromJson, FromJsonError, Members, enum_from_json},
    tasks::Tasks,
    typed::{StepArguments, TaskCall, TaskStep},
};

/// Makes the tasks of an interface in a group.
#[derive(Debug, Clone)]
pub struct TaskSender {
    tasks: Tasks,
    group: String,
}

impl TaskSender {
    /// Tasks of a queue's group.
    pub fn new(tasks: &Tasks, group: impl Into<String>) -> Self {
        Self {
            tasks: tasks.clone(),
            group: group.into(),
        }
    }

    /// The same in another group.
    #[must_use]
    pub fn in_group(&self, group: impl Into<String>) -> Self {
        Self::new(&self.tasks, group)
    }

    /// A task of an operation by its full name, with its layout on the wire and its parameters.
    pub fn call<T>(
        &self,
        operation: &'static str,
        layout: &'static str,
        parameters: impl Marshal,
    ) -> TaskCall<T> {
        let mut body = Vec::new();
        parameters.marshal(&mut Writer::new(&mut body));
        TaskCall::new(&self.tasks, &self.group, operation, layout, body)
    }

    /// The same operation as a further step of a chain.
    pub fn step<A, T>(&self, operation: &'static str, layout: &'static str) -> TaskStep<A, T> {
        TaskStep::new(&self.tasks, &self.group, operation, layout)
    }
}
