//! Outgoing calls: sent now, or once there is a connection and capacity; then
//! awaited, and their results decoded.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use super::connect::ensure_up;
use crate::{
    connection::{CallOptions, CallOutcome, Connection, NotSent, Reply},
    error::{ErrorCode, RpcError},
    in_flight::after,
    wire::{CallType, Extra, Header, Marshal, Operation, Raw, Reader, Unmarshal, reserved},
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

type Later = Pin<Box<dyn Future<Output = Result<u32, RpcError>> + Send>>;

/// A twoway call, as proxies return it: a future of its result.
///
/// The call is sent when the proxy's method is called, before this is first
/// polled, unlike a lazy future. So calls run at the same time without
/// `join!`, in the order in which the methods were called:
///
/// ```
/// # use tce_runtime::{Pending, RpcError};
/// # async fn both(echo: impl Fn(&str) -> Pending<String>) -> Result<(), RpcError> {
/// let first = echo("first");
/// let second = echo("second");
/// println!("{} {}", first.await?, second.await?);
/// # Ok(())
/// # }
/// ```
///
/// A call that finds no connection, or a full write buffer, is sent while it is
/// awaited. The timeout of a call starts when the method is called. Dropping a
/// `Pending` discards the result; the servant runs all the same.
///
/// # Errors
/// An [`RpcError`], which names the operation and the peer, says on which side the
/// call failed and whether a retry can succeed.
#[must_use = "the call was sent, but its result is lost: await it, or call `…_oneway`"]
pub struct Pending<T> {
    state: PendingState,
    operation: Operation,
    connection: Connection,
    timeout: Duration,
    result: PhantomData<fn() -> T>,
}

pub(super) enum PendingState {
    /// Sent, with this sequence.
    Sent(u32),
    /// Waiting to be sent.
    Later(Later),
    /// Failed, or its result was taken.
    Over(Option<RpcError>),
}

/// A result with the extra of its RETURN.
#[derive(Debug, Clone, PartialEq)]
pub struct Returned<T> {
    /// The result of the operation.
    pub value: T,
    /// The entries that the servant set with
    /// [`Context::return_extra`](crate::Context::return_extra).
    pub extra: Extra,
}

impl<T> Pending<T> {
    pub(super) fn new(
        state: PendingState,
        operation: Operation,
        connection: Connection,
        timeout: Duration,
    ) -> Self {
        Self {
            state,
            operation,
            connection,
            timeout,
            result: PhantomData,
        }
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, RpcError>> {
        if let PendingState::Later(later) = &mut self.state {
            self.state = match ready!(later.as_mut().poll(cx)) {
                Ok(sequence) => PendingState::Sent(sequence),
                Err(error) => PendingState::Over(Some(error)),
            };
        }
        let reply = match &mut self.state {
            PendingState::Sent(sequence) => {
                let outcome = ready!(self.connection.inner.calls.poll(*sequence, cx));
                self.state = PendingState::Over(None);
                reply_of(outcome, self.timeout)
            }
            PendingState::Over(error) => Err(error.take().unwrap_or_else(polled_again)),
            PendingState::Later(_) => return Poll::Pending,
        };
        Poll::Ready(reply.map_err(|error| self.complete(error)))
    }

    fn complete(&self, error: RpcError) -> RpcError {
        error
            .of_operation(self.operation.name())
            .at_peer(self.connection.peer())
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        if let PendingState::Sent(sequence) = self.state {
            self.connection.inner.calls.forget(sequence);
        }
    }
}

fn polled_again() -> RpcError {
    RpcError::new(ErrorCode::SendFailed, "the result was taken before")
}

impl<T: Unmarshal> Pending<T> {
    fn poll_returned(&mut self, cx: &mut Context<'_>) -> Poll<Result<Returned<T>, RpcError>> {
        let reply = ready!(self.poll_reply(cx))?;
        Poll::Ready(self.decode(reply).map_err(|error| self.complete(error)))
    }

    fn decode(&self, reply: Reply) -> Result<Returned<T>, RpcError> {
        if reply.errcode != 0 {
            let text = reply.extra.get(reserved::ERROR).unwrap_or_default();
            return Err(RpcError::remote(ErrorCode::from_wire(reply.errcode), text));
        }
        let limits = &self.connection.options().limits;
        let value =
            T::unmarshal(&mut Reader::with_limits(&reply.result, limits)).map_err(|error| {
                RpcError::new(
                    ErrorCode::UnserializeFailed,
                    format!("the result does not decode: {error}"),
                )
                .caused_by(error)
            })?;
        Ok(Returned {
            value,
            extra: reply.extra,
        })
    }

    /// Awaits the result together with the extra of its RETURN.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn returned(mut self) -> Result<Returned<T>, RpcError> {
        std::future::poll_fn(|cx| self.poll_returned(cx)).await
    }

    /// Passes the result to `callback`, in a new task.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn on_return(self, callback: impl FnOnce(Result<T, RpcError>) + Send + 'static)
    where
        T: Send + 'static,
    {
        tokio::spawn(async move { callback(self.await) });
    }
}

impl<T: Unmarshal> Future for Pending<T> {
    type Output = Result<T, RpcError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_returned(cx).map_ok(|returned| returned.value)
    }
}

impl<T> fmt::Debug for Pending<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// The RETURN of a call, or why there is none.
fn reply_of(outcome: CallOutcome, timeout: Duration) -> Result<Reply, RpcError> {
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
