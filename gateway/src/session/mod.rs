//! Sessions: one for each client connection.
//!
//! `Session` and `SessionRegistry` name each other: the registry holds the
//! sessions, and a session enters and leaves it through its context.

mod calls;
mod client_calls;
mod call_guard;
mod read_rates;
mod history;
mod lost_histories;
mod history_store;
mod context;
mod registry;

mod describe;

mod login;

mod control;
mod deliver;
mod forward;

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tce_runtime::{
    CloseCode, Connection, ErrorCode, Extra,
    forwarding::{InboundMessage, LogLimit, MemoryCharge, WeakConnection},
    wire::{Header, reserved},
};
use tokio::sync::Notify;

pub(crate) use context::{ActiveRoutes, AddressPermit, GatewayPhase, SessionContext};
pub(crate) use control::is_valid_push;
pub(crate) use deliver::UpstreamHandler;
pub(crate) use describe::EndpointServant;
pub(crate) use registry::SessionRegistry;

use call_guard::RateCells;
use calls::{ForwardedCall, SessionCalls};
use client_calls::CallOwner;
use history::History;
use read_rates::ReadRates;

use crate::{
    client_address::counted_address,
    metrics::{self, GATEWAY, TrafficTotals},
    routing::EndpointKey,
    upstream::UpstreamLoad,
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
    /// The user, from the login on. Read for each CALL, without the state's lock.
    user: OnceLock<SessionUser>,
    /// Whether the login is valid.
    is_logged_in: AtomicBool,
    /// Identifies the token of the login. Compared for each CALL with a token, without
    /// the state's lock.
    token_hash: AtomicU64,
    /// The history of the pushes, from the login on; none if the client has not asked.
    history: OnceLock<SessionHistory>,
    /// Whether the client has called `login`: it knows what `spec/sessions.md` adds.
    has_said_login: AtomicBool,
    /// Whether the client was asked to continue elsewhere, and closes this connection itself
    /// when its calls have ended.
    is_sent_away: AtomicBool,
    /// `None` without a limit.
    rates: Option<Box<Mutex<ReadRates>>>,
    calls: SessionCalls,
    /// Set while nothing is read from the client: during the login, at a limit,
    /// or while a message is deferred.
    is_paused: AtomicBool,
    /// Set when the gateway closes the connection: later messages are ignored.
    is_closing: AtomicBool,
    /// Why the gateway closes the connection: the label of the metric.
    end_reason: OnceLock<&'static str>,
    /// Notified when a reason to pause may be gone.
    changed: Notify,
    traffic: TrafficCounters,
    _address_permit: AddressPermit,
    this: Weak<Self>,
}

/// The user of a session.
#[derive(Debug)]
struct SessionUser {
    name: Arc<str>,
    /// The client's device id, if it has sent one.
    device: Option<Arc<str>>,
    /// `__user_id__`, marshalled; where a user may have several devices also
    /// `__device_id__`.
    extra: Extra,
    /// Those of the last token; `None` without any.
    roles: ArcSwapOption<Vec<String>>,
    /// `None` without rates.
    rates: Option<Arc<RateCells>>,
}

/// The history of a session.
struct SessionHistory {
    history: Arc<History>,
    /// The last push that the client had handled at the login; `None` if the history is new
    /// to it.
    handled: Option<u64>,
}

/// What is not counted in [`SessionCalls`].
#[derive(Debug, Default)]
struct TrafficCounters {
    /// The calls that were not forwarded as twoway ones.
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
    /// Whether that message has passed the guard of its route.
    is_guarded: bool,
    /// Set while the session is paused because it may add no call.
    limited: Option<LimitedSession>,
    has_spoken: bool,
    /// When the last message was read, or the connection was accepted.
    last_read_at: Instant,
    /// When the login is no longer valid.
    login_ends_at: Option<Instant>,
    /// When another token that was not asked for is checked again.
    next_unasked_refresh: Option<Instant>,
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
    /// As [`Session::user`].
    LoggedIn,
    /// The login was refused, or the connection has ended.
    Closed,
}

