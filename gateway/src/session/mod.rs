//! Sessions: one for each client connection.
//!
//! `Session` and `SessionRegistry` name each other: the registry holds the
//! sessions, and a session enters and leaves it through its context.

mod client_calls;
mod context;
mod registry;

mod login;

mod deliver;
mod forward;

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    net::SocketAddr,
    num::NonZeroU64,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use tce_runtime::{
    Connection, ErrorCode,
    forwarding::{InboundMessage, LogLimit, MemoryCharge, WeakConnection},
    wire::Header,
};
use tokio::sync::Notify;

pub(crate) use context::{ActiveRoutes, AddressPermit, GatewayPhase, SessionContext};
pub(crate) use deliver::UpstreamHandler;

use client_calls::CallOwner;

use crate::{
    client_address::counted_address,
    metrics::{self, RouteMetrics, TrafficTotals},
    routing::EndpointKey,
    upstream::{CallPermit, UpstreamId, UpstreamLoad},
};

/// The session of one client connection.
pub(crate) struct Session {
    context: Arc<SessionContext>,
    /// Grows with every session of the gateway.
    pub(crate) number: u64,
    /// The endpoint that the client connected to.
    pub(crate) endpoint: EndpointKey,
    pub(crate) address: SocketAddr,
    pub(crate) since: SystemTime,
    connection: OnceLock<WeakConnection>,
    state: Mutex<SessionState>,
    /// Set while nothing is read from the client: during the login, at a limit,
    /// or while a message is deferred.
    is_paused: AtomicBool,
    /// Set when the gateway closes the connection: later messages are ignored.
    is_closing: AtomicBool,
    /// Notified when a reason to pause may be gone.
    changed: Notify,
    traffic: TrafficCounters,
    _address_permit: AddressPermit,
    this: Weak<Self>,
}

#[derive(Debug, Default)]
struct TrafficCounters {
    calls: AtomicU64,
    pushes: AtomicU64,
    refused: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

struct SessionState {
    login: LoginState,
    /// The number of deferred messages: one, or for a moment two when a message
    /// that is resumed is deferred again. Later messages of the client wait
    /// behind it.
    deferred: u32,
    /// Set while a deferred message is handled, which was counted before.
    is_resuming: bool,
    calls: ForwardedCalls,
    /// Set while the session is paused because it may add no call.
    limited: Option<LimitedSession>,
    frame_rate: RateLimiter,
    byte_rate: RateLimiter,
    has_spoken: bool,
    /// When the last message was read, or the connection was accepted.
    last_read_at: Instant,
    /// When the login is no longer valid.
    login_ends_at: Option<Instant>,
}

/// Why a session may add no call.
struct LimitedSession {
    by: Arc<UpstreamLoad>,
    /// The calls that are counted for the client meanwhile.
    counted: usize,
}

/// How far the login of a connection is.
#[derive(Debug)]
enum LoginState {
    /// The connection will get a user id of its own.
    Anonymous,
    /// The first message must carry a token.
    Awaited,
    /// The authenticator decides.
    InProgress,
    LoggedIn(Arc<str>),
    /// The login was refused, or the connection has ended.
    Closed,
}

impl LoginState {
    fn user(&self) -> Option<&Arc<str>> {
        match self {
            Self::LoggedIn(user) => Some(user),
            _ => None,
        }
    }

    fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited)
    }
}

impl Session {
    pub(crate) fn new(
        context: &Arc<SessionContext>,
        endpoint: EndpointKey,
        address: SocketAddr,
        address_permit: AddressPermit,
    ) -> Arc<Self> {
        let state = SessionState {
            login: match context.authenticator {
                Some(_) => LoginState::Awaited,
                None => LoginState::Anonymous,
            },
            deferred: 0,
            is_resuming: false,
            calls: ForwardedCalls::default(),
            limited: None,
            frame_rate: RateLimiter::new(context.properties.max_frames_per_second),
            byte_rate: RateLimiter::new(context.properties.max_bytes_per_second),
            has_spoken: false,
            last_read_at: Instant::now(),
            login_ends_at: None,
        };
        Arc::new_cyclic(|this| Self {
            context: Arc::clone(context),
            number: context.next_session_number(),
            endpoint,
            address,
            since: SystemTime::now(),
            connection: OnceLock::new(),
            state: Mutex::new(state),
            is_paused: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            changed: Notify::new(),
            traffic: TrafficCounters::default(),
            _address_permit: address_permit,
            this: Weak::clone(this),
        })
    }

    /// Whether the thread of `context` serves it.
    pub(crate) fn is_of(&self, context: &Arc<SessionContext>) -> bool {
        Arc::ptr_eq(&self.context, context)
    }

