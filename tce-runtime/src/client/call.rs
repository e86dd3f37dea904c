//! Sends calls, and waits where there is no room or no connection.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;

use super::connect::ensure_up;
use crate::{
    connection::{
        CallOutcome, Completion, Connection, FlushPolicy, OutgoingMessage, PushError, QueueChannel,
        Reply, TooLarge, after,
    },
    error::{ErrorCode, RpcError},
    wire::{CallType, Extra, Header, Marshal, Operation, Raw, reserved},
};

/// What a proxy adds to each of its calls.
#[derive(Debug, Clone, Default)]
pub(super) struct CallOptions {
    pub(super) timeout: Option<Duration>,
    pub(super) linger: Option<Duration>,
    pub(super) extra: Extra,
}

impl CallOptions {
    pub(super) fn timeout(&self, connection: &Connection) -> Duration {
        self.timeout.unwrap_or(connection.options().timeout)
    }
}

/// Why a call was not sent.
pub(super) enum NotSent {
    /// It may be sent later.
    Yet,
    /// It never can be.
    Ever(RpcError),
}

/// Sends a twoway call now, if there is room and a connection. Its caller
/// takes the outcome by the sequence, or forgets it.
pub(super) fn send(
    connection: &Connection,
    operation: &Operation,
    options: &CallOptions,
    deadline: Instant,
    params: impl Marshal,
) -> Result<u32, NotSent> {
    let calls = &connection.inner.calls;
    let entered = calls.enter(deadline).ok_or(NotSent::Yet)?;
    let (ifidx, opidx) = (operation.ifidx(), operation.opidx());
    let header = Header::call(CallType::TWOWAY, entered.sequence, ifidx, opidx);
    let sent = match &connection.inner.queue {
        Some(link) => send_by_queue(connection, link, header, options, deadline, params),
        None => send_on_stream(connection, entered.alone, header, options, params),
    };
    if sent.is_err() {
        calls.forget(entered.sequence);
    }
    sent.map(|()| entered.sequence)
}

fn send_on_stream(
    connection: &Connection,
    is_alone: bool,
    header: Header,
    options: &CallOptions,
    params: impl Marshal,
) -> Result<(), NotSent> {
    let leave = if is_alone {
        FlushPolicy::Immediate
    } else {
        FlushPolicy::Batched
    };
    let appended = connection
        .inner
        .write_buffer
        .append(leave, |out, is_first| {
            encode(connection, out, header, options, is_first, params)
        });
    match appended {
        Ok(encoded) => encoded.map_err(|error| NotSent::Ever(too_large(error))),
        Err(_) => Err(NotSent::Yet),
    }
}

fn send_by_queue(
    connection: &Connection,
    link: &QueueChannel,
    header: Header,
    options: &CallOptions,
    deadline: Instant,
    params: impl Marshal,
) -> Result<(), NotSent> {
    if link.returns_by.is_none() {
        return Err(NotSent::Ever(no_way_back()));
    }
    let body =
        encode_for_queue(connection, link, header, options, params).map_err(NotSent::Ever)?;
    let message = outgoing(
        link,
        body,
        Some(deadline),
        Completion::Call(header.sequence),
    );
    match link.publish_queue.push(message) {
        Ok(()) => Ok(()),
        Err(PushError::Full) => Err(NotSent::Yet),
        Err(PushError::Disconnected) => Err(NotSent::Ever(link.publish_queue.absence())),
    }
}

fn no_way_back() -> RpcError {
    RpcError::new(
        ErrorCode::SendFailed,
        "no endpoint takes the RETURN; call oneway, or name one in `endpoint_pairs`",
    )
}

fn encode_for_queue(
    connection: &Connection,
    link: &QueueChannel,
    header: Header,
    options: &CallOptions,
    params: impl Marshal,
) -> Result<Vec<u8>, RpcError> {
    let mut extra = options.extra.clone();
    if let Some(returns_by) = &link.returns_by {
        extra.set(reserved::MQ_RETURN, &**returns_by);
    }
    if let Some(linger) = options.linger {
        extra.set(reserved::LINGER_TIME, unix_seconds_in(linger).to_string());
    }
    let mut body = Vec::new();
    connection
        .inner
        .encode(&mut body, header, &extra, params)
        .map_err(too_large)?;
    Ok(body)
}

/// Unix time in whole seconds, after at least `time`.
fn unix_seconds_in(time: Duration) -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    now.saturating_add(time).as_secs().saturating_add(1)
}