impl LoginState {
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
            is_guarded: false,
            limited: None,
            has_spoken: false,
            last_read_at: Instant::now(),
            login_ends_at: None,
            next_unasked_refresh: None,
        };
        Arc::new_cyclic(|this| Self {
            context: Arc::clone(context),
            number: context.next_session_number(),
            endpoint,
            address,
            since: SystemTime::now(),
            connection: OnceLock::new(),
            state: Mutex::new(state),
            user: OnceLock::new(),
            is_logged_in: AtomicBool::new(false),
            token_hash: AtomicU64::new(0),
            history: OnceLock::new(),
            has_said_login: AtomicBool::new(false),
            is_sent_away: AtomicBool::new(false),
            rates: ReadRates::new(&context.properties).map(|rates| Box::new(Mutex::new(rates))),
            calls: SessionCalls::default(),
            is_paused: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            end_reason: OnceLock::new(),
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

    /// The user id, while the login is valid.
    pub(crate) fn user(&self) -> Option<Arc<str>> {
        self.logged_in_user().map(|user| Arc::clone(&user.name))
    }

    /// Identifies the connection among those of all gateways, and of all their runs.
    pub(crate) fn connection_id(&self) -> String {
        self.context.connection_id(self.number)
    }

    /// The device id that the client has logged in with.
    pub(crate) fn device(&self) -> Option<&str> {
        self.user.get()?.device.as_deref()
    }

    /// Whether another session is one of the same device.
    fn has_device_of(&self, other: &Self) -> bool {
        self.device()
            .is_some_and(|device| other.device() == Some(device))
    }

    /// The history of the pushes.
    fn history(&self) -> Option<&Arc<History>> {
        self.history.get().map(|it| &it.history)
    }

    /// Sets the history of a session that logs in, whose client has handled the pushes up
    /// to `handled`; `None` if the history is new to it.
    fn set_history(&self, history: Arc<History>, handled: Option<u64>) {
        // A session logs in once.
        let _ = self.history.set(SessionHistory { history, handled });
    }

    fn logged_in_user(&self) -> Option<&SessionUser> {
        let user = self.user.get();
        user.filter(|_| self.is_logged_in.load(Ordering::Acquire))
    }

    /// Whether the session is that of a user.
    fn is_user(&self, name: &[u8]) -> bool {
        let user = self.user.get();
        user.is_some_and(|user| user.name.as_bytes() == name)
    }

    fn calls(&self) -> &SessionCalls {
        &self.calls
    }

    /// Whom abandoned calls are counted for.
    fn call_owner(&self) -> CallOwner {
        match self.user() {
            Some(user) if self.context.authenticator.is_some() => CallOwner::User(user),
            _ => CallOwner::Address(counted_address(self.address.ip())),
        }
    }

    /// Whether the session may add a twoway call: within its own limit, and
    /// within its client's share of the upstream. `counted` are those of its calls
    /// that count for the client.
    fn may_add_call(&self, load: &UpstreamLoad, counted: usize) -> bool {
        let own = self.calls.count();
        let elsewhere = self.context.client_calls.of(|| self.call_owner());
        own < self.context.properties.max_calls_in_flight
            && load.admits(own, elsewhere.saturating_sub(counted))
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
        let is_limited = !self.may_add_call(&load, limited.counted);
        self.set_limited(state, is_limited.then_some(load));
        is_limited
    }

    /// Sets the upstream that the session is limited by, and counts its calls for
    /// its client meanwhile.
    fn set_limited(&self, state: &mut SessionState, by: Option<Arc<UpstreamLoad>>) {
        let before = state.limited.take().map_or(0, |limited| limited.counted);
        state.limited = by.map(|by| LimitedSession {
            by,
            counted: self.calls.count(),
        });
        let now = state.limited.as_ref().map_or(0, |limited| limited.counted);
        let calls = &self.context.client_calls;
        calls.change_count(&self.call_owner(), before, now);
    }

    /// Whether no call waits for its RETURN and no message is deferred.
    fn has_nothing_in_flight(&self) -> bool {
        self.calls.count() == 0 && self.state.lock().deferred == 0
    }

    pub(crate) fn totals(&self) -> TrafficTotals {
        let traffic = &self.traffic;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TrafficTotals {
            calls: count(&traffic.calls) + self.calls.forwarded(),
            in_flight: self.calls.count() as u64,
            refused: count(&traffic.refused),
            pushes: count(&traffic.pushes),
            bytes_in: count(&traffic.bytes_in),
            bytes_out: count(&traffic.bytes_out) + self.calls.returned_bytes(),
        }
    }

    /// Whether the client has called `login`, so that it knows how to be sent elsewhere.
    pub(crate) fn can_be_sent_away(&self) -> bool {
        self.has_said_login.load(Ordering::Acquire)
    }

    /// Asks the client to open its next connection after `delay`, and to close this one
    /// once its calls have ended. Returns false if the client does not know this.
    pub(crate) fn send_away(&self, delay: Duration) -> bool {
        let is_told = self.can_be_sent_away()
            && self
                .connection()
                .is_some_and(|connection| connection.say_go_away(delay));
        self.is_sent_away.fetch_or(is_told, Ordering::AcqRel);
        is_told
    }

    /// Serves the calls that have arrived, refuses later ones, and closes the connection
    /// when none is in flight.
    pub(crate) fn drain(&self) {
        let Some(connection) = self.connection() else {
            return;
        };
        let _ = self.end_reason.set("drain");
        let gateway = Arc::clone(&self.context.name);
        ::metrics::counter!(metrics::ENDED, GATEWAY => gateway, "reason" => "drain").increment(1);
        connection.set_close_reason(CloseCode::Restarting, "come back in 0 ms");
        connection.drain();
    }

    /// Closes the connection after what waits for the client has been sent, and tells
    /// the client why: `text` fails its calls in flight. `reason` is the label of the
    /// metric. The first reason counts.
    pub(crate) fn end(&self, reason: &'static str, code: CloseCode, text: &str) {
        if self.is_closing.swap(true, Ordering::AcqRel) {
            return;
        }
        // Set first: what the end of the connection reports.
        let _ = self.end_reason.set(reason);
        self.fail_calls(ErrorCode::ConnectReject, text, |_| true);
        let gateway = Arc::clone(&self.context.name);
        ::metrics::counter!(metrics::ENDED, GATEWAY => gateway, "reason" => reason).increment(1);
        static LIMIT: LogLimit = LogLimit::new();
        if LIMIT.allows("closed connections") {
            tracing::info!(session = self.number, address = %self.address, reason, "closing a connection");
        }
        if code == CloseCode::Ended
            && let Some(history) = self.history()
        {
            self.context.registry.end_history(history);
            // The client was away until now, as far as its login has ended before.
            self.context.presence.changed(&history.user);
        }
        if let Some(connection) = self.connection() {
            connection.say_goodbye(code, text);
            connection.close();
        }
    }

    /// Removes a call that ends.
    fn take_call(&self, sequence: u32) -> Option<ForwardedCall> {
        let call = self.context.calls.take(sequence);
        if let Some(tracer) = &self.context.tracer {
            // A span that is dropped has no answer.
            drop(tracer.take(sequence));
        }
        self.call_ended();
        call
    }

    /// Lets a paused session check whether it may add a call.
    fn call_ended(&self) {
        if self.is_paused.load(Ordering::Acquire) {
            self.changed.notify_one();
        }
    }

    /// Removes the calls that `is_taken` selects.
    fn take_calls(&self, is_taken: impl Fn(&ForwardedCall) -> bool) -> Vec<(u32, ForwardedCall)> {
        let calls = &self.context.calls;
        let taken = calls.take_of_session(self.context.thread, self, is_taken);
        if !taken.is_empty() {
            self.changed.notify_one();
        }
        if let Some(tracer) = &self.context.tracer {
            for (sequence, _) in &taken {
                drop(tracer.take(*sequence));
            }
        }
        taken
    }

    /// Answers a call with an error.
    fn fail_call(&self, sequence: u32, code: ErrorCode, text: &str) {
        self.answer(self.take_call(sequence), code, text);
    }

    /// Answers the calls that `is_lost` selects with an error.
    fn fail_calls(&self, code: ErrorCode, text: &str, is_lost: impl Fn(&ForwardedCall) -> bool) {
        let lost = self.take_calls(is_lost).into_iter();
        self.answer(lost.map(|(_, call)| call), code, text);
    }

    /// Answers the calls that have exceeded their time. Their servers may still
    /// run them.
    fn time_out_calls(&self, now: Instant) {
        let call_time = self.context.properties.call_time;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let now = nanos(now.saturating_duration_since(self.context.start));
        let is_late = |call: &ForwardedCall| now.saturating_sub(call.since) > nanos(call_time);
        let late = self.take_calls(is_late);
        if late.is_empty() {
            return;
        }
        let routes = self.context.routes.load();
        for (_, call) in &late {
            if let Some(server) = call.permit.target().server {
                routes.upstreams.timed_out(server);
            }
            let text = "no server has answered the gateway in time";
            self.answer_one(call, ErrorCode::Timeout, text);
        }
        let calls = &self.context.client_calls;
        calls.abandon(&self.call_owner(), late, call_time);
    }

    fn answer(&self, calls: impl IntoIterator<Item = ForwardedCall>, code: ErrorCode, text: &str) {
        for call in calls {
            self.answer_one(&call, code, text);
        }
    }

    fn answer_one(&self, call: &ForwardedCall, code: ErrorCode, text: &str) {
        if let Some(connection) = self.connection() {
            call.permit.target().metrics.count_failure(code);
            connection.refuse(call.header, code, text);
        }
    }

    /// Counts a CALL that is answered with an error, or dropped if it is oneway.
    fn count_refused(&self, header: Header, code: ErrorCode, reason: &'static str) {
        if header.calltype.is_oneway() {
            return self.context.dropped.count(reason);
        }
        self.traffic.refused.fetch_add(1, Ordering::Relaxed);
        self.context.refused.count(reason);
        let labels = [
            (GATEWAY, self.context.name.to_string()),
            ("code", code.to_string()),
            ("reason", reason.to_owned()),
        ];
        ::metrics::counter!(metrics::CALLS_REFUSED, &labels).increment(1);
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
                self.end("first_message_time", CloseCode::Idle, text);
            }
        } else if is_exceeded(last_read_at, properties.idle_time) && self.has_nothing_in_flight() {
            let connection = self.connection();
            let heartbeat = connection.and_then(|it| it.heartbeat_received_at());
            if is_exceeded(heartbeat.unwrap_or(last_read_at), properties.idle_time) {
                let text = "the connection was idle for too long";
                self.end("idle_time", CloseCode::Idle, text);
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
            is_guarded: self.is_logged_in.load(Ordering::Acquire),
            _charge: charge,
        };
        self.state.lock().deferred += 1;
        self.is_paused.store(true, Ordering::Release);
        Some(deferred)
    }

    /// Handles a deferred message as if it had just arrived.
    fn resume(&self, deferred: &DeferredMessage) {
        self.set_resuming(true, deferred.is_guarded);
        let DeferredMessage {
            payload, read_at, ..
        } = deferred;
        deferred.connection.resume(payload, *read_at);
        self.set_resuming(false, false);
    }

    fn set_resuming(&self, is_resuming: bool, is_guarded: bool) {
        let mut state = self.state.lock();
        state.is_resuming = is_resuming;
        state.is_guarded = is_guarded;
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
    /// Whether it has passed the guard of its route: the first message has not.
    is_guarded: bool,
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

impl SessionUser {
    /// `tells_device` adds the device to the extra of each CALL, so that a server can
    /// push to it alone.
    fn new(name: &Arc<str>, device: Option<Arc<str>>, tells_device: bool) -> Self {
        let mut extra = Extra::from_iter([(reserved::USER_ID, name)]);
        if let Some(device) = device.as_ref().filter(|_| tells_device) {
            extra.set(reserved::DEVICE_ID, device);
        }
        Self {
            name: Arc::clone(name),
            device,
            extra,
            roles: ArcSwapOption::empty(),
            rates: None,
        }
    }
}