    /// The connection, unless it has ended.
    fn connection(&self) -> Option<Connection> {
        self.connection.get()?.upgrade()
    }

    /// The user id, once it is known.
    pub(crate) fn user(&self) -> Option<Arc<str>> {
        self.state.lock().login.user().cloned()
    }

    /// Whom abandoned calls are counted for.
    fn call_owner(&self, login: &LoginState) -> CallOwner {
        match login.user() {
            Some(user) if self.context.authenticator.is_some() => CallOwner::User(Arc::clone(user)),
            _ => CallOwner::Address(counted_address(self.address.ip())),
        }
    }

    /// The calls of this client that count beside those of this session.
    fn calls_elsewhere(&self, state: &SessionState) -> usize {
        let calls = &self.context.client_calls;
        let count = calls.of(|| self.call_owner(&state.login));
        let own = state.limited.as_ref().map_or(0, |limited| limited.counted);
        count.saturating_sub(own)
    }

    /// Whether the session may add a twoway call: within its own limit, and
    /// within its client's share of the upstream.
    fn may_add_call(&self, state: &SessionState, load: &UpstreamLoad) -> bool {
        let own = state.calls.len();
        own < self.context.properties.max_calls_in_flight
            && load.admits(own, self.calls_elsewhere(state))
    }

    /// Pauses the session, which may add no call to the upstream.
    fn limit(&self, state: &mut SessionState, load: &Arc<UpstreamLoad>) {
        self.set_limited(state, Some(Arc::clone(load)));
        self.is_paused.store(true, Ordering::Release);
    }

    /// Whether the session still may add no call to the upstream that it is
    /// limited by.
    fn is_limited(&self, state: &mut SessionState) -> bool {
        let Some(limited) = &state.limited else {
            return false;
        };
        let load = Arc::clone(&limited.by);
        let is_limited = !self.may_add_call(state, &load);
        self.set_limited(state, is_limited.then_some(load));
        is_limited
    }

    /// Sets the upstream that the session is limited by, and counts its calls for
    /// its client meanwhile.
    fn set_limited(&self, state: &mut SessionState, by: Option<Arc<UpstreamLoad>>) {
        let before = state.limited.take().map_or(0, |limited| limited.counted);
        state.limited = by.map(|by| LimitedSession {
            by,
            counted: state.calls.len(),
        });
        let now = state.limited.as_ref().map_or(0, |limited| limited.counted);
        let owner = self.call_owner(&state.login);
        self.context.client_calls.change_count(&owner, before, now);
    }

    /// Whether no call waits for its RETURN and no message is deferred.
    fn has_nothing_in_flight(&self) -> bool {
        let state = self.state.lock();
        state.calls.len() == 0 && state.deferred == 0
    }

    pub(crate) fn totals(&self) -> TrafficTotals {
        let traffic = &self.traffic;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TrafficTotals {
            calls: count(&traffic.calls),
            in_flight: self.state.lock().calls.len() as u64,
            refused: count(&traffic.refused),
            pushes: count(&traffic.pushes),
            bytes_in: count(&traffic.bytes_in),
            bytes_out: count(&traffic.bytes_out),
        }
    }

    /// Closes the connection, and tells the client why: `text` fails its calls in
    /// flight. After CONNECT_REJECT the client does not connect again by itself.
    fn end(&self, reason: &'static str, code: ErrorCode, text: &str) {
        if self.is_closing.load(Ordering::Acquire) {
            return;
        }
        self.fail_calls(ErrorCode::ConnectReject, text, |_| true);
        if let Some(connection) = self.connection() {
            connection.say_goodbye(code, text);
        }
        self.close(reason);
    }

    /// Closes the connection after what waits for the client has been sent. The
    /// first reason counts.
    fn close(&self, reason: &'static str) {
        if self.is_closing.swap(true, Ordering::AcqRel) {
            return;
        }
        ::metrics::counter!(metrics::ENDED, "reason" => reason).increment(1);
        static LIMIT: LogLimit = LogLimit::new();
        if LIMIT.allows("closed connections") {
            tracing::info!(session = self.number, address = %self.address, reason, "closing a connection");
        }
        if let Some(connection) = self.connection() {
            connection.close();
        }
    }

    /// Removes a call that ends.
    fn take_call(&self, sequence: u32) -> Option<ForwardedCall> {
        let call = self.state.lock().calls.take(sequence);
        if self.is_paused.load(Ordering::Acquire) {
            self.changed.notify_one();
        }
        call
    }

