//! Sends calls, and waits where there is no room or no connection.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::connect::ensure_up;
use crate::{
    connection::{Connection, Leave, Outcome, Refused, Reply, TooLarge},
    error::{ErrorCode, RpcError},
    wire::{CallType, Extra, Header, Marshal, Operation, Writer},
};

/// What a proxy adds to each of its calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Facets {
    pub(super) timeout: Option<Duration>,
    pub(super) extra: Option<Arc<Extra>>,
}

static NO_EXTRA: Extra = Extra::new();

impl Facets {
    pub(super) fn timeout(&self, connection: &Connection) -> Duration {
        self.timeout.unwrap_or(connection.options().timeout)
    }

    fn extra(&self) -> &Extra {
        self.extra.as_deref().unwrap_or(&NO_EXTRA)
    }
}

/// A call that has been sent; it is forgotten when this is dropped.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) connection: Connection,
    pub(super) sequence: u32,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.connection.inner.calls.forget(self.sequence);
    }
}

/// Why a call was not sent.
pub(super) enum NotSent {
    /// It may be sent later.
    Yet,
    /// It never can be.
    Ever(TooLarge),
}

/// Sends a twoway call now, if there is room and a connection.
pub(super) fn send(
    connection: &Connection,
    operation: &Operation,
    facets: &Facets,
    deadline: Instant,
    params: impl Marshal,
) -> Result<Sent, NotSent> {
    let inner = &connection.inner;
    let entered = inner.calls.enter(deadline).ok_or(NotSent::Yet)?;
    let sent = Sent {
        connection: connection.clone(),
        sequence: entered.sequence,
    };
    let leave = if entered.alone {
        Leave::Now
    } else {
        Leave::Gathered
    };
    let header = Header::call(
        CallType::TWOWAY,
        entered.sequence,
        operation.ifidx(),
        operation.opidx(),
    );
    let appended = inner.outbox.append(leave, |out, is_first| {
        encode(connection, out, header, facets, is_first, params)
    });
    match appended {
        Ok(encoded) => encoded.map_err(NotSent::Ever)?,
        Err(_) => return Err(NotSent::Yet),
    }
    if entered.is_first_deadline {
        inner.deadline_moved.notify_one();
    }
    Ok(sent)
}

fn encode(
    connection: &Connection,
    out: &mut Vec<u8>,
    header: Header,
    facets: &Facets,
    is_first: bool,
    params: impl Marshal,
) -> Result<(), TooLarge> {
    let inner = &connection.inner;
    if is_first && !inner.credentials.is_empty() {
        let mut extra = inner.credentials.clone();
        extra.extend(facets.extra().iter());
        return inner.encode(out, header, &extra, params);
    }
    inner.encode(out, header, facets.extra(), params)
}

/// Sends a twoway call that could not be sent at once, and waits for its
/// RETURN.
pub(super) async fn send_later(
    connection: Connection,
    operation: &'static Operation,
    facets: Facets,
    deadline: Instant,
    params: Marshalled,
) -> Result<Reply, RpcError> {
    let inner = &connection.inner;
    let sent = loop {
        match send(&connection, operation, &facets, deadline, &params) {
            Ok(sent) => break sent,
            Err(NotSent::Ever(error)) => return Err(too_large(error)),
            Err(NotSent::Yet) => room(&connection, deadline, || inner.calls.room()).await?,
        }
    };
    let outcome = std::future::poll_fn(|cx| inner.calls.poll(sent.sequence, cx)).await;
    reply_of(outcome, facets.timeout(&connection))
}

/// Sends a oneway call; waits only where there is no room or no connection.
pub(super) async fn send_oneway(
    connection: &Connection,
    operation: &Operation,
    facets: &Facets,
    params: impl Marshal,
) -> Result<(), RpcError> {
    let outbox = &connection.inner.outbox;
    // Nobody answers: any sequence does, and existing clients send one.
    let header = Header::call(CallType::ONEWAY, 0, operation.ifidx(), operation.opidx());
    loop {
        let appended = outbox.append(Leave::Filled, |out, is_first| {
            encode(connection, out, header, facets, is_first, &params)
        });
        match appended {
            Ok(encoded) => return encoded.map_err(too_large),
            Err(Refused::Full | Refused::Detached) => {
                let deadline = Instant::now() + facets.timeout(connection);
                room(connection, deadline, || std::future::ready(())).await?;
            }
        }
    }
}

/// Waits until a call may be tried again.
async fn room<F: Future<Output = ()>>(
    connection: &Connection,
    deadline: Instant,
    place: impl FnOnce() -> F,
) -> Result<(), RpcError> {
    ensure_up(connection, deadline).await?;
    let room = async {
        connection.inner.outbox.room().await;
        place().await;
    };
    tokio::time::timeout_at(deadline.into(), room)
        .await
        .map_err(|_| {
            RpcError::new(
                ErrorCode::SendFailed,
                "the peer took no more bytes until the deadline",
            )
        })
}

pub(super) fn too_large(error: TooLarge) -> RpcError {
    RpcError::new(ErrorCode::SendFailed, error.to_string()).caused_by(error)
}

/// The RETURN behind an outcome.
pub(super) fn reply_of(outcome: Outcome, timeout: Duration) -> Result<Reply, RpcError> {
    match outcome {
        Outcome::Returned(reply) => Ok(reply),
        Outcome::TimedOut => Err(RpcError::new(
            ErrorCode::Timeout,
            format!("no answer within {timeout:?}"),
        )),
        Outcome::Lost => Err(RpcError::new(
            ErrorCode::ConnectionLost,
            "the connection ended before the answer came",
        )),
    }
}

/// Parameters that are marshalled already.
#[derive(Debug)]
pub(super) struct Marshalled(Bytes);

impl Marshalled {
    pub(super) fn new(params: impl Marshal) -> Self {
        let mut bytes = Vec::new();
        params.marshal(&mut Writer::new(&mut bytes));
        Self(bytes.into())
    }
}

impl Marshal for Marshalled {
    fn marshal(&self, out: &mut Writer<'_>) {
        out.put(&self.0);
    }
}
