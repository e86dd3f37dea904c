//! Interceptors of incoming calls.

use std::{fmt, pin::Pin, sync::Arc, time::SystemTime};

use super::Answer;
use crate::{
    error::Fault,
    wire::{Extra, Operation, reserved},
};

/// An incoming call as its interceptors see it.
#[derive(Debug, Clone)]
pub struct ServerCall {
    pub(crate) operation: Option<Operation>,
    pub(crate) indices: (u16, u16),
    pub(crate) peer: String,
    pub(crate) is_oneway: bool,
    pub(crate) is_redelivered: bool,
    pub(crate) deadline: Option<SystemTime>,
    pub(crate) extra: Extra,
}

impl ServerCall {
    /// The operation that is called; `None` if no servant here has it. A peer can call any
    /// number of unknown operations, so do not make a label or a key of each.
    #[must_use]
    pub fn operation(&self) -> Option<&Operation> {
        self.operation.as_ref()
    }

    /// The interface index, also of an unknown interface.
    #[must_use]
    pub fn ifidx(&self) -> u16 {
        self.indices.0
    }

    /// The operation index, also of an unknown operation.
    #[must_use]
    pub fn opidx(&self) -> u16 {
        self.indices.1
    }

    /// The address that the peer has connected from, or the endpoint of a message queue.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// The user who calls, if the call came through a gateway (`__user_id__`). A peer that
    /// connects directly may name any user.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.extra.get(reserved::USER_ID)
    }

    /// Whether the call is oneway: the caller gets no RETURN, and an error is logged.
    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.is_oneway
    }

    /// As [`Context::is_redelivered`](crate::Context::is_redelivered).
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    /// As [`Context::deadline`](crate::Context::deadline).
    #[must_use]
    pub fn deadline(&self) -> Option<SystemTime> {
        self.deadline
    }

    /// The extra of the call.
    #[must_use]
    pub fn extra(&self) -> &Extra {
        &self.extra
    }

    /// The extra that the servant will read, to change it: for example to tell the servant
    /// who was authenticated, in place of what the caller has sent under that key.
    pub fn extra_mut(&mut self) -> &mut Extra {
        &mut self.extra
    }
}

/// Runs around incoming calls: it may refuse or answer a call before the servant gets it,
/// change its extra, and see its outcome.
///
/// Registered in [`Options::server_interceptors`](crate::config::Options), it gets the calls
/// of all adapters of the communicator, and the calls back on its connections; with
/// [`Adapter::intercept`](crate::Adapter::intercept) those of one adapter. Calls of the
/// built-in interface (`ping`, logins) do not pass interceptors; neither do calls that the
/// runtime refuses at a limit, after their deadline or during a shutdown.
///
/// ```
/// use tce_runtime::{
///     ErrorCode, Fault,
///     interceptor::{Answer, ServerCall, ServerInterceptor, ServerNext},
/// };
///
/// /// Refuses calls without a key.
/// struct KeyCheck(String);
///
/// impl ServerInterceptor for KeyCheck {
///     async fn call(&self, call: ServerCall, next: ServerNext<'_>) -> Result<Answer, Fault> {
///         match call.extra().get("api-key") {
///             Some(key) if key == self.0 => next.run(call).await,
///             _ => Err(Fault::new(ErrorCode::ConnectReject, "the key is missing or wrong")),
///         }
///     }
/// }
/// ```
///
/// # Order
/// The interceptors of a call begin when it is read, in the order of the calls of a
/// connection, and run up to the first one that waits; the rest is a task of its own.
/// The parameters are decoded before; an error of that is the outcome that the
/// interceptors see, not a call that they miss.
pub trait ServerInterceptor: Send + Sync + 'static {
    /// Handles a call: `next.run(call)` passes it on.
    fn call(
        &self,
        call: ServerCall,
        next: ServerNext<'_>,
    ) -> impl Future<Output = Result<Answer, Fault>> + Send;
}

impl<I: ServerInterceptor> ServerInterceptor for Arc<I> {
    fn call(
        &self,
        call: ServerCall,
        next: ServerNext<'_>,
    ) -> impl Future<Output = Result<Answer, Fault>> + Send {
        (**self).call(call, next)
    }
}

type Outcome<'a> = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send + 'a>>;

/// [`ServerInterceptor`] for trait objects.
trait DynServerInterceptor: Send + Sync {
    fn call_boxed<'a>(&'a self, call: ServerCall, next: ServerNext<'a>) -> Outcome<'a>;
}

impl<I: ServerInterceptor> DynServerInterceptor for I {
    fn call_boxed<'a>(&'a self, call: ServerCall, next: ServerNext<'a>) -> Outcome<'a> {
        Box::pin(self.call(call, next))
    }
}

/// The interceptors of incoming calls, in the order in which calls pass them. Clones share
/// them.
#[derive(Clone, Default)]
pub struct ServerInterceptors(Option<Arc<[Arc<dyn DynServerInterceptor>]>>);

impl ServerInterceptors {
    /// No interceptors. A call then costs nothing more than without this module.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Adds an interceptor after those before: it runs within them.
    #[must_use]
    pub fn with(self, interceptor: impl ServerInterceptor) -> Self {
        let added: Arc<dyn DynServerInterceptor> = Arc::new(interceptor);
        let all = self.list().iter().cloned().chain([added]);
        Self(Some(all.collect()))
    }

    /// Whether there is none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn list(&self) -> &[Arc<dyn DynServerInterceptor>] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Passes a call through all interceptors; `terminal` serves it.
    pub(crate) async fn run(
        &self,
        call: ServerCall,
        terminal: ServerTerminal,
    ) -> Result<Answer, Fault> {
        let rest = self.list();
        ServerNext { rest, terminal }.run(call).await
    }
}

impl fmt::Debug for ServerInterceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerInterceptors({})", self.list().len())
    }
}

/// Serves a call, after all interceptors.
pub(crate) type ServerTerminal = Box<dyn FnOnce(ServerCall) -> Outcome<'static> + Send>;

/// What follows an interceptor of an incoming call: the next interceptor, or the servant.
pub struct ServerNext<'a> {
    rest: &'a [Arc<dyn DynServerInterceptor>],
    terminal: ServerTerminal,
}

impl ServerNext<'_> {
    /// Passes the call on, and waits for its outcome. A panic of the servant is the fault
    /// REMOTEMETHOD_EXCEPTION.
    ///
    /// # Errors
    /// The servant's fault; INTERFACE_NOTFOUND for an unknown operation.
    pub async fn run(self, call: ServerCall) -> Result<Answer, Fault> {
        let terminal = self.terminal;
        match self.rest.split_first() {
            Some((interceptor, rest)) => {
                let next = ServerNext { rest, terminal };
                interceptor.call_boxed(call, next).await
            }
            None => terminal(call).await,
        }
    }
}

impl fmt::Debug for ServerNext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerNext")
            .field("interceptors", &self.rest.len())
            .finish_non_exhaustive()
    }
}
