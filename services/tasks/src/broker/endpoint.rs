//! A queue of another process, behind an endpoint.

use std::{collections::BTreeMap, time::Duration};

use tce_runtime::{Communicator, ErrorCode, RpcError, TypedProxy};

use super::{Filter, QueueError};
use crate::{
    idl::tasks::{Lease, Outcome, QueuePrx, Record, Task},
    model::{AbortAnswer, FinishAnswer},
};

/// The longest wait of one call; clients that wait longer call again.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(20);
/// The code of a call about a task without a record.
pub(crate) const NOT_FOUND: ErrorCode = ErrorCode::Other(65_010_404);
/// The code of a task that breaks a rule.
pub(crate) const REFUSED: ErrorCode = ErrorCode::Other(65_010_400);

/// The time limit of a call to a queue beyond what the call waits for.
const CALL_TIME: Duration = Duration::from_secs(5);

/// The queue behind an endpoint. Clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct RemoteQueue(QueuePrx);

fn remote(error: &RpcError) -> QueueError {
    match error.code() {
        REFUSED => QueueError::RefusedRemotely(error.text().to_owned()),
        _ => QueueError::Remote(error.to_string()),
    }
}

/// The error of a call about one task.
fn about(id: &str) -> impl Fn(RpcError) -> QueueError {
    move |error| match error.code() {
        NOT_FOUND => QueueError::NotFound(id.to_owned()),
        _ => remote(&error),
    }
}

fn unknown(call: &str, answer: &str) -> QueueError {
    QueueError::Remote(format!("{call} was answered `{answer}`"))
}

fn clamped<T: TryInto<i32>>(number: T) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

impl RemoteQueue {
    /// Connects; the connection is made again when it is lost.
    pub(crate) async fn connect(endpoint: &str) -> Result<Self, QueueError> {
        let connected = QueuePrx::connect(&Communicator::new(), endpoint).await;
        Ok(Self(connected.map_err(|error| remote(&error))?))
    }

    /// The proxy for calls that wait for `wait`.
    fn waiting(&self, wait: Duration) -> QueuePrx {
        self.0.with_timeout(wait + CALL_TIME)
    }

    fn prx(&self) -> QueuePrx {
        self.waiting(Duration::ZERO)
    }

    pub(crate) async fn send(&self, task: Task) -> Result<String, QueueError> {
        let sent = self.prx().send(&task).await;
        sent.map_err(|error| remote(&error))
    }

    pub(crate) async fn record(
        &self,
        id: &str,
        wait: Duration,
        finished: bool,
    ) -> Result<Record, QueueError> {
        let wait = wait.min(MAX_WAIT);
        let called = self.waiting(wait);
        let found = called.result(id, clamped(wait.as_millis()), finished).await;
        found.map_err(about(id))
    }

    pub(crate) async fn abort(&self, id: &str, expires_ms: i64) -> Result<AbortAnswer, QueueError> {
        let aborted = self.prx().abort(id, expires_ms).await;
        let answer = aborted.map_err(about(id))?;
        AbortAnswer::parse(&answer).ok_or_else(|| unknown("abort", &answer))
    }

    pub(crate) async fn list(&self, filter: Filter) -> Result<Vec<Record>, QueueError> {
        let Filter {
            group,
            status,
            after,
            limit,
        } = filter;
        let status = status.map_or(-1, i32::from);
        let listed = self.prx().list(&group, status, &after, clamped(limit));
        listed.await.map_err(|error| remote(&error))
    }

    pub(crate) async fn stats(&self, group: &str) -> Result<BTreeMap<String, i64>, QueueError> {
        let counted = self.prx().stats(group).await;
        counted.map_err(|error| remote(&error))
    }

    pub(crate) async fn requeue_dead(&self, ids: &[String]) -> Result<i32, QueueError> {
        let requeued = self.prx().requeue_dead(ids).await;
        requeued.map_err(|error| remote(&error))
    }

    pub(crate) async fn drop_dead(&self, ids: &[String]) -> Result<i32, QueueError> {
        let dropped = self.prx().drop_dead(ids).await;
        dropped.map_err(|error| remote(&error))
    }

    pub(crate) async fn lease(
        &self,
        group: &str,
        max: usize,
        wait: Duration,
        _lease_ms: i32,
    ) -> Result<Vec<Lease>, QueueError> {
        let wait = wait.min(MAX_WAIT);
        let called = self.waiting(wait);
        let leased = called.lease("", group, clamped(max), clamped(wait.as_millis()));
        leased.await.map_err(|error| remote(&error))
    }

    pub(crate) async fn extend(
        &self,
        lease: &Lease,
        percent: i32,
        note: &str,
    ) -> Result<bool, QueueError> {
        let extended = self.prx().extend(lease, percent, note).await;
        extended.map_err(|error| remote(&error))
    }

    pub(crate) async fn finish(
        &self,
        lease: &Lease,
        outcome: &Outcome,
    ) -> Result<FinishAnswer, QueueError> {
        let finished = self.prx().finish(lease, outcome).await;
        let answer = finished.map_err(|error| remote(&error))?;
        FinishAnswer::parse(&answer).ok_or_else(|| unknown("finish", &answer))
    }
}
