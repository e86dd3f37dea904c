//! Interceptors of outgoing calls.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::Answer;
use crate::{
    error::RpcError,
    in_flight::{after, now},
    wire::{Extra, Operation},
};

/// An outgoing call as its interceptors see it. A clone is for a retry.
#[derive(Debug, Clone)]
pub struct ClientCall {
    shared: Arc<SharedByAttempts>,
    deadline: Instant,
    extra: Extra,
}

/// What all attempts of a call have in common.
#[derive(Debug)]
struct SharedByAttempts {
    operation: Operation,
    peer: String,
    is_oneway: bool,
    is_abandoned: AtomicBool,
}

/// Tells the interceptors of a call that its future is dropped.
pub(crate) struct AbandonSignal(Arc<SharedByAttempts>);

impl AbandonSignal {
    pub(crate) fn set(&self) {
        self.0.is_abandoned.store(true, Ordering::Relaxed);
    }
}

impl ClientCall {
    pub(crate) fn new(
        operation: Operation,
        peer: &str,
        is_oneway: bool,
        deadline: Instant,
        extra: Extra,
    ) -> Self {
        let shared = SharedByAttempts {
            operation,
            peer: peer.to_owned(),
            is_oneway,
            is_abandoned: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            deadline,
            extra,
        }
    }

    pub(crate) fn into_extra(self) -> Extra {
        self.extra
    }

    pub(crate) fn abandon_signal(&self) -> AbandonSignal {
        AbandonSignal(Arc::clone(&self.shared))
    }

    /// The operation that is called.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.shared.operation
    }

    /// The endpoint of the peer.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.shared.peer
    }

    /// Whether the call is oneway. Its answer is empty, and means that it was sent.
    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.shared.is_oneway
    }

    /// Whether the program has dropped the future of a twoway call: the answer is not needed,
    /// so do not send it again. A oneway call is sent all the same.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.shared.is_abandoned.load(Ordering::Relaxed)
    }

    /// When the caller stops waiting: the timeout of the proxy after the call was made.
    /// It is the same for all attempts, and includes the time that interceptors take.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The time until the [deadline](Self::deadline), zero after it.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(now())
    }

    /// Lets this attempt wait no longer than `timeout` from now, and no longer than the
    /// deadline.
    pub fn limit_time(&mut self, timeout: Duration) {
        self.deadline = self.deadline.min(after(now(), timeout));
    }

    /// The extra that is sent with the call.
    #[must_use]
    pub fn extra(&self) -> &Extra {
        &self.extra
    }

    /// The extra that is sent with the call, to change it.
    pub fn extra_mut(&mut self) -> &mut Extra {
        &mut self.extra
    }
}

/// Runs around outgoing calls: it may change the extra of a call, send it, send it again,
/// answer or fail it itself, and see its outcome.
///
/// Registered in [`Options::client_interceptors`](crate::config::Options), it gets the
/// calls of all proxies of the communicator; with
/// [`TypedProxy::with_interceptor`](crate::TypedProxy::with_interceptor) those of one proxy.
/// Calls of the built-in interface (`ping`, logins) do not pass interceptors.
///
/// ```
/// use tce_runtime::{
///     RpcError,
///     interceptor::{Answer, ClientCall, ClientInterceptor, ClientNext},
/// };
///
/// /// Logs the calls that take long.
/// struct SlowCalls;
///
/// impl ClientInterceptor for SlowCalls {
///     async fn call(&self, call: ClientCall, next: ClientNext<'_>) -> Result<Answer, RpcError> {
///         let (operation, start) = (*call.operation(), std::time::Instant::now());
///         let outcome = next.run(call).await;
///         if start.elapsed().as_secs() >= 1 {
///             eprintln!("{} took {:?}", operation.name(), start.elapsed());
///         }
///         outcome
///     }
/// }
/// ```
///
/// # Order
/// The interceptors run when the method of the proxy is called, up to the first one that
/// waits. So if none waits before it runs the next one, the call is sent before the method
/// returns, and calls are sent in the order in which they are made. If one waits, the rest
/// runs while the [`Pending`](crate::Pending) is awaited, and later calls may overtake it.
/// After the `Pending` is dropped a task runs the rest, so that each interceptor sees the
/// outcome.
///
/// # Limits
/// A call ends at its deadline, whatever its interceptors wait for: their futures are
/// dropped [`GRACE`](ClientCall::GRACE) later.
pub trait ClientInterceptor: Send + Sync + 'static {
    /// Handles a call: `next.run(call)` passes it on.
    fn call(
        &self,
        call: ClientCall,
        next: ClientNext<'_>,
    ) -> impl Future<Output = Result<Answer, RpcError>> + Send;
}