    /// Answers a call with an error.
    fn fail_call(&self, sequence: u32, code: ErrorCode, text: &str) {
        self.answer(self.take_call(sequence), code, text);
    }

    /// Answers the calls that `is_lost` selects with an error.
    fn fail_calls(&self, code: ErrorCode, text: &str, is_lost: impl Fn(&ForwardedCall) -> bool) {
        let lost = self.state.lock().calls.take_where(is_lost);
        if !lost.is_empty() {
            self.changed.notify_one();
            self.answer(lost.into_iter().map(|(_, call)| call), code, text);
        }
    }

    /// Answers the calls that have exceeded their time. Their servers may still
    /// run them.
    fn time_out_calls(&self, now: Instant) {
        let call_time = self.context.properties.call_time;
        let (late, owner) = {
            let mut state = self.state.lock();
            let is_late =
                |call: &ForwardedCall| now.saturating_duration_since(call.since) > call_time;
            let late = state.calls.take_where(is_late);
            (late, self.call_owner(&state.login))
        };
        if late.is_empty() {
            return;
        }
        self.changed.notify_one();
        let routes = self.context.routes.load();
        for (_, call) in &late {
            if let Some(upstream) = call.upstream {
                routes.upstreams.timed_out(upstream);
            }
            let text = "no server has answered the gateway in time";
            self.answer_one(call, ErrorCode::Timeout, text);
        }
        self.context.client_calls.abandon(&owner, late, call_time);
    }

    fn answer(&self, calls: impl IntoIterator<Item = ForwardedCall>, code: ErrorCode, text: &str) {
        for call in calls {
            self.answer_one(&call, code, text);
        }
    }

    fn answer_one(&self, call: &ForwardedCall, code: ErrorCode, text: &str) {
        if let Some(connection) = self.connection() {
            call.metrics.count_failure(code);
            connection.refuse(call.header, code, text);
        }
    }

    /// Counts a CALL that is answered with an error, or dropped if it is oneway.
    fn count_refused(&self, header: Header, code: ErrorCode, reason: &'static str) {
        if header.calltype.is_oneway() {
            return self.context.dropped.count(reason);
        }
        self.traffic.refused.fetch_add(1, Ordering::Relaxed);
        ::metrics::counter!(metrics::CALLS_REFUSED, "code" => code.to_string(), "reason" => reason)
            .increment(1);
    }

    /// Closes a connection that is silent for too long, and fails calls that have
    /// exceeded their time.
    pub(crate) fn check_times(&self, now: Instant) {
        let properties = &self.context.properties;
        let (is_awaited, last_read_at, login_ends_at) = {
            let state = self.state.lock();
            let is_awaited = state.login.is_awaited();
            (is_awaited, state.last_read_at, state.login_ends_at)
        };
        if login_ends_at.is_some_and(|end| end <= now) {
            self.expire_login();
        }
        let is_exceeded = |since: Instant, limit: Option<Duration>| {
            limit.is_some_and(|limit| now.saturating_duration_since(since) > limit)
        };
        if is_awaited {
            if is_exceeded(last_read_at, properties.first_message_time) {
                let text = "no message has logged this connection in";
                self.end("first_message_time", ErrorCode::ConnectFailed, text);
            }
        } else if is_exceeded(last_read_at, properties.idle_time) && self.has_nothing_in_flight() {
            let connection = self.connection();
            let heartbeat = connection.and_then(|it| it.heartbeat_received_at());
            if is_exceeded(heartbeat.unwrap_or(last_read_at), properties.idle_time) {
                let text = "the connection was idle for too long";
                self.end("idle_time", ErrorCode::ConnectFailed, text);
            }
        }
        self.time_out_calls(now);
    }

    /// Keeps a message for later and pauses reading. Returns `None` if the client
    /// has disconnected, or the message is refused because it exceeds the
    /// session's share of the memory budget.
    fn defer(&self, message: &mut InboundMessage<'_>) -> Option<DeferredMessage> {
        let connection = self.connection()?;
        let size = message.payload().len();
        let mut charge = self.context.memory.charge();
        if size > UNCOUNTED_DEFERRED && !charge.try_set(size) {
            let header = message.message().header;
            self.count_refused(header, ErrorCode::SendFailed, "memory");
            let text = "the gateway has no memory to keep this message until it can be sent";
            message.refuse(ErrorCode::SendFailed, text);
            return None;
        }
        let deferred = DeferredMessage {
            connection,
            header: message.message().header,
            payload: message.payload().to_vec(),
            read_at: message.read_at(),
            _charge: charge,
        };
        self.state.lock().deferred += 1;
        self.is_paused.store(true, Ordering::Release);
        Some(deferred)
    }

