//! Outgoing calls as proxies return them: awaited, and their results decoded.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use super::intercepted::{InterceptedCall, InterceptedOutcome};
use crate::{
    connection::{
        CallMode, CallOptions, CallOutcome, CallParts, Channel, Connection, LostReason, NotSent,
        QueueChannel, QueuedCall, Reply, SentCall, oneway_header,
    },
    error::{ErrorCode, RpcError},
    exception::EncodedException,
    in_flight::{after, now},
    interceptor::{Answer, ClientCall, ClientInterceptors},
    wire::{Extra, Marshal, Operation, Raw, Reader, Unmarshal, Writer, reserved, unescape_ascii},
};
use parking_lot::Mutex;

impl CallOptions {
    pub(super) fn timeout(&self, connection: &Connection) -> Duration {
        self.timeout.unwrap_or(connection.options().timeout)
    }
}

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
/// A call that finds no connection, or a full write buffer, is sent as soon as
/// possible, in order and without being polled. The timeout of a call starts when the
/// method is called. Dropping a `Pending` discards the result; the call is sent and
/// the servant runs all the same. While a connection is down, calls whose futures are
/// dropped may hold `send_buffer` bytes; further ones are dropped and counted as
/// `not_sent`.
///
/// A call that is awaited while the connection is down fails with the first attempt to
/// connect that fails. One that is not awaited waits for a connection until its
/// timeout.
///
/// # Errors
/// An [`RpcError`], which names the operation and the peer, says on which side the
/// call failed and whether a retry can succeed.
#[must_use = "the call was sent, but its result is lost: await it, or call `…_oneway`"]
pub struct Pending<T>(PendingSource<T>);

/// Where the result of a [`Pending`] comes from.
enum PendingSource<T> {
    Call(PendingCall),
    /// From a test double, or from interceptors. The mutex is for `Sync` alone: it is never
    /// locked.
    Future(Mutex<ReturnFuture<T>>),
}

type ReturnFuture<T> = Pin<Box<dyn Future<Output = Result<Returned<T>, RpcError>> + Send>>;

/// A call by a connection.
struct PendingCall {
    state: PendingState,
    operation: Operation,
    connection: Connection,
    timeout: Duration,
}

enum PendingState {
    /// Sent, with this sequence.
    Sent(u32),
    /// Waiting to be sent.
    Queued(Arc<QueuedCall>),
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

impl PendingCall {
    /// `MARSHALLED` tells the callers apart, so that those with interceptors do not keep this
    /// from being inlined for the others: 85 instructions of a call.
    #[inline]
    fn poll_reply<const MARSHALLED: bool>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Reply, RpcError>> {
        if let PendingState::Queued(call) = &self.state {
            self.state = match ready!(self.connection.poll_queued(call, cx)) {
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
            PendingState::Queued(_) => return Poll::Pending,
        };
        Poll::Ready(reply.map_err(|error| self.complete(error)))
    }

    #[cold]
    fn complete(&self, error: RpcError) -> RpcError {
        complete(error, &self.operation, &self.connection)
    }
}

impl Drop for PendingCall {
    #[inline]
    fn drop(&mut self) {
        match &self.state {
            PendingState::Sent(sequence) => self.connection.inner.calls.forget(*sequence),
            PendingState::Queued(call) => self.connection.abandon_queued(call),
            PendingState::Over(_) => {}
        }
    }
}

/// Sends a twoway call, or queues it.
pub(super) fn twoway<T>(
    connection: &Connection,
    operation: &Operation,
    options: &CallOptions,
    params: impl Marshal,
) -> Pending<T> {
    let timeout = options.timeout(connection);
    let deadline = after(now(), timeout);
    let call = twoway_until(connection, operation, options, (deadline, timeout), params);
    Pending(PendingSource::Call(call))
}

/// As [`twoway`], with a deadline, and the timeout that the error of a late call names.
#[inline(always)]
fn twoway_until(
    connection: &Connection,
    operation: &Operation,
    options: &CallOptions,
    (deadline, timeout): (Instant, Duration),
    params: impl Marshal,
) -> PendingCall {
    let call = CallParts {
        operation,
        options,
        mode: CallMode::Twoway(deadline),
    };
    PendingCall {
        state: match connection.send_or_queue(&call, params) {
            Ok(SentCall::Now(sequence)) => PendingState::Sent(sequence),
            Ok(SentCall::Queued(call)) => PendingState::Queued(call),
            Err(error) => PendingState::Over(Some(error)),
        },
        operation: *operation,
        connection: connection.clone(),
        timeout,
    }
}

/// The error that a RETURN carries.
#[cold]
pub(super) fn error_of(reply: &Reply) -> RpcError {
    let text = unescape_ascii(reply.extra.get(reserved::ERROR).unwrap_or_default());
    let error = RpcError::remote(ErrorCode::from_wire(reply.errcode), text);
    match error.code() {
        ErrorCode::RemoteException => error.with_exception(EncodedException::read(&reply.extra)),
        _ => error,
    }
}

fn polled_again() -> RpcError {
    RpcError::new(ErrorCode::SendFailed, "the result was taken before")
}

impl PendingCall {
    fn poll_returned<T: Unmarshal>(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Returned<T>, RpcError>> {
        let reply = ready!(self.poll_reply::<false>(cx))?;
        Poll::Ready(self.decode(reply).map_err(|error| self.complete(error)))
    }

    fn decode<T: Unmarshal>(&self, reply: Reply) -> Result<Returned<T>, RpcError> {
        if reply.errcode != 0 {
            return Err(error_of(&reply));
        }
        decoded(&self.connection, reply.result.as_slice(), reply.extra)
    }
}

#[inline(always)]
pub(super) fn decoded<T: Unmarshal>(
    connection: &Connection,
    result: &[u8],
    extra: Extra,
) -> Result<Returned<T>, RpcError> {
    let limits = &connection.options().limits;
    let mut result = Reader::with_limits(result, limits);
    let value = T::unmarshal(&mut result).map_err(|error| {
        RpcError::new(
            ErrorCode::UnserializeFailed,
            format!("the result does not decode: {error}"),
        )
        .caused_by(error)
    })?;
    Ok(Returned { value, extra })
}

impl<T: Unmarshal> Pending<T> {
    fn poll_returned(&mut self, cx: &mut Context<'_>) -> Poll<Result<Returned<T>, RpcError>> {
        match &mut self.0 {
            PendingSource::Call(call) => call.poll_returned(cx),
            PendingSource::Future(future) => future.get_mut().as_mut().poll(cx),
        }
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
        let operation = match &self.0 {
            PendingSource::Call(call) => Some(&call.operation),
            PendingSource::Future(_) => None,
        };
        f.debug_struct("Pending")
            .field("operation", &operation)
            .finish_non_exhaustive()
    }
}

/// What a test double returns in place of a call.
impl<T: 'static> Pending<T> {
    /// The result of an operation.
    pub fn ready(value: T) -> Self
    where
        T: Send,
    {
        Self::from_future(async { Ok(value) })
    }

