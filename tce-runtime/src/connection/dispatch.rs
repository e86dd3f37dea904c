//! One incoming call: decode its parameters, run the servant's method, send the
//! RETURN.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::time::sleep_until;

use super::{Connection, Inner, write_buffer::FlushPolicy};
use crate::{
    error::{ErrorCode, Fault},
    in_flight::InFlightGuard,
    log_limit::LogLimit,
    memory::MemoryCharge,
    transport::delivery::AckGuard,
    wire::{
        DecodeError, Extra, Header, Marshal, RawExtra, Reader, Unmarshal, escape_ascii,
        parse_millis, reserved,
    },
};

/// The longest error text that is sent, in bytes before it is escaped; far below
/// the limits that peers have for extra.
const MAX_ERROR_TEXT: usize = 8 << 10;

/// Parameters of more bytes than this count for the memory budget while their
/// servant runs.
const LARGE_PARAMETERS: usize = 4 << 10;

/// A call that has arrived, its parameters still marshalled.
pub struct IncomingCall<'a> {
    pub(super) connection: &'a Connection,
    pub(super) header: Header,
    pub(super) extra: RawExtra<'a>,
    pub(super) params: &'a [u8],
    /// Whether its extra says that its sender has published it before.
    pub(super) is_redelivered: bool,
    /// Where the RETURNs of the messages of one read gather.
    pub(super) replies: &'a mut Vec<u8>,
    /// The MQ message of the call, acknowledged with the RETURN.
    pub(super) ack_guard: Option<Box<AckGuard>>,
}

impl IncomingCall<'_> {
    /// The index of the interface that is called.
    #[must_use]
    pub fn ifidx(&self) -> u16 {
        self.header.ifidx
    }

    /// The index of the operation that is called.
    #[must_use]
    pub fn opidx(&self) -> u16 {
        self.header.opidx
    }

    /// Decodes the parameters, calls the servant and sends the RETURN.
    ///
    /// The servant's future is polled once here. Most are ready then and cost no
    /// task; one that is not becomes a task, so that it does not delay the calls
    /// after it.
    pub fn run<S, P, T, F>(
        self,
        servant: &Arc<S>,
        invoke: impl FnOnce(Arc<S>, P, Context) -> F + Send + 'static,
    ) where
        S: Send + Sync + 'static,
        P: Unmarshal + Send + 'static,
        T: Marshal + 'static,
        F: Future<Output = (Context, Result<T, Fault>)> + Send + 'static,
    {
        if self.is_intercepted() {
            return self.run_intercepted(servant, invoke);
        }
        let limits = &self.connection.options().limits;
        let parameters = match P::unmarshal(&mut Reader::with_limits(self.params, limits)) {
            Ok(parameters) => parameters,
            Err(error) => {
                return self.refuse(ErrorCode::UnserializeFailed, &undecodable(&error));
            }
        };
        let context = self.context();
        self.drive(Box::pin(invoke(Arc::clone(servant), parameters, context)));
    }

    /// What the servant gets besides the parameters.
    #[inline(always)]
    pub(super) fn context(&self) -> Context {
        let ack_guard = self.ack_guard.as_ref();
        let is_redelivered =
            self.is_redelivered || ack_guard.is_some_and(|guard| guard.is_redelivered);
        let extra = Extra::from(self.extra);
        if let Some(key) = extra.replaced_key() {
            let peer = self.connection.peer();
            tracing::debug!(peer, %key, "a call has extra that is not UTF-8");
        }
        Context {
            connection: self.connection.weak_clone(),
            header: self.header,
            extra,
            is_redelivered,
            broker_user: ack_guard.and_then(|guard| guard.user_id().cloned()),
            returned: Mutex::default(),
        }
    }

    /// Polls the servant's future once, and lets a task do the rest.
    #[inline(always)]
    pub(super) fn drive<T, F>(self, mut future: Pin<Box<F>>)
    where
        T: Marshal + 'static,
        F: Future<Output = Output<T>> + Send + 'static,
    {
        let size = self.params.len();
        let expires_at = self.ack_guard.as_ref().and_then(|guard| guard.expires_at);
        let routed = routed_extra(self.header, self.extra);
        let reply = ReplyContext {
            header: self.header,
            ack_guard: self.ack_guard,
        };
        match poll_once(future.as_mut(), Waker::noop()) {
            Poll::Ready(output) => {
                reply.answer(&self.connection.inner, output, routed, self.replies);
            }
            Poll::Pending => {
                let connection = self.connection.weak_clone();
                let served = &connection.inner.served;
                let (guard, memory) = if size > LARGE_PARAMETERS {
                    let mut memory = connection.options().memory.charge();
                    memory.set(size);
                    (served.begin_large(size), Some(memory))
                } else {
                    (served.begin(), None)
                };
                let deferred = DeferredReply {
                    guard,
                    _memory: memory,
                    generation: connection.inner.channel.generation(),
                    connection,
                    context: reply,
                    routed: routed.into(),
                    expires_at,
                };
                tokio::spawn(deferred.finish(future));
            }
        }
    }

    /// Answers with an error.
    pub(super) fn refuse(self, code: ErrorCode, text: &str) {
        let reply = ReplyContext {
            header: self.header,
            ack_guard: self.ack_guard,
        };
        let routed = routed_extra(self.header, self.extra);
        reply.fail(&self.connection.inner, code, text, routed, self.replies);
    }

    /// Answers with INTERFACE_NOTFOUND: the interface has no such operation.
    pub fn unknown_operation(self) {
        let text = format!(
            "interface {} has no operation {} here",
            self.ifidx(),
            self.opidx()
        );
        self.not_found(text);
    }
}

