//! Tasks whose arguments and result have the types of the IDL: what generated clients return.

use std::{
    collections::BTreeMap,
    fmt,
    marker::PhantomData,
    time::{Duration, SystemTime},
};

use futures_util::{Stream, stream};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    broker::QueueError,
    client::{MARSHALLED, ResultError, SendError, TaskClient, TaskCtl, TaskResult},
    from_json::{FromJson, FromJsonError},
    model::{AbortAnswer, Backoff, Priority, Status, WorkflowStep},
    tasks::Tasks,
};

/// The longest time between two looks at a record; changes are told at once.
const LOOK_INTERVAL: Duration = Duration::from_secs(20);
/// How often the progress is read. It is stored at most 4 times a second.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(250);

/// A task that is not yet sent. `T` is the result of its operation.
#[must_use = "the task is sent by `send`"]
pub struct TaskCall<T> {
    client: TaskClient,
    id: Option<String>,
    group: String,
    operation: &'static str,
    layout: &'static str,
    body: Vec<u8>,
    /// The steps of a chain; the first one is the task itself.
    steps: Vec<WorkflowStep>,
    result: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for TaskCall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskCall")
            .field("group", &self.group)
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

impl<T> TaskCall<T> {
    pub(crate) fn new(
        tasks: &Tasks,
        group: &str,
        operation: &'static str,
        layout: &'static str,
        body: Vec<u8>,
    ) -> Self {
        Self {
            client: tasks.client(),
            id: None,
            group: group.to_owned(),
            operation,
            layout,
            body,
            steps: Vec::new(),
            result: PhantomData,
        }
    }

    /// Sets any setting; the last one of a kind counts.
    pub fn ctl(mut self, ctl: TaskCtl) -> Self {
        self.client = self.client.set_task_ctl(ctl);
        self
    }

    /// Attempts after the first one; 3 by default.
    pub fn retry(self, retries: u32) -> Self {
        self.ctl(TaskCtl::RetryCount(retries))
    }

    /// The pause before a retry; by default exponential from 1 s to 10 min.
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.ctl(TaskCtl::Backoff(backoff))
    }

    /// The first attempt begins after this time.
    pub fn run_after(self, pause: Duration) -> Self {
        self.ctl(TaskCtl::RunAfter(pause))
    }

    /// The first attempt begins at this time.
    pub fn run_at(self, time: SystemTime) -> Self {
        self.ctl(TaskCtl::RunAt(time))
    }

    /// No attempt begins after this time.
    pub fn expires_at(self, time: SystemTime) -> Self {
        self.ctl(TaskCtl::ExpireTime(time))
    }

    /// The time limit of an attempt; 25 min by default.
    pub fn time_limit(self, limit: Duration) -> Self {
        self.ctl(TaskCtl::TimeLimit(limit))
    }

    /// How long the result is kept after the end of the task, 1 day by default; `None`: for ever.
    pub fn result_expires(self, kept: Option<Duration>) -> Self {
        self.ctl(TaskCtl::ResultExpires(kept))
    }

    /// Adds an entry of the extra that the servant sees.
    pub fn extra(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.ctl(TaskCtl::Extra(key.into(), value.into()))
    }

    /// Which tasks of the group are taken first.
    pub fn priority(self, priority: Priority) -> Self {
        self.ctl(TaskCtl::Priority(priority))
    }

    /// A key that at most one task of the queue holds, from its send to its end; sending another one
    /// meanwhile gives the handle of the holder: see [`TaskHandle::is_existing`].
    pub fn unique(self, key: impl Into<String>) -> Self {
        self.ctl(TaskCtl::Unique(key.into()))
    }

    /// Adds a step that runs when this one has succeeded. Its arguments are the result of this one or,
    /// if that is a struct, its members. Settings are those of the first step and of the whole task,
    /// also after this call; a step has its own.
    ///
    /// ```ignore
    /// let handle = math.add(1, 2).then(math.sq_step().retry(2)).send().await?;
    /// ```
    pub fn then<A, R>(mut self, step: TaskStep<A, R>) -> TaskCall<R>
    where
        T: StepArguments<A>,
    {
        if self.steps.is_empty() {
            self.steps.push(WorkflowStep {
                group: self.group.clone(),
                operation: self.operation.to_owned(),
                run_after_ms: 0,
                options: BTreeMap::new(),
            });
        }
        self.steps.push(step.later());
        TaskCall {
            client: self.client,
            id: self.id,
            group: self.group,
            operation: self.operation,
            layout: self.layout,
            body: self.body,
            steps: self.steps,
            result: PhantomData,
        }
    }