impl ClientCall {
    /// How long after the deadline of a call its interceptors may take to end. The call
    /// itself has failed with TIMEOUT then.
    pub const GRACE: Duration = Duration::from_millis(100);
}

impl<I: ClientInterceptor> ClientInterceptor for Arc<I> {
    fn call(
        &self,
        call: ClientCall,
        next: ClientNext<'_>,
    ) -> impl Future<Output = Result<Answer, RpcError>> + Send {
        (**self).call(call, next)
    }
}

type Outcome<'a> = Pin<Box<dyn Future<Output = Result<Answer, RpcError>> + Send + 'a>>;

/// [`ClientInterceptor`] for trait objects.
trait DynClientInterceptor: Send + Sync {
    fn call_boxed<'a>(&'a self, call: ClientCall, next: ClientNext<'a>) -> Outcome<'a>;
}

impl<I: ClientInterceptor> DynClientInterceptor for I {
    fn call_boxed<'a>(&'a self, call: ClientCall, next: ClientNext<'a>) -> Outcome<'a> {
        Box::pin(self.call(call, next))
    }
}

/// The interceptors of outgoing calls, in the order in which calls pass them. Clones share
/// them.
///
/// ```
/// # use tce_runtime::interceptor::ClientInterceptor;
/// # fn options(tokens: impl ClientInterceptor, retries: impl ClientInterceptor) {
/// use tce_runtime::{Communicator, config::Options, interceptor::ClientInterceptors};
///
/// let communicator = Communicator::with_options(Options {
///     client_interceptors: ClientInterceptors::new().with(retries).with(tokens),
///     ..Options::default()
/// });
/// # }
/// ```
#[derive(Clone, Default)]
pub struct ClientInterceptors(Option<Arc<[Arc<dyn DynClientInterceptor>]>>);

impl ClientInterceptors {
    /// No interceptors. A call then costs nothing more than without this module.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Adds an interceptor after those before: it runs within them.
    #[must_use]
    pub fn with(self, interceptor: impl ClientInterceptor) -> Self {
        let added: Arc<dyn DynClientInterceptor> = Arc::new(interceptor);
        let all = self.list().iter().cloned().chain([added]);
        Self(Some(all.collect()))
    }

    /// Whether there is none.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn list(&self) -> &[Arc<dyn DynClientInterceptor>] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Passes a call through all interceptors; `terminal` sends it.
    pub(crate) async fn run(
        &self,
        call: ClientCall,
        terminal: &ClientTerminal,
    ) -> Result<Answer, RpcError> {
        let rest = self.list();
        ClientNext { rest, terminal }.run(call).await
    }
}

impl fmt::Debug for ClientInterceptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientInterceptors({})", self.list().len())
    }
}

/// Sends a call, after all interceptors.
pub(crate) type ClientTerminal = dyn Fn(ClientCall) -> Outcome<'static> + Send + Sync;

/// What follows an interceptor of an outgoing call: the next interceptor, or the
/// connection. A copy is for a retry.
#[derive(Clone, Copy)]
pub struct ClientNext<'a> {
    rest: &'a [Arc<dyn DynClientInterceptor>],
    terminal: &'a ClientTerminal,
}

impl ClientNext<'_> {
    /// Passes the call on, and waits for its outcome.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn run(self, call: ClientCall) -> Result<Answer, RpcError> {
        match self.rest.split_first() {
            Some((interceptor, rest)) => {
                let terminal = self.terminal;
                let next = ClientNext { rest, terminal };
                interceptor.call_boxed(call, next).await
            }
            None => (self.terminal)(call).await,
        }
    }
}

impl fmt::Debug for ClientNext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientNext")
            .field("interceptors", &self.rest.len())
            .finish()
    }
}
