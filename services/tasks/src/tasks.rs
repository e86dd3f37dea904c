//! `Tasks`: a queue of this process, or of another one.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tce_runtime::{Communicator, RpcError, TypedProxy};

use crate::{
    idl::tasks::{Lease, QueuePrx, QueueServant, Record, Task},
    model::AbortAnswer,
    queue::{Queue, QueueError},
    servant::{MAX_WAIT, NOT_FOUND, ServedQueue, parse_abort},
};

/// Where tasks are queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TasksConfig {
    /// In a file of this process.
    Embedded(PathBuf),
    /// In this process, until it ends.
    InMemory,
    /// In the process that serves this endpoint.
    Endpoint(String),
}

impl TasksConfig {
    /// A file, which is created if it does not exist. No other process can open it meanwhile.
    pub fn embedded(path: impl Into<PathBuf>) -> Self {
        Self::Embedded(path.into())
    }

    /// A queue that lasts as long as the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::InMemory
    }

    /// The endpoint at which another process serves [`Tasks::queue_servant`]: `tcp://host:port`.
    pub fn endpoint(endpoint: impl Into<String>) -> Self {
        Self::Endpoint(endpoint.into())
    }

    /// An endpoint if the text has a scheme (`tcp://host:port`), else the path of a file.
    #[must_use]
    pub fn from_uri(uri: &str) -> Self {
        match uri.contains("://") {
            true => Self::endpoint(uri),
            false => Self::embedded(uri),
        }
    }
}

/// A queue of tasks: makes clients and workers. Clones share the queue.
#[derive(Debug, Clone)]
pub struct Tasks(Arc<Source>);

#[derive(Debug)]
enum Source {
    Local(Queue),
    Remote(QueuePrx),
}

/// The time limit of a call to a queue beyond what the call waits for.
const CALL_TIME: Duration = Duration::from_secs(5);

impl Tasks {
    /// Opens the queue. Must run within a tokio runtime, which must live as long as the queue.
    ///
    /// # Errors
    /// The file can't be used, or the endpoint is malformed or does not answer.
    pub async fn open(config: TasksConfig) -> Result<Self, QueueError> {
        Ok(Self(Arc::new(match config {
            TasksConfig::Embedded(path) => Source::Local(Queue::open(Some(&path)).await?),
            TasksConfig::InMemory => Source::Local(Queue::open(None).await?),
            TasksConfig::Endpoint(endpoint) => {
                let connected = QueuePrx::connect(&Communicator::new(), &endpoint).await;
                Source::Remote(connected.map_err(|error| remote(&error))?)
            }
        })))
    }

    /// The servant by which other processes use this queue: give it to an adapter. `None` if the
    /// queue is itself in another process.
    #[must_use]
    pub fn queue_servant(&self) -> Option<impl tce_runtime::Servant + use<>> {
        match &*self.0 {
            Source::Local(queue) => Some(QueueServant::new(ServedQueue(queue.clone()))),
            Source::Remote(_) => None,
        }
    }

    /// Stores a task; it is safe when this returns.
    pub(crate) async fn send(&self, task: Task) -> Result<String, QueueError> {
        match &*self.0 {
            Source::Local(queue) => queue.send(task).await,
            Source::Remote(prx) => {
                let sent = prx.with_timeout(CALL_TIME).send(&task).await;
                sent.map_err(|error| remote(&error))
            }
        }
    }

    /// The record of a task, after at most `wait`: once it has ended if `finished`, else once its
    /// first attempt has begun.
    ///
    /// # Errors
    /// There is no record, or the queue failed.
    pub async fn record(
        &self,
        id: &str,
        wait: Duration,
        finished: bool,
    ) -> Result<Record, QueueError> {
        match &*self.0 {
            Source::Local(queue) => queue.result(id, wait, finished).await,
            Source::Remote(prx) => {
                let wait = wait.min(MAX_WAIT);
                let prx = prx.with_timeout(wait + CALL_TIME);
                let found = prx.result(id, millis(wait), finished).await;
                found.map_err(|error| match error.code() {
                    NOT_FOUND => QueueError::NotFound(id.to_owned()),
                    _ => remote(&error),
                })
            }
        }
    }