    /// Sets the id, a UUID. Sending an id again has no effect, so a send whose outcome is unknown can
    /// be repeated.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sends the task; it is stored when this returns its handle.
    ///
    /// # Errors
    /// The queue refused the task, as too large (1 MiB) for example, or failed.
    pub async fn send(self) -> Result<TaskHandle<T>, SendError> {
        let id = self.id.unwrap_or_else(|| Uuid::now_v7().to_string());
        let mut options = self.client.options().clone();
        options.signature = Some(self.layout.to_owned());
        options.steps = self.steps;
        let body = (MARSHALLED, self.body);
        let sent = self
            .client
            .send_body(&id, &self.group, self.operation, body, options);
        let sent = sent.await?;
        Ok(TaskHandle {
            client: self.client,
            is_existing: sent != id,
            id: sent,
            result: PhantomData,
        })
    }
}

/// A result that can be the arguments of a further step, whose types are `A`: any result is the only
/// argument, and a struct also its members, one by one.
pub trait StepArguments<A> {}

impl<T> StepArguments<(T,)> for T {}

/// A further step of a chain. `A` are the types of its arguments, `T` is its result.
#[must_use = "`TaskCall::then` adds it to a chain"]
pub struct TaskStep<A, T> {
    client: TaskClient,
    group: String,
    operation: &'static str,
    layout: &'static str,
    step: PhantomData<fn(A) -> T>,
}

impl<A, T> fmt::Debug for TaskStep<A, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskStep")
            .field("group", &self.group)
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

impl<A, T> TaskStep<A, T> {
    pub(crate) fn new(
        tasks: &Tasks,
        group: &str,
        operation: &'static str,
        layout: &'static str,
    ) -> Self {
        Self {
            client: tasks.client(),
            group: group.to_owned(),
            operation,
            layout,
            step: PhantomData,
        }
    }

    fn ctl(mut self, ctl: TaskCtl) -> Self {
        self.client = self.client.set_task_ctl(ctl);
        self
    }

    /// Attempts after the first one; 3 by default.
    pub fn retry(self, retries: u32) -> Self {
        self.ctl(TaskCtl::RetryCount(retries))
    }

    /// The pause before a retry; by default exponential from 1 s to 10 min.
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.ctl(TaskCtl::Backoff(backoff))
    }

    /// The first attempt begins this time after the end of the step before.
    pub fn run_after(self, pause: Duration) -> Self {
        self.ctl(TaskCtl::RunAfter(pause))
    }

    /// No attempt begins after this time.
    pub fn expires_at(self, time: SystemTime) -> Self {
        self.ctl(TaskCtl::ExpireTime(time))
    }

    /// The time limit of an attempt; 25 min by default.
    pub fn time_limit(self, limit: Duration) -> Self {
        self.ctl(TaskCtl::TimeLimit(limit))
    }

    /// Adds an entry of the extra that the servant sees.
    pub fn extra(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.ctl(TaskCtl::Extra(key.into(), value.into()))
    }

    fn later(self) -> WorkflowStep {
        let pause = self.client.run_after().unwrap_or_default();
        let mut options = self.client.options().clone();
        options.signature = Some(self.layout.to_owned());
        let mut pairs = options.to_pairs();
        pairs.remove("run_at");
        WorkflowStep {
            group: self.group,
            operation: self.operation.to_owned(),
            run_after_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            options: pairs,
        }
    }
}

/// Why a task has no result.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The task has failed, with the text of its last error.
    #[error("the task has failed: {0}")]
    Failed(String),
    /// The task expired before an attempt began.
    #[error("the task has expired")]
    Expired,
    /// The task was aborted, or has ended itself with this text.
    #[error("the task was aborted: {0}")]
    Aborted(String),
    /// The task has not ended within the time.
    #[error("the task has not ended in time: its status is {0}")]
    Timeout(Status),
    /// No record was seen within the time.
    #[error("there is no task {0}")]
    NotFound(String),
    /// The result has another type than the handle.
    #[error("the result of the task: {0}")]
    Type(#[from] FromJsonError),
    /// The queue failed.
    #[error("{0}")]
    Queue(QueueError),
}

