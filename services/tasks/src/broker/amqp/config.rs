//! Where RabbitMQ and Redis are.

use std::{fmt, time::Duration};

/// Where tasks are queued and recorded.
#[derive(Clone, PartialEq, Eq)]
pub struct AmqpConfig {
    pub(super) uri: String,
    pub(super) store: Option<String>,
    pub(super) prefix: String,
    pub(super) consumer_timeout: Duration,
}

impl fmt::Debug for AmqpConfig {
    /// Without the URIs, which may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpConfig")
            .field("prefix", &self.prefix)
            .field("has_store", &self.store.is_some())
            .finish_non_exhaustive()
    }
}

impl AmqpConfig {
    /// A broker by its URI, `amqp://user:password@host:5672/vhost`; without a store of results.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            store: None,
            prefix: "tce.tasks.".to_owned(),
            consumer_timeout: Duration::from_secs(30 * 60),
        }
    }

    /// Keeps the records in Redis, `redis://user:password@host:6379/0`. Without it there are no
    /// results, statuses and aborts, and the broker's counter of deliveries decides when a task is
    /// dead.
    #[must_use]
    pub fn store(mut self, url: impl Into<String>) -> Self {
        self.store = Some(url.into());
        self
    }

    /// What all names at the broker and keys in Redis begin with; `tce.tasks.` by default. Queues with one
    /// prefix share one store.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The broker's `consumer_timeout`, 30 min by default: after it the broker delivers a task that
    /// still runs to a second worker. AMQP does not tell it. A worker whose time limit of an attempt is
    /// not below it does not start.
    #[must_use]
    pub fn broker_consumer_timeout(mut self, timeout: Duration) -> Self {
        self.consumer_timeout = timeout;
        self
    }
}
