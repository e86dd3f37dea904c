//! Sends tasks by name, and reads their results.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    broker::QueueError,
    clock::unix_ms,
    from_json::FromJson,
    idl::tasks::{Record, Step, Task},
    model::{AbortAnswer, Backoff, Priority, Status, TaskOptions},
    tasks::Tasks,
};

/// The content type of a body that is an array of the arguments.
pub(crate) const JSON: &str = "application/json";
/// The content type of a body that is the marshalled parameters.
pub(crate) const MARSHALLED: &str = "application/x-tce";
/// The body of a task without arguments.
pub(crate) const NO_ARGUMENTS: &[u8] = b"[]";

/// A setting of the next task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskCtl {
    /// Attempts after the first one.
    RetryCount(u32),
    /// The pause before a retry.
    Backoff(Backoff),
    /// The first attempt begins after this time.
    RunAfter(Duration),
    /// The first attempt begins at this time.
    RunAt(SystemTime),
    /// No attempt begins after this time.
    ExpireTime(SystemTime),
    /// The time limit of an attempt.
    TimeLimit(Duration),
    /// How long the record is kept after the end of the task; `None`: for ever.
    ResultExpires(Option<Duration>),
    /// Which tasks of the group are taken first.
    Priority(Priority),
    /// A key that at most one task of the queue holds, from its send to its end: sending another one
    /// meanwhile returns the id of the holder.
    Unique(String),
    /// An entry of the extra that the servant sees.
    Extra(String, String),
}

/// Sends tasks with arguments that serde serializes, and reads their results.
#[derive(Debug, Clone)]
pub struct TaskClient {
    tasks: Tasks,
    options: TaskOptions,
    run_after: Option<Duration>,
}

