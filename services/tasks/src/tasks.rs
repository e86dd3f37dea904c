//! `Tasks`: where tasks are queued.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::{
    broker::{AmqpConfig, AmqpQueue, Broker, EmbeddedQueue, Filter, QueueError, RemoteQueue},
    idl::tasks::{QueueServant, Record, Task},
    metrics,
    model::AbortAnswer,
    servant::ServedQueue,
};

/// How long a worker of another process has a task, unless said.
const LEASE: Duration = Duration::from_secs(30);

/// Where tasks are queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TasksConfig {
    /// In a file of this process.
    Embedded(PathBuf),
    /// In this process, until it ends.
    InMemory,
    /// In the process that serves this endpoint.
    Endpoint(String),
    /// At RabbitMQ, with the results in Redis.
    Amqp(AmqpConfig),
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

    /// RabbitMQ, `amqp://user:password@host:5672/vhost`, with the results in Redis,
    /// `redis://user:password@host:6379/0`. [`AmqpConfig`] has more settings.
    pub fn amqp(uri: impl Into<String>, store: impl Into<String>) -> Self {
        Self::Amqp(AmqpConfig::new(uri).store(store))
    }

    /// RabbitMQ if the text begins with `amqp://`, with the results in Redis at `store`; an endpoint
    /// if it has another scheme (`tcp://host:port`); else the path of a file.
    #[must_use]
    pub fn from_uri(uri: &str, store: Option<&str>) -> Self {
        if uri.starts_with("amqp://") {
            let config = AmqpConfig::new(uri);
            Self::Amqp(match store {
                Some(store) => config.store(store),
                None => config,
            })
        } else if uri.contains("://") {
            Self::endpoint(uri)
        } else {
            Self::embedded(uri)
        }
    }
}

/// A queue of tasks: makes clients and workers. Clones share the queue.
#[derive(Debug, Clone)]
pub struct Tasks(pub(crate) Broker);

impl Tasks {
    /// Opens the queue. Must run within a tokio runtime, which must live as long as the queue.
    ///
    /// # Errors
    /// The file can't be used, or the endpoint or broker is malformed or does not answer.
    pub async fn open(config: TasksConfig) -> Result<Self, QueueError> {
        Ok(Self(match config {
            TasksConfig::Embedded(path) => {
                Broker::Embedded(EmbeddedQueue::open(Some(&path)).await?)
            }
            TasksConfig::InMemory => Broker::Embedded(EmbeddedQueue::open(None).await?),
            TasksConfig::Endpoint(endpoint) => {
                Broker::Endpoint(RemoteQueue::connect(&endpoint).await?)
            }
            TasksConfig::Amqp(config) => Broker::Amqp(AmqpQueue::open(&config).await?),
        }))
    }

    /// The servant by which other processes use this queue: give it to an adapter. `None` if the
    /// queue is itself in another process.
    #[must_use]
    pub fn queue_servant(&self) -> Option<impl tce_runtime::Servant + use<>> {
        self.queue_servant_with_lease(LEASE)
    }

    /// As [`queue_servant`](Self::queue_servant): a worker has a task for this time, 1 s at least, and
    /// extends it three times within it; 30 s by default. After it the task of a worker that has ended
    /// or hangs runs elsewhere. Workers in Python extend it each 10 s.
    #[must_use]
    pub fn queue_servant_with_lease(
        &self,
        lease: Duration,
    ) -> Option<impl tce_runtime::Servant + use<>> {
        let lease_ms = i32::try_from(lease.as_millis()).map_or(i32::MAX, |ms| ms.max(1000));
        match &self.0 {
            Broker::Endpoint(_) => None,
            broker => Some(QueueServant::new(ServedQueue {
                broker: broker.clone(),
                lease_ms,
            })),
        }
    }

    /// Stores a task; it is safe when this returns.
    pub(crate) async fn send(&self, task: Task) -> Result<String, QueueError> {
        metrics::sent(&task);
        self.0.send(task).await
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
        self.0.record(id, wait, finished).await
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
        self.0.abort(id, expires_ms).await
    }

    /// The records that fit a filter, in the order of ids.
    ///
    /// # Errors
    /// `after` is not an id, or the queue failed.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Record>, QueueError> {
        self.0.list(filter).await
    }

    /// Numbers of the tasks of a group by state: `queued`, `delayed`, `running`, `dead`, and the
    /// final statuses. All groups if it is empty.
    ///
    /// # Errors
    /// The queue failed.
    pub async fn stats(&self, group: &str) -> Result<BTreeMap<String, i64>, QueueError> {
        self.0.stats(group).await
    }

    /// Queues dead tasks again, with a new count of attempts and deaths. Returns how many of them
    /// were dead.
    ///
    /// # Errors
    /// A text is not an id, or the queue failed.
    pub async fn requeue_dead(&self, ids: &[String]) -> Result<i32, QueueError> {
        self.0.requeue_dead(ids).await
    }

    /// Removes dead tasks. Returns how many of them were dead.
    ///
    /// # Errors
    /// A text is not an id, or the queue failed.
    pub async fn drop_dead(&self, ids: &[String]) -> Result<i32, QueueError> {
        self.0.drop_dead(ids).await
    }
}