fn outgoing(
    link: &QueueChannel,
    body: Vec<u8>,
    expires_at: Option<Instant>,
    completion: Completion,
) -> OutgoingMessage {
    OutgoingMessage {
        body,
        queue: link.queue.clone(),
        expires_at,
        completion,
    }
}

fn encode(
    connection: &Connection,
    out: &mut Vec<u8>,
    header: Header,
    options: &CallOptions,
    is_first: bool,
    params: impl Marshal,
) -> Result<(), TooLarge> {
    let inner = &connection.inner;
    if is_first && !inner.credentials.is_empty() {
        let mut extra = inner.credentials.clone();
        extra.extend(options.extra.iter());
        return inner.encode(out, header, &extra, params);
    }
    inner.encode(out, header, &options.extra, params)
}

/// Sends a twoway call that could not be sent at once, when it can be; its
/// parameters are marshalled already.
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
            Err(NotSent::Ever(error)) => return Err(error),
            Err(NotSent::Yet) => {
                room(&connection, deadline, || connection.inner.calls.capacity()).await?;
            }
        }
    }
}

/// Sends a oneway call; waits only where there is no room or no connection.
pub(super) async fn send_oneway(
    connection: &Connection,
    operation: &Operation,
    options: &CallOptions,
    params: impl Marshal,
) -> Result<(), RpcError> {
    if let Some(link) = &connection.inner.queue {
        return send_oneway_by_queue(connection, link, operation, options, params).await;
    }
    let write_buffer = &connection.inner.write_buffer;
    // Nobody answers: any sequence does, and existing clients send one.
    let header = Header::call(CallType::ONEWAY, 0, operation.ifidx(), operation.opidx());
    loop {
        let appended = write_buffer.append(FlushPolicy::WhenFull, |out, is_first| {
            encode(connection, out, header, options, is_first, &params)
        });
        match appended {
            Ok(encoded) => return encoded.map_err(too_large),
            Err(PushError::Full | PushError::Disconnected) => {
                let deadline = after(Instant::now(), options.timeout(connection));
                room(connection, deadline, || std::future::ready(())).await?;
            }
        }
    }
}

/// Sends a oneway call to a queue. One that is to survive the broker is done
/// when the broker has it, and is sent again until then; its caller hears no
/// more than that the time was too short.
async fn send_oneway_by_queue(
    connection: &Connection,
    link: &QueueChannel,
    operation: &Operation,
    options: &CallOptions,
    params: impl Marshal,
) -> Result<(), RpcError> {
    let deadline = after(Instant::now(), options.timeout(connection));
    let header = Header::call(CallType::ONEWAY, 0, operation.ifidx(), operation.opidx());
    let body = encode_for_queue(connection, link, header, options, params)?;
    let late = |_| {
        RpcError::new(
            ErrorCode::SendFailed,
            "the broker did not confirm the message in time",
        )
    };
    let sending = async {
        link.publish_queue.capacity().await;
        let (settled, confirmation) = oneshot::channel();
        let completion = if link.is_confirmed {
            Completion::Confirmed(settled)
        } else {
            Completion::Unconfirmed
        };
        let pushed = link
            .publish_queue
            .push_anyway(outgoing(link, body, None, completion));
        pushed.map_err(|_| link.publish_queue.absence())?;
        if link.is_confirmed {
            return confirmation
                .await
                .unwrap_or_else(|_| Err(link.publish_queue.absence()));
        }
        Ok(())
    };
    tokio::time::timeout_at(deadline.into(), sending)
        .await
        .map_err(late)?
}

/// Waits until a call may be tried again.
async fn room<F: Future<Output = ()>>(
    connection: &Connection,
    deadline: Instant,
    place: impl FnOnce() -> F,
) -> Result<(), RpcError> {
    let inner = &connection.inner;
    if inner.queue.is_none() {
        ensure_up(connection, deadline).await?;
    }
    let room = async {
        match &inner.queue {
            Some(link) => link.publish_queue.capacity().await,
            None => inner.write_buffer.capacity().await,
        }
        place().await;
    };
    tokio::time::timeout_at(deadline.into(), room)
        .await
        .map_err(|_| {
            RpcError::new(
                ErrorCode::SendFailed,
                "no more bytes were taken until the deadline",
            )
        })
}

fn too_large(error: TooLarge) -> RpcError {
    RpcError::new(ErrorCode::SendFailed, error.to_string()).caused_by(error)
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
