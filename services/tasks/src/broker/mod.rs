//! Where tasks are queued, and where their records are: in a file of this process, in the process
//! behind an endpoint, or at RabbitMQ and Redis.
//!
//! A module imports only from the modules before it in this list.

mod readers;

mod embedded;

mod endpoint;

mod amqp;

use std::{collections::BTreeMap, time::Duration};

pub(crate) use amqp::AmqpQueue;
pub use amqp::{AmqpConfig, BrokerError, RecordsError};
pub(crate) use embedded::EmbeddedQueue;
pub use embedded::StoreError;
pub(crate) use endpoint::{MAX_WAIT, NOT_FOUND, REFUSED, RemoteQueue};

use crate::{
    idl::tasks::{Lease, Outcome, Record, Task},
    model::{AbortAnswer, Entry, FinishAnswer, Refusal, parse_id},
};

/// Why a queue did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// The task breaks a rule; a repetition does not help.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// No record has this id: it was never sent, or its record has expired.
    #[error("there is no task {0}")]
    NotFound(String),
    /// The file failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// RabbitMQ failed.
    #[error("{0}")]
    Broker(#[from] BrokerError),
    /// Redis failed.
    #[error("{0}")]
    Records(#[from] RecordsError),
    /// There is no store of results.
    #[error("there is no store of results: name one beside RabbitMQ, such as redis://localhost")]
    NoStore,
    /// The queue is in another process that refused the task; a repetition does not help.
    #[error("{0}")]
    RefusedRemotely(String),
    /// The queue is in another process, and the call to it failed.
    #[error("{0}")]
    Remote(String),
}

/// Which records are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this group; of all groups if it is empty.
    pub group: String,
    /// With this status; with any if it is `None`.
    pub status: Option<u8>,
    /// After this id in the order of ids; from the first one if it is empty.
    pub after: String,
    /// At most as many, and at most 1,000.
    pub limit: usize,
}

impl Filter {
    /// The id after which the list begins; `None` to begin with the first one.
    fn after(&self) -> Result<Option<u128>, Refusal> {
        match self.after.as_str() {
            "" => Ok(None),
            after => parse_id(after).map(Some),
        }
    }

    /// Whether an entry is listed, wherever the list begins.
    fn admits(&self, entry: &Entry, now: i64) -> bool {
        (self.group.is_empty() || entry.task.group == self.group)
            && self.status.is_none_or(|it| entry.record.status == it)
            && entry.is_readable(now)
    }
}

/// The most records that one call lists, and tasks that one call leases.
const MAX_ROWS: usize = 1000;

/// A queue with its records. Each variant has the same methods.
#[derive(Debug, Clone)]
pub(crate) enum Broker {
    Embedded(EmbeddedQueue),
    Endpoint(RemoteQueue),
    Amqp(AmqpQueue),
}

/// Calls a method of the queue.
macro_rules! delegate {
    ($broker:expr, $queue:ident => $call:expr) => {
        match $broker {
            Broker::Embedded($queue) => $call,
            Broker::Endpoint($queue) => $call,
            Broker::Amqp($queue) => $call,
        }
    };
}

impl Broker {
    /// Stores a task; it is safe when this returns. A second send of an id has no effect. Returns the
    /// id, or that of the task that holds the unique key.
    pub(crate) async fn send(&self, task: Task) -> Result<String, QueueError> {
        delegate!(self, queue => queue.send(task).await)
    }

    /// The record of a task, after at most `wait`: once it has ended if `finished`, else once its
    /// first attempt has begun.
    pub(crate) async fn record(
        &self,
        id: &str,
        wait: Duration,
        finished: bool,
    ) -> Result<Record, QueueError> {
        delegate!(self, queue => queue.record(id, wait, finished).await)
    }

    /// Aborts a task. The request lasts `expires_ms`, and for ever if it is negative.
    pub(crate) async fn abort(&self, id: &str, expires_ms: i64) -> Result<AbortAnswer, QueueError> {
        delegate!(self, queue => queue.abort(id, expires_ms).await)
    }

    pub(crate) async fn list(&self, filter: Filter) -> Result<Vec<Record>, QueueError> {
        delegate!(self, queue => queue.list(filter).await)
    }

    /// Numbers of the tasks of a group by state; of all groups if it is empty.
    pub(crate) async fn stats(&self, group: &str) -> Result<BTreeMap<String, i64>, QueueError> {
        delegate!(self, queue => queue.stats(group).await)
    }

    /// Queues dead tasks again. Returns how many were dead.
    pub(crate) async fn requeue_dead(&self, ids: &[String]) -> Result<i32, QueueError> {
        delegate!(self, queue => queue.requeue_dead(ids).await)
    }

    /// Removes dead tasks. Returns how many were dead.
    pub(crate) async fn drop_dead(&self, ids: &[String]) -> Result<i32, QueueError> {
        delegate!(self, queue => queue.drop_dead(ids).await)
    }

    /// Leases at most `max` tasks that are due, for `lease_ms` or, if that is 0, as long as this
    /// process; waits at most `wait` for the first one. The owner of an endpoint decides itself how
    /// long its leases last.
    pub(crate) async fn lease(
        &self,
        group: &str,
        max: usize,
        wait: Duration,
        lease_ms: i32,
    ) -> Result<Vec<Lease>, QueueError> {
        delegate!(self, queue => queue.lease(group, max, wait, lease_ms).await)
    }

    /// Extends a lease, and sets the progress unless `percent` is negative. Returns whether the
    /// attempt should go on.
    pub(crate) async fn extend(
        &self,
        lease: &Lease,
        percent: i32,
        note: &str,
    ) -> Result<bool, QueueError> {
        delegate!(self, queue => queue.extend(lease, percent, note).await)
    }

    /// Ends an attempt.
    pub(crate) async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
    ) -> Result<FinishAnswer, QueueError> {
        delegate!(self, queue => queue.finish(lease, outcome).await)
    }

    /// Stops taking tasks of a group: what was taken in advance runs elsewhere.
    pub(crate) async fn leave(&self, group: &str) {
        if let Self::Amqp(queue) = self {
            queue.leave(group).await;
        }
    }

    /// All slots of the worker of a group have been taken for some time: what was taken in advance may
    /// run elsewhere.
    pub(crate) async fn rest(&self, group: &str) {
        if let Self::Amqp(queue) = self {
            queue.rest(group).await;
        }
    }

    /// The time after which the broker gives a task that still runs to another worker.
    pub(crate) fn consumer_timeout(&self) -> Option<Duration> {
        match self {
            Self::Amqp(queue) => Some(queue.consumer_timeout()),
            Self::Embedded(_) | Self::Endpoint(_) => None,
        }
    }
}