    /// Aborts a task. The request lasts `expires`; `None`: for ever.
    ///
    /// # Errors
    /// There is no record, or the queue failed.
    pub async fn abort(
        &self,
        id: &str,
        expires: Option<Duration>,
    ) -> Result<AbortAnswer, QueueError> {
        let expires_ms = expires.map_or(-1, |it| i64::try_from(it.as_millis()).unwrap_or(-1));
        match &*self.0 {
            Source::Local(queue) => queue.abort(id, expires_ms).await,
            Source::Remote(prx) => {
                let aborted = prx.with_timeout(CALL_TIME).abort(id, expires_ms).await;
                let text = aborted.map_err(|error| match error.code() {
                    NOT_FOUND => QueueError::NotFound(id.to_owned()),
                    _ => remote(&error),
                })?;
                let unknown = || QueueError::Remote(format!("an abort was answered `{text}`"));
                parse_abort(&text).ok_or_else(unknown)
            }
        }
    }

    /// At most `limit` records, and at most 1,000, after the id `after` in the order of ids. An empty
    /// group stands for all groups, `None` for all statuses.
    ///
    /// # Errors
    /// `after` is not an id, or the queue failed.
    pub async fn list(
        &self,
        group: &str,
        status: Option<u8>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Record>, QueueError> {
        match &*self.0 {
            Source::Local(queue) => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                queue.list(group, status, after, limit)
            }
            Source::Remote(prx) => {
                let limit = i32::try_from(limit).unwrap_or(i32::MAX);
                let prx = prx.with_timeout(CALL_TIME);
                let listed = prx
                    .list(group, status.map_or(-1, i32::from), after, limit)
                    .await;
                listed.map_err(|error| remote(&error))
            }
        }
    }

    /// Numbers of the tasks of a group by state: `queued`, `delayed`, `running`, `dead`, and the
    /// final statuses. All groups if it is empty.
    ///
    /// # Errors
    /// The queue failed.
    pub async fn stats(&self, group: &str) -> Result<BTreeMap<String, String>, QueueError> {
        match &*self.0 {
            Source::Local(queue) => {
                let counts = queue.stats(group)?.into_iter();
                Ok(counts
                    .map(|(state, count)| (state, count.to_string()))
                    .collect())
            }
            Source::Remote(prx) => {
                let counted = prx.with_timeout(CALL_TIME).stats(group).await;
                counted.map_err(|error| remote(&error))
            }
        }
    }

    /// Queues a dead task again. Returns whether it was dead.
    ///
    /// # Errors
    /// The queue failed.
    pub async fn requeue_dead(&self, id: &str) -> Result<bool, QueueError> {
        match &*self.0 {
            Source::Local(queue) => queue.requeue_dead(id).await,
            Source::Remote(prx) => {
                let requeued = prx
                    .with_timeout(CALL_TIME)
                    .requeue_dead(&[id.to_owned()])
                    .await;
                requeued
                    .map(|count| count > 0)
                    .map_err(|error| remote(&error))
            }
        }
    }

    pub(crate) async fn lease(
        &self,
        group: &str,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Lease>, QueueError> {
        match &*self.0 {
            Source::Local(queue) => queue.lease(group, max, wait, 0).await,
            Source::Remote(prx) => {
                let max = i32::try_from(max).unwrap_or(i32::MAX);
                let wait = wait.min(MAX_WAIT);
                let prx = prx.with_timeout(wait + CALL_TIME);
                let leased = prx.lease("", group, max, millis(wait)).await;
                leased.map_err(|error| remote(&error))
            }
        }
    }

    pub(crate) async fn extend(&self, lease: &Lease) -> Result<bool, QueueError> {
        match &*self.0 {
            Source::Local(queue) => queue.extend(lease.clone(), 0, String::new()).await,
            Source::Remote(prx) => {
                let extended = prx.with_timeout(CALL_TIME).extend(lease, 0, "").await;
                extended.map_err(|error| remote(&error))
            }
        }
    }

    pub(crate) async fn finish(&self, lease: &Lease, outcome: &Record) -> Result<(), QueueError> {
        match &*self.0 {
            Source::Local(queue) => {
                queue.finish(lease.clone(), outcome.clone()).await?;
            }
            Source::Remote(prx) => {
                let finished = prx.with_timeout(CALL_TIME).finish(lease, outcome).await;
                finished.map_err(|error| remote(&error))?;
            }
        }
        Ok(())
    }
}

fn remote(error: &RpcError) -> QueueError {
    QueueError::Remote(error.to_string())
}

fn millis(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}
