//! An incoming call on its way through the interceptors to its servant.

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt as _;

use super::dispatch::{Context, IncomingCall, Interception, Served, panicked, undecodable};
use crate::{
    error::{ErrorCode, Fault},
    interceptor::{Answer, ServerCall, ServerTerminal},
    wire::{Extra, Marshal, Raw, Unmarshal, Writer},
};

impl IncomingCall<'_> {
    /// As [`IncomingCall::run`], through the interceptors.
    #[cold]
    pub(super) fn run_intercepted<S, P, T, F>(
        self,
        interception: Interception,
        servant: &Arc<S>,
        invoke: impl FnOnce(Arc<S>, P, Context) -> F + Send + 'static,
    ) where
        S: Send + Sync + 'static,
        P: Unmarshal + Send + 'static,
        T: Marshal + 'static,
        F: Future<Output = (Context, Result<T, Fault>)> + Send + 'static,
    {
        let parameters = self.parameters::<P>();
        let parameters = parameters
            .map_err(|error| Fault::new(ErrorCode::UnserializeFailed, undecodable(&error)));
        let servant = Arc::clone(servant);
        self.intercept(interception, |mut context| {
            Box::new(move |call| {
                let serving = async move {
                    let parameters = parameters?;
                    context.extra = call.extra;
                    let (context, result) = invoke(servant, parameters, context).await;
                    let mut result_bytes = Vec::new();
                    result?.marshal(&mut Writer::new(&mut result_bytes));
                    let added = context.returned.into_inner();
                    Ok(Answer::of_marshalled(result_bytes, added))
                };
                Box::pin(AssertUnwindSafe(serving).catch_unwind().map(|outcome| {
                    // The panic hook has written the panic's text to this side's log.
                    outcome.unwrap_or_else(|_| Err(panicked()))
                }))
            })
        });
    }

    /// Passes the call through its interceptors to what `terminal` makes.
    fn intercept(
        self,
        interception: Interception,
        terminal: impl FnOnce(Context) -> ServerTerminal,
    ) {
        let Interception {
            interceptors,
            operation,
        } = interception;
        let (mut context, serving) = self.into_parts();
        let call = ServerCall {
            operation,
            indices: (context.header.ifidx, context.header.opidx),
            peer: context.connection().peer().to_owned(),
            is_oneway: context.is_oneway(),
            is_redelivered: context.is_redelivered(),
            deadline: context.deadline(),
            extra: std::mem::take(&mut context.extra),
        };
        let terminal = terminal(context);
        serving.poll(Box::pin(async move {
            Served::from(interceptors.run(call, terminal).await)
        }));
    }

    /// Answers with INTERFACE_NOTFOUND, through the interceptors.
    pub(super) fn not_found(mut self, text: String) {
        let code = ErrorCode::InterfaceNotFound;
        match self.interception.take() {
            None => self.refuse(code, &text),
            Some(interception) => self.intercept(*interception, |_| {
                let fault = Fault::new(code, text);
                Box::new(|_| Box::pin(std::future::ready(Err(fault))))
            }),
        }
    }
}

impl From<Result<Answer, Fault>> for Served<MarshalledResult> {
    fn from(outcome: Result<Answer, Fault>) -> Self {
        let (result, added) = match outcome.map(Answer::into_parts) {
            Ok((result, added)) => (Ok(MarshalledResult(result)), added),
            Err(fault) => (Err(fault), Extra::new()),
        };
        Self { result, added }
    }
}

/// A result that has passed interceptors.
struct MarshalledResult(Vec<u8>);

impl Marshal for MarshalledResult {
    fn marshal(&self, out: &mut Writer<'_>) {
        Raw(&self.0).marshal(out);
    }
}
