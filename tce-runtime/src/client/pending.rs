//! A twoway call whose RETURN is awaited.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use super::call::reply_of;
use crate::{
    connection::{Connection, Reply},
    error::{ErrorCode, RpcError},
    wire::{Extra, Operation, Reader, Unmarshal, reserved},
};

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
    state: State,
    operation: Operation,
    connection: Connection,
    timeout: Duration,
    result: PhantomData<fn() -> T>,
}

pub(super) enum State {
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
        state: State,
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
        if let State::Later(later) = &mut self.state {
            self.state = match ready!(later.as_mut().poll(cx)) {
                Ok(sequence) => State::Sent(sequence),
                Err(error) => State::Over(Some(error)),
            };
        }
        let reply = match &mut self.state {
            State::Sent(sequence) => {
                let outcome = ready!(self.connection.inner.calls.poll(*sequence, cx));
                self.state = State::Over(None);
                reply_of(outcome, self.timeout)
            }
            State::Over(error) => Err(error.take().unwrap_or_else(polled_again)),
            State::Later(_) => return Poll::Pending,
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
        if let State::Sent(sequence) = self.state {
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