pub(super) fn undecodable(error: &DecodeError) -> String {
    format!("the parameters don't decode: {error}")
}

impl fmt::Debug for IncomingCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingCall")
            .field("header", &self.header)
            .field("extra", &Extra::from(self.extra))
            .finish_non_exhaustive()
    }
}

/// The context of one call: who called, by which connection, with which extra.
#[derive(Debug)]
pub struct Context {
    pub(super) connection: Connection,
    pub(super) header: Header,
    pub(super) extra: Extra,
    pub(super) is_redelivered: bool,
    pub(super) broker_user: Option<Arc<str>>,
    pub(super) returned: Mutex<Extra>,
}

impl Context {
    /// The extra of the call: the caller's entries
    /// ([`with_extra`](crate::TypedProxy::with_extra)), and those of gateways.
    #[must_use]
    pub fn extra(&self) -> &Extra {
        &self.extra
    }

    /// The connection by which the call came. A proxy on it calls back, also after
    /// this call has ended: [`to_caller`](crate::TypedProxy::to_caller).
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The user who called, if the call came through a gateway (`__user_id__`).
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.extra.get(reserved::USER_ID)
    }

    /// The user of the message broker who has sent the call, if its sender names the user
    /// ([`Options::names_broker_user`](crate::config::Options::names_broker_user)). RabbitMQ
    /// admits no other name than that of the login, but for users tagged `impersonator`.
    #[must_use]
    pub fn broker_user(&self) -> Option<&str> {
        self.broker_user.as_deref()
    }

    /// Whether the call is oneway: the caller gets no RETURN.
    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.header.calltype.is_oneway()
    }

    /// Whether the call may have been executed before: its message queue delivered
    /// it to a server that did not acknowledge it, or its sender published it again
    /// since it did not learn whether the broker had it (`__redelivered__`).
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    /// When the caller stops waiting (`__deadline__`), by the clock of the caller's
    /// machine. `None` if the caller did not say: an existing TCE program, a oneway
    /// call without a linger time, or a call over a direct connection by a program
    /// that has set no timeout.
    #[must_use]
    pub fn deadline(&self) -> Option<SystemTime> {
        let millis = unix_deadline(&self.extra)?;
        UNIX_EPOCH.checked_add(Duration::from_millis(millis))
    }

    /// The time until the [deadline](Self::deadline), zero after it.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let left = self.deadline()?.duration_since(SystemTime::now());
        Some(left.unwrap_or(Duration::ZERO))
    }

    /// Sets an entry in the extra of the RETURN. A call that fails returns none.
    pub fn return_extra(&self, key: impl AsRef<str>, value: impl AsRef<str>) {
        self.returned.lock().set(key, value);
    }
}

/// The deadline of a call as Unix time in milliseconds.
fn unix_deadline(extra: &Extra) -> Option<u64> {
    parse_millis(extra.get_bytes(reserved::DEADLINE)?)
}

/// What a servant's future returns: its context, and the result.
pub(super) type Output<T> = (Context, Result<T, Fault>);

/// Polls a servant's future. `Ready(None)` means that it panicked: that costs
/// this call only.
pub(super) fn poll_once<T, F>(future: Pin<&mut F>, waker: &Waker) -> Poll<Option<Output<T>>>
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

