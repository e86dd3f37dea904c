//! From a marshalled call to a servant's method, and its result back.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use super::Context;
use crate::{
    connection::{Connection, FlushPolicy, InFlightGuard, IncomingCall, ReplyContext},
    error::{ErrorCode, Fault},
    wire::{Marshal, Reader, Unmarshal},
};

/// What a servant's future gives: its context back, and the result.
type Output<T> = (Context, Result<T, Fault>);
/// The same, or nothing where the servant panicked.
type Caught<T> = Option<Output<T>>;

impl IncomingCall<'_> {
    /// Decodes the parameters, calls the servant and answers.
    ///
    /// The servant's future is polled once, here. Most are ready then, and
    /// cost no task; one that is not becomes a task, so that it delays nobody.
    pub fn run<S, P, T, F>(self, servant: &Arc<S>, invoke: impl FnOnce(Arc<S>, P, Context) -> F)
    where
        P: Unmarshal,
        T: Marshal + 'static,
        F: Future<Output = (Context, Result<T, Fault>)> + Send + 'static,
    {
        let limits = &self.connection.options().limits;
        let parameters = match P::unmarshal(&mut Reader::with_limits(self.params, limits)) {
            Ok(parameters) => parameters,
            Err(error) => {
                return self.refuse(
                    ErrorCode::UnserializeFailed,
                    &format!("the parameters don't decode: {error}"),
                );
            }
        };
        let is_redelivered = self
            .ack_guard
            .as_ref()
            .is_some_and(|ack_guard| ack_guard.is_redelivered);
        let expires_in = self
            .ack_guard
            .as_ref()
            .and_then(|ack_guard| ack_guard.expires_in);
        let ticket = ReplyContext::new(self.header, &self.extra, self.ack_guard);
        let context = Context::new(
            self.connection.without_keep(),
            self.header,
            self.extra,
            is_redelivered,
        );
        let mut future = Box::pin(invoke(Arc::clone(servant), parameters, context));
        match poll_once(future.as_mut(), Waker::noop()) {
            Poll::Ready(caught) => answer(self.connection, ticket, caught, self.replies),
            Poll::Pending => {
                let connection = self.connection.without_keep();
                let serving = connection.inner.served.begin();
                let generation = connection.inner.write_buffer.generation();
                tokio::spawn(finish(
                    connection, generation, ticket, future, serving, expires_in,
                ));
            }
        }
    }
}

/// Polls a servant's future; a panic in it is caught here and costs this call
/// alone.
fn poll_once<T, F>(future: Pin<&mut F>, waker: &Waker) -> Poll<Caught<T>>
where
    F: Future<Output = Output<T>>,
{
    let poll = catch_unwind(AssertUnwindSafe(|| {
        future.poll(&mut TaskContext::from_waker(waker))
    }));
    match poll {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    }
}

/// Sees a servant through that was not ready at once, and sends its RETURN. A
/// caller whose connection is gone gets none: on the next one its sequence may
/// be another call's.
async fn finish<T, F>(
    connection: Connection,
    generation: u64,
    ticket: ReplyContext,
    mut future: Pin<Box<F>>,
    serving: InFlightGuard,
    expires_in: Option<Duration>,
) where
    T: Marshal,
    F: Future<Output = Output<T>>,
{
    let caught = std::future::poll_fn(|cx| poll_once(future.as_mut(), cx.waker())).await;
    // A servant's future may hold much; what it holds has served its purpose.
    drop(future);
    let mut reply = Vec::new();
    answer(&connection, ticket, caught, &mut reply);
    let leave = if serving.is_last() {
        FlushPolicy::Immediate
    } else {
        FlushPolicy::Batched
    };
    connection
        .inner
        .send_return(reply, leave, generation, expires_in)
        .await;
}

fn answer<T: Marshal>(
    connection: &Connection,
    ticket: ReplyContext,
    caught: Caught<T>,
    replies: &mut Vec<u8>,
) {
    let inner = &connection.inner;
    match caught {
        Some((context, Ok(result))) => {
            ticket.succeed(inner, &context.into_returned(), result, replies);
        }
        Some((context, Err(fault))) => {
            if let Some(cause) = fault.internal_cause() {
                context.log_internal_error(cause);
            }
            ticket.fail(inner, fault.code(), fault.text(), replies);
        }
        // What the panic said stays in this side's log: the panic hook wrote it.
        None => ticket.fail(
            inner,
            ErrorCode::RemoteMethodException,
            "the servant panicked",
            replies,
        ),
    }
}