/// Why a task was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The arguments have no JSON form.
    #[error("the arguments have no JSON form: {0}")]
    Arguments(#[from] serde_json::Error),
    /// The arguments are not a tuple or a sequence.
    #[error("the arguments must be a tuple: (12, 33), (12,), or () for none")]
    NoTuple,
    /// The workflow has a step that can't be.
    #[error("{0}")]
    Workflow(String),
    /// The queue refused the task, or failed.
    #[error("{0}")]
    Queue(#[from] QueueError),
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// The task has not come so far within the time.
    #[error("the task has not ended in time: its status is {0}")]
    Timeout(Status),
    /// No record was seen within the time.
    #[error("there is no task {0}")]
    NotFound(String),
    /// The queue failed.
    #[error("{0}")]
    Queue(QueueError),
}

/// A value of a result has another type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the result, {found}, has no {wanted} at index {index}")]
pub struct ValueError {
    index: usize,
    wanted: String,
    found: String,
}

/// Arguments, a tuple, as the body of a task.
pub(crate) fn body(arguments: impl Serialize) -> Result<Vec<u8>, SendError> {
    match serde_json::to_value(arguments)? {
        value @ Value::Array(_) => Ok(serde_json::to_vec(&value)?),
        Value::Null => Ok(NO_ARGUMENTS.to_vec()),
        _ => Err(SendError::NoTuple),
    }
}

/// The type in the content type of a result, such as `struct Both`.
pub(crate) fn result_type(content_type: &str) -> Option<&str> {
    let parameter = content_type.strip_prefix(JSON)?.strip_prefix("; type=")?;
    Some(parameter.trim_matches('"'))
}

impl Tasks {
    /// A client with default settings.
    #[must_use]
    pub fn client(&self) -> TaskClient {
        TaskClient {
            tasks: self.clone(),
            options: TaskOptions::default(),
            run_after: None,
        }
    }
}

impl TaskClient {
    /// A copy of the client with a setting; this one keeps its own.
    #[must_use]
    pub fn set_task_ctl(&self, ctl: TaskCtl) -> Self {
        let mut client = self.clone();
        let options = &mut client.options;
        match ctl {
            TaskCtl::RetryCount(retries) => options.retries = retries,
            TaskCtl::Backoff(backoff) => options.backoff = backoff,
            TaskCtl::RunAfter(pause) => client.run_after = Some(pause),
            TaskCtl::RunAt(time) => options.run_at_ms = unix_ms(time),
            TaskCtl::ExpireTime(time) => options.expires_at_ms = Some(unix_ms(time)),
            TaskCtl::TimeLimit(limit) => options.time_limit = limit,
            TaskCtl::ResultExpires(kept) => options.result_expires = kept,
            TaskCtl::Priority(priority) => options.priority = priority,
            TaskCtl::Unique(key) => options.unique = Some(key),
            TaskCtl::Extra(key, value) => {
                options.extra.insert(key, value);
            }
        }
        client
    }

    /// Sends a task; it is stored when this returns its id. `arguments` is a tuple. If another task
    /// holds the [unique key](TaskCtl::Unique), nothing is sent, and the id is that of the holder.
    ///
    /// # Errors
    /// The arguments have no JSON form, or the queue refused the task or failed.
    pub async fn send(
        &self,
        group: &str,
        operation: &str,
        arguments: impl Serialize,
    ) -> Result<String, SendError> {
        let id = Uuid::now_v7().to_string();
        self.send_with_id(&id, group, operation, arguments).await
    }

    /// Sends a task with an id of the sender's, a UUID. Sending an id again has no effect, so a send
    /// whose outcome is unknown can be repeated.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_with_id(
        &self,
        id: &str,
        group: &str,
        operation: &str,
        arguments: impl Serialize,
    ) -> Result<String, SendError> {
        let body = (JSON, body(arguments)?);
        self.send_body(id, group, operation, body, self.options.clone())
            .await
    }

    /// A client of the same queue with default settings.
    pub(crate) fn without_settings(&self) -> Self {
        self.tasks.client()
    }

    /// The settings of the client.
    pub(crate) fn options(&self) -> &TaskOptions {
        &self.options
    }

    /// The time after which the first attempt begins, if it is set.
    pub(crate) fn run_after(&self) -> Option<Duration> {
        self.run_after
    }

    /// Sends a body with its content type.
    pub(crate) async fn send_body(
        &self,
        id: &str,
        group: &str,
        operation: &str,
        (content_type, body): (&str, Vec<u8>),
        mut options: TaskOptions,
    ) -> Result<String, SendError> {
        if let Some(pause) = self.run_after {
            options.run_at_ms = unix_ms(SystemTime::now().checked_add(pause).unwrap_or(UNIX_EPOCH));
        }
        let task = Task {
            id: id.to_owned(),
            group: group.to_owned(),
            operation: operation.to_owned(),
            content_type: content_type.to_owned(),
            body,
            options: options.to_pairs(),
        };
        Ok(self.tasks.send(task).await?)
    }

    /// The result once the task has ended. `poll` is the longest time between two looks; the end is
    /// told at once.
    ///
    /// # Errors
    /// The task has not ended after `timeout`, there is no record, or the queue failed. That the task
    /// failed is no error: see [`TaskResult::is_success`].
    pub async fn get_result(
        &self,
        id: &str,
        timeout: Duration,
        poll: Duration,
    ) -> Result<TaskResult, ResultError> {
        self.wait(id, timeout, poll, true).await
    }

    /// The state once the first attempt has begun, or the result.
    ///
    /// # Errors
    /// As [`get_result`](Self::get_result).
    pub async fn get_result2(
        &self,
        id: &str,
        timeout: Duration,
        poll: Duration,
    ) -> Result<TaskResult, ResultError> {
        self.wait(id, timeout, poll, false).await
    }

    /// The present state.
    ///
    /// # Errors
    /// There is no record, or the queue failed.
    pub async fn state(&self, id: &str) -> Result<TaskResult, ResultError> {
        match self.tasks.record(id, Duration::ZERO, false).await {
            Ok(record) => Ok(TaskResult(record)),
            Err(QueueError::NotFound(id)) => Err(ResultError::NotFound(id)),
            Err(error) => Err(ResultError::Queue(error)),
        }
    }

    async fn wait(
        &self,
        id: &str,
        timeout: Duration,
        poll: Duration,
        finished: bool,
    ) -> Result<TaskResult, ResultError> {
        let deadline = Instant::now() + timeout;
        // A poll time of zero would make the loop busy.
        let poll = poll.max(Duration::from_millis(1));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let found = self.tasks.record(id, left.min(poll), finished).await;
            let is_last = Instant::now() >= deadline;
            match found {
                Ok(record) => {
                    let result = TaskResult(record);
                    if result.status().ends_wait(finished) {
                        return Ok(result);
                    }
                    if is_last {
                        return Err(ResultError::Timeout(result.status()));
                    }
                }
                Err(QueueError::NotFound(id)) if is_last => return Err(ResultError::NotFound(id)),
                Err(QueueError::NotFound(_)) => {}
                Err(error) => return Err(ResultError::Queue(error)),
            }
        }
    }

    /// Aborts a task. A task whose first attempt has not begun never runs; of another one no further
    /// attempt begins for 1 day.
    ///
    /// # Errors
    /// There is no record, or the queue failed.
    pub async fn abort(&self, id: &str) -> Result<AbortAnswer, QueueError> {
        self.tasks
            .abort(id, Some(Duration::from_secs(24 * 3600)))
            .await
    }
}