/// The RETURN of a servant that was not ready at once.
struct DeferredReply {
    connection: Connection,
    /// The stream of the CALL. The RETURN is dropped if that stream has ended: on
    /// the next one its sequence may belong to another call.
    generation: u64,
    context: ReplyContext,
    /// What [`routed_extra`] has selected.
    routed: Extra,
    guard: InFlightGuard,
    /// Counts large parameters, which the servant may hold until it ends.
    _memory: Option<MemoryCharge>,
    /// Until when the caller waits for the RETURN, if known.
    expires_at: Option<Instant>,
}

impl DeferredReply {
    /// Awaits the servant, and sends the RETURN.
    async fn finish<T, F>(self, mut future: Pin<Box<F>>)
    where
        T: Marshal,
        F: Future<Output = Output<T>>,
    {
        let inner = &self.connection.inner;
        let cancels = inner.settings.options.cancel_expired;
        let cancel_at = self.expires_at.filter(|_| cancels);
        let mut expiry = cancel_at.map(|at| Box::pin(sleep_until(at.into())));
        // `None` if the call has expired first. One future for both: `T` need not be `Send`.
        let running = std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = poll_once(future.as_mut(), cx.waker()) {
                return Poll::Ready(Some(output));
            }
            let expiry = expiry.as_mut().map(|expiry| expiry.as_mut().poll(cx));
            match expiry {
                Some(Poll::Ready(())) => Poll::Ready(None),
                _ => Poll::Pending,
            }
        });
        let output = match running.await {
            Some(output) => output,
            None => return self.context.acknowledge(),
        };
        // A servant's future may hold much memory; free it before waiting to send.
        drop(future);
        let mut reply = Vec::new();
        self.context
            .answer(inner, output, self.routed.raw(), &mut reply);
        let policy = if self.guard.is_last() {
            FlushPolicy::Immediate
        } else {
            FlushPolicy::Batched
        };
        inner
            .channel
            .send_return(reply, policy, self.generation, self.expires_at)
            .await;
    }
}