    /// The error of an operation: a [`Fault`](crate::Fault) as if the servant had
    /// answered it, or an [`RpcError`].
    pub fn failed(error: impl Into<RpcError>) -> Self {
        let error = error.into();
        Self::from_future(async { Err(error) })
    }

    /// The outcome of a future, for a double that answers later. Unlike a call, the future
    /// runs while the `Pending` is awaited, and has no time limit of its own.
    pub fn from_future(future: impl Future<Output = Result<T, RpcError>> + Send + 'static) -> Self {
        let returned = async {
            let extra = Extra::new();
            future.await.map(|value| Returned { value, extra })
        };
        Self(PendingSource::Future(Mutex::new(Box::pin(returned))))
    }
}

/// The RETURN of a call, or why there is none.
#[inline(always)]
pub(super) fn reply_of(outcome: CallOutcome, timeout: Duration) -> Result<Reply, RpcError> {
    match outcome {
        CallOutcome::Returned(reply) => Ok(reply),
        CallOutcome::TimedOut => Err(RpcError::new(
            ErrorCode::Timeout,
            format!("no answer within {timeout:?}"),
        )),
        CallOutcome::Failed(code, text) => Err(RpcError::new(code, text)),
        CallOutcome::Lost(reason) => Err(match &*reason {
            LostReason::Goodbye(goodbye) => goodbye.lost_call(),
            LostReason::Ended(reason) => {
                let text = format!("the connection ended before the answer came: {reason}");
                RpcError::new(ErrorCode::ConnectionLost, text)
            }
        }),
    }
}

/// A oneway call, as proxies return it: a future that ends when the call is sent.
///
/// The call is sent when the proxy's method is called, or queued as a [`Pending`] is.
/// Over a stream it is done once it is in the write buffer; over a message queue once
/// its publish queue or, if the endpoint is durable, the broker has it. Dropping a
/// `Oneway` discards the outcome; the call is sent all the same.
///
/// # Errors
/// SENDFAILED, or the reason why there is no connection.
#[must_use = "the call was sent, but whether it failed is lost: await it"]
pub struct Oneway(OnewayState);

enum OnewayState {
    /// Sent or failed; `None` once the outcome was taken.
    Over(Option<Result<(), RpcError>>),
    Queued {
        call: Arc<QueuedCall>,
        connection: Connection,
        operation: Operation,
    },
    /// Over a message queue, or within its interceptors.
    Publishing {
        publishing: Publishing,
        /// The size of the parameters in bytes.
        size: usize,
        connection: Connection,
    },
    /// Sent by several routes.
    Several(SeveralCalls),
}

/// One call by several routes, of which one is enough.
struct SeveralCalls {
    /// `None` once it is done.
    calls: Vec<Option<Oneway>>,
    is_sent: bool,
    failure: Option<RpcError>,
}

impl SeveralCalls {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RpcError>> {
        for call in &mut self.calls {
            let Some(calling) = call else {
                continue;
            };
            if let Poll::Ready(outcome) = Pin::new(calling).poll(cx) {
                *call = None;
                match outcome {
                    Ok(()) => self.is_sent = true,
                    Err(error) => self.failure = self.failure.take().or(Some(error)),
                }
            }
        }
        match self.calls.iter().all(Option::is_none) {
            false => Poll::Pending,
            true if self.is_sent => Poll::Ready(Ok(())),
            true => Poll::Ready(self.failure.take().map_or(Ok(()), Err)),
        }
    }
}

impl Oneway {
    /// A call of a test double that counts as sent.
    pub fn ready() -> Self {
        Self(OnewayState::Over(Some(Ok(()))))
    }

