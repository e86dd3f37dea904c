//! Serves a queue to workers and clients of other processes.

use std::{collections::BTreeMap, time::Duration};

use tce_runtime::{Context, ErrorCode, Fault};

use crate::{
    broker::{Broker, Filter, MAX_WAIT, NOT_FOUND, QueueError, REFUSED},
    idl::tasks::{Lease, Outcome, Queue, Record, Task},
};

/// Implements `tasks::Queue` on a queue of this process.
#[derive(Debug)]
pub(crate) struct ServedQueue {
    pub(crate) broker: Broker,
    /// How long a worker of another process has a task before it must extend its lease.
    pub(crate) lease_ms: i32,
}

/// The fault for the caller. The text names no internals but the path of the file.
fn fault(error: &QueueError) -> Fault {
    let code = match error {
        QueueError::Refused(_) | QueueError::RefusedRemotely(_) => REFUSED,
        QueueError::NotFound(_) => NOT_FOUND,
        _ => ErrorCode::RemoteException,
    };
    Fault::new(code, error.to_string())
}

fn wait(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(MAX_WAIT)
}

fn count(limit: i32) -> usize {
    usize::try_from(limit).unwrap_or(0)
}

impl Queue for ServedQueue {
    async fn send(&self, task: Task, _: &Context) -> Result<String, Fault> {
        self.broker.send(task).await.map_err(|error| fault(&error))
    }

    async fn result(
        &self,
        id: String,
        wait_ms: i32,
        finished: bool,
        _: &Context,
    ) -> Result<Record, Fault> {
        let record = self.broker.record(&id, wait(wait_ms), finished);
        record.await.map_err(|error| fault(&error))
    }

    async fn abort(&self, id: String, expires_ms: i64, _: &Context) -> Result<String, Fault> {
        let answer = self
            .broker
            .abort(&id, expires_ms)
            .await
            .map_err(|error| fault(&error))?;
        Ok(answer.to_string())
    }

    async fn list(
        &self,
        group: String,
        status: i32,
        after: String,
        limit: i32,
        _: &Context,
    ) -> Result<Vec<Record>, Fault> {
        let filter = Filter {
            group,
            status: u8::try_from(status).ok(),
            after,
            limit: count(limit),
        };
        self.broker
            .list(filter)
            .await
            .map_err(|error| fault(&error))
    }

    async fn stats(&self, group: String, _: &Context) -> Result<BTreeMap<String, i64>, Fault> {
        self.broker
            .stats(&group)
            .await
            .map_err(|error| fault(&error))
    }

    async fn requeue_dead(&self, ids: Vec<String>, _: &Context) -> Result<i32, Fault> {
        self.broker
            .requeue_dead(&ids)
            .await
            .map_err(|error| fault(&error))
    }

    async fn drop_dead(&self, ids: Vec<String>, _: &Context) -> Result<i32, Fault> {
        self.broker
            .drop_dead(&ids)
            .await
            .map_err(|error| fault(&error))
    }

    async fn lease(
        &self,
        _worker: String,
        group: String,
        max: i32,
        wait_ms: i32,
        _: &Context,
    ) -> Result<Vec<Lease>, Fault> {
        let leased = self
            .broker
            .lease(&group, count(max), wait(wait_ms), self.lease_ms);
        leased.await.map_err(|error| fault(&error))
    }

    async fn extend(
        &self,
        lease: Lease,
        percent: i32,
        note: String,
        _: &Context,
    ) -> Result<bool, Fault> {
        self.broker
            .extend(&lease, percent, &note)
            .await
            .map_err(|error| fault(&error))
    }

    async fn finish(&self, lease: Lease, outcome: Outcome, _: &Context) -> Result<String, Fault> {
        let answer = self
            .broker
            .finish(&lease, &outcome)
            .await
            .map_err(|error| fault(&error))?;
        Ok(answer.to_string())
    }
}