/// The part of a call's extra that its RETURN repeats: all, if a gateway needs it to
/// route the RETURN (`spec/wire.md`, section 2).
fn routed_extra(header: Header, extra: RawExtra<'_>) -> RawExtra<'_> {
    if header.is_routed() {
        extra
    } else {
        RawExtra::default()
    }
}

/// What a call is answered with besides the extra that its RETURN repeats, which the
/// methods take as `routed`.
#[derive(Debug)]
struct ReplyContext {
    header: Header,
    ack_guard: Option<Box<AckGuard>>,
}

impl ReplyContext {
    /// Appends the RETURN of a call that has ended.
    fn answer<T: Marshal>(
        self,
        inner: &Inner,
        output: Option<Output<T>>,
        routed: RawExtra<'_>,
        replies: &mut Vec<u8>,
    ) {
        match output {
            Some((context, Ok(result))) => {
                let added = context.returned.into_inner();
                self.succeed(inner, &added, result, routed, replies);
            }
            Some((_, Err(fault))) => {
                self.log_internal_error(inner, &fault);
                self.fail_with(inner, &fault, routed, replies);
            }
            // The panic hook has written the panic's text to this side's log.
            None => self.fail(
                inner,
                ErrorCode::RemoteMethodException,
                "the servant panicked",
                routed,
                replies,
            ),
        }
    }

    /// Logs what the caller of a failed call is not told.
    fn log_internal_error(&self, inner: &Inner, fault: &Fault) {
        if let Some(cause) = fault.internal_cause() {
            static LIMIT: LogLimit = LogLimit::new();
            if !LIMIT.allows("failed servants") {
                return;
            }
            let Header { ifidx, opidx, .. } = self.header;
            tracing::error!(peer = inner.peer, ifidx, opidx, "a servant failed: {cause}");
        }
    }

    /// Appends the RETURN with a result and the servant's extra. A result that
    /// is too large becomes an error that forbids a retry: the servant has run.
    fn succeed(
        self,
        inner: &Inner,
        added: &Extra,
        result: impl Marshal,
        routed: RawExtra<'_>,
        replies: &mut Vec<u8>,
    ) {
        if !self.header.calltype.is_oneway() {
            let combined;
            let extra = if added.is_empty() {
                routed
            } else {
                let mut extra = Extra::from(routed);
                extra.extend(added.iter());
                combined = extra;
                combined.raw()
            };
            let header = self.header.returning(0);
            let code = ErrorCode::RemoteMethodException;
            if !added.is_empty() && !is_within_limits(inner, extra) {
                let text = "the extra of the result is larger than peers accept";
                append_error(inner, header, code, text, routed, replies);
            } else if let Err(error) = inner.channel.encode(replies, header, &extra, result) {
                append_error(inner, header, code, &error.to_string(), routed, replies);
            }
        }
        self.acknowledge();
    }

    /// Appends the RETURN with a servant's fault. An exception that a peer's limits
    /// refuse leaves its code and its text.
    fn fail_with(self, inner: &Inner, fault: &Fault, routed: RawExtra<'_>, replies: &mut Vec<u8>) {
        if let Some(exception) = fault.encoded_exception()
            && !self.header.calltype.is_oneway()
        {
            let mut extra = error_extra(fault.text(), routed);
            exception.add_to(&mut extra);
            let header = error_header(self.header, fault.code());
            if append_extra(inner, header, &extra, replies) {
                return self.acknowledge();
            }
            static LIMIT: LogLimit = LogLimit::new();
            if LIMIT.allows("exceptions that are too large") {
                let (peer, name) = (&inner.peer, exception.name());
                tracing::warn!(peer, %name, "an exception is larger than peers accept: its text is sent");
            }
        }
        self.fail(inner, fault.code(), fault.text(), routed, replies);
    }

    /// Appends the RETURN with an error; the error of a oneway call is logged.
    fn fail(
        self,
        inner: &Inner,
        code: ErrorCode,
        text: &str,
        routed: RawExtra<'_>,
        replies: &mut Vec<u8>,
    ) {
        let Header { ifidx, opidx, .. } = self.header;
        if self.header.calltype.is_oneway() {
            static LIMIT: LogLimit = LogLimit::new();
            metrics::counter!("tce_oneway_failed_total", "code" => code.to_string()).increment(1);
            if LIMIT.allows("failed oneway calls") {
                tracing::warn!(peer = inner.peer, ifidx, opidx, %code, "a oneway call failed: {text}");
            }
        } else {
            append_error(inner, self.header, code, text, routed, replies);
        }
        self.acknowledge();
    }

    /// The servant is done with its MQ message.
    fn acknowledge(self) {
        if let Some(guard) = self.ack_guard {
            guard.finish();
        }
    }
}

/// Appends the RETURN with an error to a CALL.
pub(super) fn append_error(
    inner: &Inner,
    header: Header,
    code: ErrorCode,
    text: &str,
    routed: RawExtra<'_>,
    replies: &mut Vec<u8>,
) {
    let header = error_header(header, code);
    if !append_extra(inner, header, &error_extra(text, routed), replies) {
        // The text may exceed a small `max_frame`, or what the routed extra leaves of
        // the limits; the code alone does not.
        let _ = inner.channel.encode(replies, header, &routed, ());
    }
}

/// The header of the RETURN with an error.
fn error_header(header: Header, code: ErrorCode) -> Header {
    // A servant may have chosen 0, which is success on the wire.
    header.returning(match code.to_wire() {
        0 => ErrorCode::RemoteException.to_wire(),
        errcode => errcode,
    })
}

/// What a RETURN repeats of the extra of its CALL, and the text of an error.
fn error_extra(text: &str, routed: RawExtra<'_>) -> Extra {
    let mut extra = Extra::from(routed);
    extra.set(reserved::ERROR, escape_ascii(truncated(text)));
    extra
}

/// Appends a RETURN without a result, unless its extra or the message is too large.
fn append_extra(inner: &Inner, header: Header, extra: &Extra, replies: &mut Vec<u8>) -> bool {
    is_within_limits(inner, extra.raw()) && inner.channel.encode(replies, header, extra, ()).is_ok()
}

/// Whether a peer with the limits of this side reads this extra: without its RETURN a
/// caller waits until its timeout.
fn is_within_limits(inner: &Inner, extra: RawExtra<'_>) -> bool {
    let limits = &inner.settings.options.limits;
    extra.len() <= limits.max_extra_entries && extra.size() <= limits.max_extra_bytes
}

/// At most [`MAX_ERROR_TEXT`] bytes of a text.
fn truncated(text: &str) -> &str {
    let mut end = text.len().min(MAX_ERROR_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
