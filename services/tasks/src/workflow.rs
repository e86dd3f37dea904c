//! Sends workflows: chains of operations under one id.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use crate::{
    client::{JSON, NO_ARGUMENTS, SendError, TaskClient, TaskCtl, body},
    model::{TaskOptions, WorkflowStep},
};

/// A chain of operations, each of which has the result of the one before as its argument, before it is
/// sent.
#[derive(Debug)]
#[must_use = "`done` sends it"]
pub struct Workflow {
    client: TaskClient,
    steps: Vec<Step>,
    /// A setting came before the first step.
    has_stray_setting: bool,
}

#[derive(Debug)]
struct Step {
    group: String,
    operation: String,
    body: Result<Vec<u8>, SendError>,
    /// With the settings of the step.
    client: TaskClient,
}

impl TaskClient {
    /// A workflow without steps. Each step has settings of its own, which begin with the defaults: the
    /// client must have none.
    ///
    /// ```no_run
    /// # async fn example(client: tce_tasks::TaskClient) -> Result<(), tce_tasks::SendError> {
    /// use std::time::Duration;
    /// use tce_tasks::TaskCtl;
    ///
    /// let id = client
    ///     .workflow()
    ///     .send("group1", "add", (1, 2))
    ///     .set_task_ctl(TaskCtl::RunAfter(Duration::from_secs(2)))
    ///     .send("group1", "sq", ())
    ///     .done()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn workflow(&self) -> Workflow {
        Workflow {
            client: self.without_settings(),
            steps: Vec::new(),
            has_stray_setting: self.run_after().is_some()
                || *self.options() != TaskOptions::default(),
        }
    }
}

fn wrong(text: impl Into<String>) -> SendError {
    SendError::Workflow(text.into())
}

impl Workflow {
    /// Adds a step. The arguments of the first one are a tuple, those of a later one `()`: it has the
    /// result of the step before as its only argument or, if that is a struct and the operation has as
    /// many parameters as members, its members as arguments.
    pub fn send(mut self, group: &str, operation: &str, arguments: impl Serialize) -> Self {
        self.steps.push(Step {
            group: group.to_owned(),
            operation: operation.to_owned(),
            body: body(arguments),
            client: self.client.clone(),
        });
        self
    }

    /// A setting of the step that was added last. `RunAfter` of a later step is the time after the end
    /// of the step before; `RunAt` and `Unique` are for the first step only.
    pub fn set_task_ctl(mut self, ctl: TaskCtl) -> Self {
        match self.steps.last_mut() {
            Some(step) => step.client = step.client.set_task_ctl(ctl),
            None => self.has_stray_setting = true,
        }
        self
    }

    /// Sends the workflow; it is stored when this returns its id.
    ///
    /// # Errors
    /// It has no step or more than 100, a later step has arguments, `RunAt` or `Unique`, a setting came
    /// before the first step, or as [`TaskClient::send`].
    pub async fn done(self) -> Result<String, SendError> {
        let id = Uuid::now_v7().to_string();
        self.done_with_id(&id).await
    }

    /// Sends the workflow with an id of the sender's, as [`TaskClient::send_with_id`].
    ///
    /// # Errors
    /// As [`done`](Self::done).
    pub async fn done_with_id(self, id: &str) -> Result<String, SendError> {
        if self.has_stray_setting {
            return Err(wrong(
                "a setting of a workflow comes after the `send` of its step",
            ));
        }
        let mut all = Vec::new();
        let mut later = self.steps.into_iter();
        let first = later
            .next()
            .ok_or_else(|| wrong("the workflow has no step"))?;
        all.push(WorkflowStep {
            group: first.group.clone(),
            operation: first.operation.clone(),
            run_after_ms: 0,
            options: BTreeMap::new(),
        });
        for step in later {
            all.push(step.later(all.len() + 1)?);
        }
        let mut options = first.client.options().clone();
        if all.len() > 1 {
            options.steps = all;
        }
        let body = (JSON, first.body?);
        let sent = first
            .client
            .send_body(id, &first.group, &first.operation, body, options);
        sent.await
    }
}

impl Step {
    /// The step with this number, which is not the first one.
    fn later(self, number: usize) -> Result<WorkflowStep, SendError> {
        let operation = &self.operation;
        let refused = |what: &str| Err(wrong(format!("step {number} (`{operation}`): {what}")));
        if self.body? != NO_ARGUMENTS {
            return refused("its argument is the result of the step before: expected ()");
        }
        let options = self.client.options();
        if options.run_at_ms != 0 {
            return refused("`RunAt` is for the first step only: expected `RunAfter`");
        }
        if options.unique.is_some() {
            return refused("`Unique` is for the first step only");
        }
        let pause = self.client.run_after().unwrap_or_default();
        let mut pairs = options.to_pairs();
        pairs.remove("run_at");
        Ok(WorkflowStep {
            group: self.group,
            operation: self.operation,
            run_after_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            options: pairs,
        })
    }
}