impl From<ResultError> for TaskError {
    fn from(error: ResultError) -> Self {
        match error {
            ResultError::Timeout(status) => Self::Timeout(status),
            ResultError::NotFound(id) => Self::NotFound(id),
            ResultError::Queue(error) => Self::Queue(error),
        }
    }
}

/// What a running task has said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The status of the task.
    pub status: Status,
    /// From 0 to 100.
    pub percent: i32,
    /// The text beside it.
    pub text: String,
}

/// A task that was sent. `T` is the result of its operation.
pub struct TaskHandle<T> {
    client: TaskClient,
    id: String,
    is_existing: bool,
    result: PhantomData<fn() -> T>,
}

impl<T> Clone for TaskHandle<T> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            id: self.id.clone(),
            is_existing: self.is_existing,
            result: PhantomData,
        }
    }
}

impl<T> fmt::Debug for TaskHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TaskHandle").field(&self.id).finish()
    }
}

impl<T: FromJson> TaskHandle<T> {
    /// The handle of a task that was sent before, maybe by another program. `T` is checked when the
    /// result is read.
    pub fn of(tasks: &Tasks, id: impl Into<String>) -> Self {
        Self {
            client: tasks.client(),
            id: id.into(),
            is_existing: true,
            result: PhantomData,
        }
    }

    /// The id of the task.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the task was there before this handle: another one had its [unique
    /// key](TaskCall::unique), or the handle was made [of an id](Self::of).
    #[must_use]
    pub fn is_existing(&self) -> bool {
        self.is_existing
    }

    /// The result once the task has ended.
    ///
    /// # Errors
    /// The task has failed, expired or was aborted; or it has not ended after `timeout`, there is no
    /// record, the result is no `T`, or the queue failed.
    pub async fn result(&self, timeout: Duration) -> Result<T, TaskError> {
        let found = self.client.get_result(&self.id, timeout, LOOK_INTERVAL);
        let found = found.await?;
        let error = || found.error().to_owned();
        match found.status() {
            Status::Success => {
                let value = serde_json::from_slice(&found.record().result);
                Ok(T::from_json(&value.unwrap_or(Value::Null))?)
            }
            Status::Expired => Err(TaskError::Expired),
            Status::Aborted => Err(TaskError::Aborted(error())),
            _ => Err(TaskError::Failed(error())),
        }
    }

    /// The present state of the task.
    ///
    /// # Errors
    /// There is no record, or the queue failed.
    pub async fn state(&self) -> Result<TaskResult, TaskError> {
        Ok(self.client.state(&self.id).await?)
    }

    /// The present status of the task.
    ///
    /// # Errors
    /// There is no record, or the queue failed.
    pub async fn status(&self) -> Result<Status, TaskError> {
        Ok(self.state().await?.status())
    }

    /// The changes of status and progress, the present ones first; the stream ends with the task. It
    /// reads the record 4 times a second.
    pub fn progress(&self) -> impl Stream<Item = Result<Progress, TaskError>> + use<'_, T> {
        stream::unfold(Some(None), async |last: Option<Option<Progress>>| {
            let last = last?;
            loop {
                let state = match self.state().await {
                    Ok(state) => state,
                    Err(error) => return Some((Err(error), None)),
                };
                let progress = Progress {
                    status: state.status(),
                    percent: state.record().percent,
                    text: state.record().note.clone(),
                };
                if last.as_ref() != Some(&progress) {
                    let goes_on = !progress.status.is_final();
                    let next = goes_on.then(|| Some(progress.clone()));
                    return Some((Ok(progress), next));
                }
                tokio::time::sleep(PROGRESS_INTERVAL).await;
            }
        })
    }

    /// Aborts the task. One whose first attempt has not begun never runs; of another one no further
    /// attempt begins for 1 day.
    ///
    /// # Errors
    /// There is no record, or the queue failed.
    pub async fn abort(&self) -> Result<AbortAnswer, QueueError> {
        self.client.abort(&self.id).await
    }
}