    /// A call of a test double that was not sent.
    pub fn failed(error: RpcError) -> Self {
        Self(OnewayState::Over(Some(Err(error))))
    }

    /// One call by several routes. It fails if all have failed.
    pub(super) fn by_any_of(calls: Vec<Self>) -> Self {
        Self(OnewayState::Several(SeveralCalls {
            calls: calls.into_iter().map(Some).collect(),
            is_sent: false,
            failure: None,
        }))
    }
}

/// Waits for capacity of the publish queue, and for the broker's confirmation.
type Publishing = Pin<Box<dyn Future<Output = Result<(), RpcError>> + Send>>;

/// Sends a oneway call, or queues it.
pub(super) fn oneway(
    connection: &Connection,
    operation: &Operation,
    options: &CallOptions,
    params: impl Marshal,
) -> Oneway {
    let timeout = options.timeout(connection);
    if let Channel::Queue(queue) = &connection.inner.channel {
        let mut marshalled = Vec::new();
        params.marshal(&mut Writer::new(&mut marshalled));
        let size = marshalled.len();
        let publishing = Box::pin(publish(
            connection.clone(),
            queue.clone(),
            *operation,
            options.clone(),
            after(now(), timeout),
            marshalled,
        ));
        return begin_publishing(connection, publishing, size);
    }
    let call = CallParts {
        operation,
        options,
        mode: CallMode::Oneway(timeout),
    };
    Oneway(match connection.send_or_queue(&call, params) {
        Ok(SentCall::Now(_)) => OnewayState::Over(Some(Ok(()))),
        Ok(SentCall::Queued(call)) => OnewayState::Queued {
            call,
            connection: connection.clone(),
            operation: *operation,
        },
        Err(error) => OnewayState::Over(Some(Err(complete(error, operation, connection)))),
    })
}

async fn publish(
    connection: Connection,
    queue: QueueChannel,
    operation: Operation,
    options: CallOptions,
    deadline: Instant,
    params: Vec<u8>,
) -> Result<(), RpcError> {
    let header = oneway_header(&operation);
    let sent = queue.send_oneway(header, &options, deadline, Raw(&params));
    sent.await.map_err(|error| match error {
        NotSent::Never(error) => complete(error, &operation, &connection),
        NotSent::Later => RpcError::new(ErrorCode::SendFailed, "the publish queue is full"),
    })
}

/// Polls once, so that a call for which there is capacity is in the publish queue.
fn begin_publishing(connection: &Connection, mut publishing: Publishing, size: usize) -> Oneway {
    // For the timer of the deadline.
    let _runtime = connection.inner.runtime.enter();
    let poll = publishing
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    Oneway(match poll {
        Poll::Ready(outcome) => OnewayState::Over(Some(outcome)),
        Poll::Pending => OnewayState::Publishing {
            publishing,
            size,
            connection: connection.clone(),
        },
    })
}

pub(super) fn complete(
    error: RpcError,
    operation: &Operation,
    connection: &Connection,
) -> RpcError {
    error
        .of_operation(operation.name())
        .at_peer(connection.peer())
}

impl Future for Oneway {
    type Output = Result<(), RpcError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &mut self.0 {
            OnewayState::Over(outcome) => outcome.take().unwrap_or_else(|| Err(polled_again())),
            OnewayState::Queued {
                call,
                connection,
                operation,
            } => ready!(connection.poll_queued(call, cx))
                .map(drop)
                .map_err(|error| complete(error, operation, connection)),
            OnewayState::Publishing { publishing, .. } => ready!(publishing.as_mut().poll(cx)),
            OnewayState::Several(calls) => ready!(calls.poll(cx)),
        };
        self.0 = OnewayState::Over(None);
        Poll::Ready(outcome)
    }
}

impl Drop for Oneway {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.0, OnewayState::Over(None)) {
            // Each of several is dropped on its own.
            OnewayState::Over(_) | OnewayState::Several(_) => {}
            OnewayState::Queued {
                call, connection, ..
            } => connection.abandon_queued(&call),
            OnewayState::Publishing {
                publishing,
                size,
                connection,
            } => connection.finish_abandoned(size, publishing),
        }
    }
}

