//! Outgoing calls: sent now, or once there is a connection and capacity.

use std::time::{Duration, Instant};

use super::connect::ensure_up;
use crate::{
    connection::{CallOptions, CallOutcome, Connection, NotSent, Reply},
    error::{ErrorCode, RpcError},
    in_flight::after,
    wire::{CallType, Header, Marshal, Operation, Raw},
};

impl CallOptions {
    pub(super) fn timeout(&self, connection: &Connection) -> Duration {
        self.timeout.unwrap_or(connection.options().timeout)
    }
}

/// Sends a twoway call now, if there are a connection and capacity. The outcome
/// is under the returned sequence in the connection's pending calls.
pub(super) fn send(
    connection: &Connection,
    operation: &Operation,
    options: &CallOptions,
    deadline: Instant,
    params: impl Marshal,
) -> Result<u32, NotSent> {
    let inner = &connection.inner;
    let entered = inner.calls.enter(deadline).ok_or(NotSent::Later)?;
    let (ifidx, opidx) = (operation.ifidx(), operation.opidx());
    let header = Header::call(CallType::TWOWAY, entered.sequence, ifidx, opidx);
    let sent = inner
        .channel
        .send_call(header, options, entered.is_alone, deadline, params);
    match sent {
        Ok(()) => Ok(entered.sequence),
        Err(error) => {
            inner.calls.forget(entered.sequence);
            Err(error)
        }
    }
}

/// Sends a twoway call that could not be sent at once; `params` are marshalled.
pub(super) async fn send_later(
    connection: Connection,
    operation: Operation,
    options: CallOptions,
    deadline: Instant,
    params: Vec<u8>,
) -> Result<u32, RpcError> {
    loop {
        match send(&connection, &operation, &options, deadline, Raw(&params)) {
            Ok(sequence) => return Ok(sequence),
            Err(NotSent::Never(error)) => return Err(error),
            Err(NotSent::Later) => {
                let calls = connection.inner.calls.capacity();
                capacity(&connection, deadline, calls).await?;
            }
        }
    }
}

/// Sends a oneway call. Waits only if there is no connection or no capacity, or
/// for the confirmation of a durable queue.
pub(super) async fn send_oneway(
    connection: &Connection,
    operation: &Operation,
    options: &CallOptions,
    params: impl Marshal,
) -> Result<(), RpcError> {
    // The sequence of a oneway call means nothing; existing clients send one.
    let header = Header::call(CallType::ONEWAY, 0, operation.ifidx(), operation.opidx());
    let timeout = options.timeout(connection);
    let mut deadline = None;
    loop {
        let channel = &connection.inner.channel;
        match channel.send_oneway(header, options, timeout, &params).await {
            Ok(()) => return Ok(()),
            Err(NotSent::Never(error)) => return Err(error),
            Err(NotSent::Later) => {
                let deadline = *deadline.get_or_insert_with(|| after(Instant::now(), timeout));
                capacity(connection, deadline, std::future::ready(())).await?;
            }
        }
    }
}

/// Waits until a call may be tried again: for a connection, for capacity in its
/// send buffer, and for `calls`.
async fn capacity(
    connection: &Connection,
    deadline: Instant,
    calls: impl Future<Output = ()>,
) -> Result<(), RpcError> {
    let inner = &connection.inner;
    if inner.channel.is_stream() {
        ensure_up(connection, deadline).await?;
    }
    let waiting = async {
        inner.channel.capacity().await;
        calls.await;
    };
    tokio::time::timeout_at(deadline.into(), waiting)
        .await
        .map_err(|_| {
            RpcError::new(
                ErrorCode::SendFailed,
                "the send buffer was full until the deadline",
            )
        })
}

/// The RETURN behind an outcome.
pub(super) fn reply_of(outcome: CallOutcome, timeout: Duration) -> Result<Reply, RpcError> {
    match outcome {
        CallOutcome::Returned(reply) => Ok(reply),
        CallOutcome::TimedOut => Err(RpcError::new(
            ErrorCode::Timeout,
            format!("no answer within {timeout:?}"),
        )),
        CallOutcome::Failed(code, text) => Err(RpcError::new(code, text)),
        CallOutcome::Lost(reason) => {
            let text = format!("the connection ended before the answer came: {reason}");
            Err(RpcError::new(ErrorCode::ConnectionLost, text))
        }
    }
}