/// The state of a task, and its result if it has succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskResult(Record);

impl TaskResult {
    /// The record as the queue has it.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.0
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::from_number(self.0.status).unwrap_or(Status::Failure)
    }

    /// Whether the servant has returned.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status() == Status::Success
    }

    /// Whether the task has failed, expired or was aborted.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.is_finish() && !self.is_success()
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finish(&self) -> bool {
        self.status().is_final()
    }

    /// Retries done.
    #[must_use]
    pub fn retries(&self) -> i32 {
        self.0.retries
    }

    /// The steps of a workflow, each with its status: `waiting`, `running`, `success`, `failure`,
    /// `expired` or `abort`. Empty if the task is none.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0.steps
    }

    /// The text of the last error; empty without one.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.0.error
    }

    /// The whole result; `null` for `void` and without one.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.0.result).unwrap_or_default()
    }

    /// The type of the result in the IDL, such as `long` or `struct Both`.
    #[must_use]
    pub fn type_name(&self) -> &str {
        result_type(&self.0.content_type).unwrap_or("void")
    }

    /// The values: the members of a struct in declared order, else the one value.
    fn values(&self) -> Vec<Value> {
        match self.json() {
            Value::Object(members) if self.type_name().starts_with("struct ") => {
                members.into_iter().map(|(_, value)| value).collect()
            }
            Value::Null => Vec::new(),
            value => vec![value],
        }
    }

    /// The value at an index.
    ///
    /// # Errors
    /// There is none, or it has another type.
    pub fn get<T: DeserializeOwned>(&self, index: usize) -> Result<T, ValueError> {
        let value = self.values().into_iter().nth(index);
        let value = value.and_then(|value| serde_json::from_value(value).ok());
        value.ok_or_else(|| self.mismatch(index, std::any::type_name::<T>()))
    }

    /// All values as a tuple.
    ///
    /// # Errors
    /// Their number or a type differs.
    pub fn gets<T: DeserializeOwned>(&self) -> Result<T, ValueError> {
        let values = serde_json::from_value(Value::Array(self.values()));
        values.map_err(|_| self.mismatch(0, std::any::type_name::<T>()))
    }

    /// The integer at an index.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_int64(&self, index: usize) -> Result<i64, ValueError> {
        self.get(index)
    }

    /// The integer at an index, which is not negative.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_uint64(&self, index: usize) -> Result<u64, ValueError> {
        self.get(index)
    }

    /// The floating-point number at an index, which may be infinite or no number.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_float64(&self, index: usize) -> Result<f64, ValueError> {
        let value = self.values().into_iter().nth(index);
        let value = value.and_then(|value| f64::from_json(&value).ok());
        value.ok_or_else(|| self.mismatch(index, "f64"))
    }

    /// The boolean at an index.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_bool(&self, index: usize) -> Result<bool, ValueError> {
        self.get(index)
    }

    /// The string at an index.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_string(&self, index: usize) -> Result<String, ValueError> {
        self.get(index)
    }

    fn mismatch(&self, index: usize, wanted: &str) -> ValueError {
        ValueError {
            index,
            wanted: wanted.to_owned(),
            found: match self.is_success() {
                true => self.type_name().to_owned(),
                false => format!("of a task with the status {}", self.status()),
            },
        }
    }
}