impl fmt::Debug for Oneway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Oneway").finish_non_exhaustive()
    }
}

/// The result of a call with interceptors.
struct InterceptedReturn<T> {
    /// `None` once it has ended.
    call: Option<Box<InterceptedCall>>,
    connection: Connection,
    operation: Operation,
    result: PhantomData<fn() -> T>,
}

impl<T: Unmarshal> Future for InterceptedReturn<T> {
    type Output = Result<Returned<T>, RpcError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(call) = &mut this.call else {
            return Poll::Ready(Err(polled_again()));
        };
        let outcome = ready!(call.poll(&this.connection, cx));
        this.call = None;
        let returned = outcome.and_then(|answer| {
            let (result, extra) = answer.into_parts();
            decoded(&this.connection, &result, extra)
        });
        Poll::Ready(returned.map_err(|error| complete(error, &this.operation, &this.connection)))
    }
}

impl<T> Drop for InterceptedReturn<T> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.abandon(&self.connection);
        }
    }
}

/// Sends a twoway call through interceptors.
pub(super) fn intercepted_twoway<T: Unmarshal + 'static>(
    connection: &Connection,
    interceptors: &ClientInterceptors,
    operation: &Operation,
    options: &CallOptions,
    params: Vec<u8>,
) -> Pending<T> {
    let timeout = options.timeout(connection);
    let deadline = after(now(), timeout);
    let (peer, extra) = (connection.peer(), options.extra.clone());
    let call = ClientCall::new(*operation, peer, false, deadline, extra);
    let size = params.len();
    let (to, options, operation) = (connection.clone(), options.clone(), *operation);
    let send = move |call: ClientCall| -> InterceptedOutcome {
        let limits = (call.deadline(), timeout);
        let options = CallOptions {
            extra: call.into_extra(),
            ..options.clone()
        };
        let call = twoway_until(&to, &operation, &options, limits, Raw(&params));
        Box::pin(call.answer())
    };
    let call = InterceptedCall::begin(connection, interceptors, call, size, Box::new(send));
    let returned = InterceptedReturn {
        call: Some(call),
        connection: connection.clone(),
        operation,
        result: PhantomData,
    };
    Pending(PendingSource::Future(Mutex::new(Box::pin(returned))))
}

impl PendingCall {
    /// Awaits the result, still marshalled.
    async fn answer(mut self) -> Result<Answer, RpcError> {
        let reply = std::future::poll_fn(|cx| self.poll_reply::<true>(cx)).await?;
        if reply.errcode != 0 {
            return Err(self.complete(error_of(&reply)));
        }
        let result = reply.result.as_slice().to_vec();
        Ok(Answer::of_marshalled(result, reply.extra))
    }
}

/// Sends a oneway call through interceptors. `send` sends it with other options.
pub(super) fn intercepted_oneway(
    connection: &Connection,
    interceptors: &ClientInterceptors,
    operation: &Operation,
    options: &CallOptions,
    params: Vec<u8>,
    send: impl Fn(&CallOptions, Raw<'_>) -> Oneway + Send + Sync + 'static,
) -> Oneway {
    let deadline = after(now(), options.timeout(connection));
    let (peer, extra) = (connection.peer(), options.extra.clone());
    let call = ClientCall::new(*operation, peer, true, deadline, extra);
    let (size, options) = (params.len(), options.clone());
    let send = move |call: ClientCall| -> InterceptedOutcome {
        let options = CallOptions {
            timeout: Some(call.time_left()),
            linger: options.linger,
            extra: call.into_extra(),
        };
        let sent = send(&options, Raw(&params));
        Box::pin(async move { sent.await.map(|()| Answer::default()) })
    };
    let call = InterceptedCall::begin(connection, interceptors, call, size, Box::new(send));
    let sent = {
        let (mut call, connection) = (call, connection.clone());
        std::future::poll_fn(move |cx| call.poll(&connection, cx).map_ok(drop))
    };
    Oneway(OnewayState::Publishing {
        publishing: Box::pin(sent),
        size,
        connection: connection.clone(),
    })
}
