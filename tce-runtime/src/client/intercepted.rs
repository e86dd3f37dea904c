//! An outgoing call within its interceptors.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::{
    runtime::{EnterGuard, Handle},
    time::{Sleep, sleep_until, timeout_at},
};
use tracing::Instrument as _;

use crate::{
    connection::Connection,
    error::{ErrorCode, RpcError},
    in_flight::after,
    interceptor::{AbandonSignal, Answer, ClientCall, ClientInterceptors, ClientTerminal},
};

/// A call within its interceptors.
pub(super) struct InterceptedCall {
    /// The mutex is for `Sync` alone: it is never locked.
    outcome: Mutex<InterceptedOutcome>,
    /// When its interceptors are dropped.
    limit: Instant,
    /// The timer of `limit`, once the call is awaited.
    expiry: Option<Pin<Box<Sleep>>>,
    abandon: AbandonSignal,
    /// The size of the parameters in bytes.
    size: usize,
}

/// What a call with interceptors ends with.
pub(super) type InterceptedOutcome = Pin<Box<dyn Future<Output = Result<Answer, RpcError>> + Send>>;

impl InterceptedCall {
    /// Runs the interceptors up to the first one that waits. `send` makes an attempt.
    pub(super) fn begin(
        connection: &Connection,
        interceptors: &ClientInterceptors,
        call: ClientCall,
        size: usize,
        send: Box<ClientTerminal>,
    ) -> Box<Self> {
        let (interceptors, deadline) = (interceptors.clone(), call.deadline());
        let abandon = call.abandon_signal();
        let outcome = async move { interceptors.run(call, &*send).await };
        let mut outcome: InterceptedOutcome = Box::pin(outcome.in_current_span());
        let _runtime = entered(connection);
        let poll = outcome
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(ready) = poll {
            outcome = Box::pin(std::future::ready(ready));
        }
        Box::new(Self {
            outcome: Mutex::new(outcome),
            limit: after(deadline, ClientCall::GRACE),
            expiry: None,
            abandon,
            size,
        })
    }

    pub(super) fn poll(
        &mut self,
        connection: &Connection,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Answer, RpcError>> {
        let _runtime = entered(connection);
        if let Poll::Ready(outcome) = self.outcome.get_mut().as_mut().poll(cx) {
            return Poll::Ready(outcome);
        }
        let limit = self.limit;
        let expiry = self
            .expiry
            .get_or_insert_with(|| Box::pin(sleep_until(limit.into())));
        ready!(expiry.as_mut().poll(cx));
        Poll::Ready(Err(RpcError::new(
            ErrorCode::Timeout,
            "the interceptors of the call did not end before its deadline",
        )))
    }

    /// The future of the call is dropped: a task runs the interceptors to their end.
    pub(super) fn abandon(self, connection: &Connection) {
        self.abandon.set();
        let (outcome, limit) = (self.outcome.into_inner(), self.limit);
        connection.finish_abandoned(self.size, async move {
            let _ = timeout_at(limit.into(), outcome).await;
            Ok(())
        });
    }
}

/// The runtime of the connection, for the timers and tasks of interceptors, unless the
/// caller is within one.
fn entered(connection: &Connection) -> Option<EnterGuard<'_>> {
    let is_outside = Handle::try_current().is_err();
    is_outside.then(|| connection.inner.runtime.enter())
}