    /// Handles a deferred message as if it had just arrived.
    fn resume(&self, deferred: &DeferredMessage) {
        self.state.lock().is_resuming = true;
        let DeferredMessage {
            payload, read_at, ..
        } = deferred;
        deferred.connection.resume(payload, *read_at);
        self.state.lock().is_resuming = false;
    }

    /// A deferred message is handled, or deferred again: reading may continue.
    fn end_deferral(&self) {
        self.state.lock().deferred -= 1;
        self.changed.notify_one();
    }
}

/// A message of a client that is handled later.
struct DeferredMessage {
    connection: Connection,
    header: Header,
    payload: Vec<u8>,
    read_at: Instant,
    _charge: MemoryCharge,
}

/// A deferred message of at most this size in bytes is not counted for the memory
/// budget.
const UNCOUNTED_DEFERRED: usize = 64 << 10;

impl DeferredMessage {
    fn refuse(&self, code: ErrorCode, text: &str) {
        if !self.header.calltype.is_oneway() {
            self.connection.refuse(self.header, code, text);
        }
    }
}

/// A forwarded twoway call, which waits for its RETURN.
#[derive(Debug)]
struct ForwardedCall {
    /// As the client sent it; the RETURN repeats its fields.
    header: Header,
    since: Instant,
    /// The server that it was sent to; `None` for a queue.
    upstream: Option<UpstreamId>,
    permit: CallPermit,
    metrics: Arc<RouteMetrics>,
}

/// The forwarded calls of a session, by the sequence that the gateway assigned.
/// A client's own sequences may repeat, also on a later connection of the same
/// user: a late RETURN must not answer another call.
#[derive(Debug, Default)]
struct ForwardedCalls(HashMap<u32, ForwardedCall, BuildHasherDefault<SequenceHasher>>);

/// The number of calls that an idle session keeps memory for.
const KEPT_CAPACITY: usize = 128;

impl ForwardedCalls {
    /// Sequences repeat only after 2^32 calls, long after `call_time`.
    fn insert(&mut self, sequence: u32, call: ForwardedCall) {
        self.0.insert(sequence, call);
    }

    /// Corrects the server that a call was sent to.
    fn set_upstream(&mut self, sequence: u32, upstream: UpstreamId, permit: CallPermit) {
        if let Some(call) = self.0.get_mut(&sequence) {
            call.upstream = Some(upstream);
            call.permit = permit;
        }
    }

    fn take(&mut self, sequence: u32) -> Option<ForwardedCall> {
        let call = self.0.remove(&sequence);
        if self.0.is_empty() && self.0.capacity() > KEPT_CAPACITY {
            // An idle connection does not keep the memory of a burst.
            self.0 = HashMap::default();
        }
        call
    }

    fn take_where(
        &mut self,
        is_taken: impl Fn(&ForwardedCall) -> bool,
    ) -> Vec<(u32, ForwardedCall)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let taken = self.0.extract_if(|_, call| is_taken(call));
        taken.collect()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Hashes sequences, which the gateway chooses: no peer can cause collisions.
#[derive(Default)]
struct SequenceHasher(u64);

impl Hasher for SequenceHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 << 8) | u64::from(byte);
        }
    }

    fn write_u32(&mut self, sequence: u32) {
        self.0 = u64::from(sequence);
    }

    /// Multiplies by the golden ratio (Knuth, "The Art of Computer Programming",
    /// 6.4), which spreads consecutive numbers.
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// How far a client may be ahead of its rate.
const BURST: Duration = Duration::from_secs(1);

/// Limits a rate, by the time at which the next unit is due.
#[derive(Debug)]
struct RateLimiter {
    /// Units per second; `None` without a limit.
    limit: Option<NonZeroU64>,
    next: Instant,
}

impl RateLimiter {
    fn new(per_second: Option<usize>) -> Self {
        Self {
            limit: per_second.and_then(|limit| NonZeroU64::new(limit as u64)),
            next: Instant::now(),
        }
    }

    /// Counts units. Returns whether the limit is exceeded.
    fn count(&mut self, units: usize, now: Instant) -> bool {
        let Some(limit) = self.limit else {
            return false;
        };
        let nanos = (units as u64).saturating_mul(NANOS_PER_SECOND) / limit;
        self.next = self.next.max(now) + Duration::from_nanos(nanos);
        self.next.saturating_duration_since(now) > BURST
    }

    /// When the limit is no longer exceeded.
    fn free_at(&self) -> Instant {
        self.next.checked_sub(BURST).unwrap_or(self.next)
    }
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;
