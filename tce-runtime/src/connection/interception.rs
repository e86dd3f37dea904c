//! An incoming call on its way through the interceptors to its servant.

use std::{
    future::{Future, poll_fn},
    sync::Arc,
};

use super::dispatch::{Context, IncomingCall, poll_once, undecodable};
use crate::{
    error::{ErrorCode, Fault},
    interceptor::{Answer, ServerCall, ServerTerminal},
    wire::{BUILTIN_INTERFACE, Extra, Marshal, Raw, Reader, Unmarshal, Writer},
};

/// Makes what follows the interceptors, from the context that the servant gets.
type MakeTerminal = Box<dyn FnOnce(Context) -> ServerTerminal>;

impl IncomingCall<'_> {
    /// Whether the call passes interceptors. Calls of the built-in interface do not.
    #[inline]
    pub(super) fn is_intercepted(&self) -> bool {
        self.connection.inner.servants.has_interceptors() && self.ifidx() != BUILTIN_INTERFACE
    }

    /// As [`IncomingCall::run`], through the interceptors.
    #[cold]
    #[inline(never)]
    pub(super) fn run_intercepted<S, P, T, F>(
        self,
        servant: &Arc<S>,
        invoke: impl FnOnce(Arc<S>, P, Context) -> F + Send + 'static,
    ) where
        S: Send + Sync + 'static,
        P: Unmarshal + Send + 'static,
        T: Marshal + 'static,
        F: Future<Output = (Context, Result<T, Fault>)> + Send + 'static,
    {
        let limits = &self.connection.options().limits;
        let parameters = P::unmarshal(&mut Reader::with_limits(self.params, limits));
        let parameters = parameters
            .map_err(|error| Fault::new(ErrorCode::UnserializeFailed, undecodable(&error)));
        let servant = Arc::clone(servant);
        self.intercept(Box::new(move |mut context| {
            Box::new(move |call| {
                Box::pin(async move {
                    let parameters = parameters?;
                    context.extra = call.extra;
                    let mut future = Box::pin(invoke(servant, parameters, context));
                    let output = poll_fn(|cx| poll_once(future.as_mut(), cx.waker())).await;
                    match output {
                        Some((context, result)) => answer_of(context, result),
                        // The panic hook has written the panic's text to this side's log.
                        None => Err(Fault::new(
                            ErrorCode::RemoteMethodException,
                            "the servant panicked",
                        )),
                    }
                })
            })
        }));
    }

    /// Passes the call through the interceptors to what `terminal` makes.
    fn intercept(self, terminal: MakeTerminal) {
        let servants = &self.connection.inner.servants;
        let (interceptors, operation) = servants.interception(self.ifidx(), self.opidx());
        let mut context = self.context();
        let call = ServerCall {
            operation,
            indices: (self.ifidx(), self.opidx()),
            peer: self.connection.peer().to_owned(),
            is_oneway: context.is_oneway(),
            is_redelivered: context.is_redelivered(),
            deadline: context.deadline(),
            extra: std::mem::take(&mut context.extra),
        };
        // The servant gets the other one, unless an interceptor answers.
        let mut answering = self.context();
        let terminal = terminal(context);
        self.drive(Box::pin(async move {
            let outcome = interceptors.run(call, terminal).await;
            let result = outcome.map(|answer| {
                let (result, added) = answer.into_parts();
                *answering.returned.get_mut() = added;
                MarshalledResult(result)
            });
            (answering, result)
        }));
    }

    /// Answers with INTERFACE_NOTFOUND, through the interceptors.
    #[cold]
    pub(super) fn not_found(self, text: String) {
        let code = ErrorCode::InterfaceNotFound;
        if !self.is_intercepted() {
            return self.refuse(code, &text);
        }
        self.intercept(Box::new(move |_| {
            let fault = Fault::new(code, text);
            Box::new(|_| Box::pin(std::future::ready(Err(fault))))
        }));
    }
}

/// What a servant has returned, for the interceptors.
fn answer_of(context: Context, result: Result<impl Marshal, Fault>) -> Result<Answer, Fault> {
    let mut marshalled = Vec::new();
    result?.marshal(&mut Writer::new(&mut marshalled));
    let added: Extra = context.returned.into_inner();
    Ok(Answer::of_marshalled(marshalled, added))
}

/// A result that has passed interceptors.
struct MarshalledResult(Vec<u8>);

impl Marshal for MarshalledResult {
    fn marshal(&self, out: &mut Writer<'_>) {
        Raw(&self.0).marshal(out);
    }
}
