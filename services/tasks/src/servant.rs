//! Serves a queue to workers and clients of other processes.

use std::time::Duration;

use tce_runtime::{Context, ErrorCode, Fault};

use crate::{
    idl::tasks::{Lease, Queue as QueueInterface, Record, Task},
    model::{AbortAnswer, FinishAnswer, Status},
    queue::{LEASE_MS, Queue, QueueError},
};

/// The longest wait of one call; clients that wait longer call again.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(20);
/// The code of a call about a task without a record.
pub(crate) const NOT_FOUND: ErrorCode = ErrorCode::Other(65_010_404);
/// The code of a task that breaks a rule.
pub(crate) const REFUSED: ErrorCode = ErrorCode::Other(65_010_400);

/// Implements `tasks::Queue` on the queue of this process.
#[derive(Debug)]
pub(crate) struct ServedQueue(pub(crate) Queue);

/// The caller reads the text: it holds no internals but the path of the file.
fn told(error: &QueueError) -> Fault {
    let code = match error {
        QueueError::Refused(_) => REFUSED,
        QueueError::NotFound(_) => NOT_FOUND,
        QueueError::Store(_) | QueueError::Remote(_) => ErrorCode::RemoteException,
    };
    Fault::new(code, error.to_string())
}

fn wait(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(MAX_WAIT)
}

fn count(limit: i32) -> usize {
    usize::try_from(limit).unwrap_or(0)
}

/// The text of an answer to an abort.
fn abort_text(answer: AbortAnswer) -> String {
    match answer {
        AbortAnswer::Done => "done".to_owned(),
        AbortAnswer::Requested => "requested".to_owned(),
        AbortAnswer::Finished(status) => format!("finished {}", status.number()),
    }
}

/// Reads the text of an answer to an abort.
pub(crate) fn parse_abort(text: &str) -> Option<AbortAnswer> {
    match text {
        "done" => Some(AbortAnswer::Done),
        "requested" => Some(AbortAnswer::Requested),
        text => {
            let number = text.strip_prefix("finished ")?.parse().ok()?;
            Status::from_number(number).map(AbortAnswer::Finished)
        }
    }
}

impl QueueInterface for ServedQueue {
    async fn send(&self, task: Task, _: &Context) -> Result<String, Fault> {
        self.0.send(task).await.map_err(|error| told(&error))
    }

    async fn result(
        &self,
        id: String,
        wait_ms: i32,
        finished: bool,
        _: &Context,
    ) -> Result<Record, Fault> {
        self.0
            .result(&id, wait(wait_ms), finished)
            .await
            .map_err(|error| told(&error))
    }

    async fn abort(&self, id: String, expires_ms: i64, _: &Context) -> Result<String, Fault> {
        self.0
            .abort(&id, expires_ms)
            .await
            .map(abort_text)
            .map_err(|error| told(&error))
    }

    async fn list(
        &self,
        group: String,
        status: i32,
        after: String,
        limit: i32,
        _: &Context,
    ) -> Result<Vec<Record>, Fault> {
        let status = u8::try_from(status).ok();
        self.0
            .list(&group, status, &after, count(limit))
            .map_err(|error| told(&error))
    }

    async fn stats(
        &self,
        group: String,
        _: &Context,
    ) -> Result<std::collections::BTreeMap<String, String>, Fault> {
        let counts = self.0.stats(&group).map_err(|error| told(&error))?;
        let counts = counts.into_iter();
        Ok(counts
            .map(|(state, count)| (state, count.to_string()))
            .collect())
    }

    async fn requeue_dead(&self, ids: Vec<String>, _: &Context) -> Result<i32, Fault> {
        let mut requeued = 0;
        for id in ids {
            requeued += i32::from(
                self.0
                    .requeue_dead(&id)
                    .await
                    .map_err(|error| told(&error))?,
            );
        }
        Ok(requeued)
    }

    async fn lease(
        &self,
        _worker: String,
        group: String,
        max: i32,
        wait_ms: i32,
        _: &Context,
    ) -> Result<Vec<Lease>, Fault> {
        let leased = self.0.lease(&group, count(max), wait(wait_ms), LEASE_MS);
        leased.await.map_err(|error| told(&error))
    }

    async fn extend(
        &self,
        lease: Lease,
        percent: i32,
        note: String,
        _: &Context,
    ) -> Result<bool, Fault> {
        self.0
            .extend(lease, percent, note)
            .await
            .map_err(|error| told(&error))
    }

    async fn finish(&self, lease: Lease, outcome: Record, _: &Context) -> Result<String, Fault> {
        let answer = self
            .0
            .finish(lease, outcome)
            .await
            .map_err(|error| told(&error))?;
        Ok(match answer {
            FinishAnswer::Stale => "stale".to_owned(),
            FinishAnswer::Ended | FinishAnswer::Again => "stored".to_owned(),
        })
    }
}
