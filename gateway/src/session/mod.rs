//! One client connection: who its user is, what it has under way, what it may.

mod calls;
mod login;
mod pace;

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tce_runtime::{
    Connection, ErrorCode, NotPassed, Passing, Relay, Relayed, WeakConnection,
    wire::{Header, PatchedExtra, ROUTED, reserved},
};
use tokio::sync::Notify;

use calls::CallsInFlight;
pub(crate) use calls::{Call, Via};
use login::Login;
use pace::Pace;

use crate::{admin::Totals, core::Core, metric, places::Place, slots::Slot};

/// The keys that no client sends to a server: each is the gateway's to set, or
/// meant for the gateway alone.
const NOT_FROM_CLIENTS: [&str; 5] = [
    reserved::TOKEN,
    reserved::DEVICE_ID,
    reserved::USER_ID,
    reserved::MQ_RETURN,
    reserved::ERROR,
];
/// The keys that tell a client nothing.
const NOT_FOR_CLIENTS: [&str; 4] = [
    reserved::TOKEN,
    reserved::DEVICE_ID,
    reserved::USER_ID,
    reserved::MQ_RETURN,
];

/// One client connection.
pub(crate) struct Session {
    pub(crate) core: Arc<Core>,
    /// Grows with every connection of this process.
    pub(crate) number: u64,
    /// The endpoint that the client came to.
    pub(crate) endpoint: Slot,
    pub(crate) address: SocketAddr,
    pub(crate) since: SystemTime,
    connection: OnceLock<WeakConnection>,
    state: Mutex<State>,
    /// Whether nothing more is read from the client: it logs in, or is too fast.
    is_held: AtomicBool,
    /// Something that held it has changed.
    changed: Notify,
    traffic: Traffic,
    /// Counted among the connections of its address as long as it lives.
    _place: Place,
    this: Weak<Self>,
}

/// What has gone by.
#[derive(Debug, Default)]
struct Traffic {
    calls: AtomicU64,
    pushes: AtomicU64,
    refused: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

struct State {
    login: Login,
    calls: CallsInFlight,
    pace: Pace,
    /// When the client has last sent something.
    heard_at: Instant,
    has_spoken: bool,
}

impl Session {
    pub(crate) fn new(
        core: &Arc<Core>,
        endpoint: Slot,
        address: SocketAddr,
        place: Place,
    ) -> Arc<Self> {
        let properties = &core.properties;
        let state = State {
            login: Login::new(core),
            calls: CallsInFlight::default(),
            pace: Pace::new(properties.max_frames_per_second),
            heard_at: Instant::now(),
            has_spoken: false,
        };
        Arc::new_cyclic(|this| Self {
            core: Arc::clone(core),
            number: core.next_number(),
            endpoint,
            address,
            since: SystemTime::now(),
            connection: OnceLock::new(),
            state: Mutex::new(state),
            is_held: AtomicBool::new(false),
            changed: Notify::new(),
            traffic: Traffic::default(),
            _place: place,
            this: Weak::clone(this),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, unless it has ended.
    pub(crate) fn connection(&self) -> Option<Connection> {
        self.connection.get()?.upgrade()
    }

    /// The user, once there is one.
    pub(crate) fn user(&self) -> Option<Arc<str>> {
        self.lock().login.user().cloned()
    }

    pub(crate) fn calls_in_flight(&self) -> usize {
        self.lock().calls.len()
    }

    /// What it has seen so far.
    pub(crate) fn totals(&self) -> Totals {
        let traffic = &self.traffic;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            calls: count(&traffic.calls),
            in_flight: self.calls_in_flight() as u64,
            refused: count(&traffic.refused),
            pushes: count(&traffic.pushes),
            bytes_in: count(&traffic.bytes_in),
            bytes_out: count(&traffic.bytes_out),
        }
    }

    /// Ends the connection, once what waits for the client is sent.
    pub(crate) fn end(&self, reason: &'static str) {
        metrics::counter!(metric::ENDED, "reason" => reason).increment(1);
        tracing::info!(session = self.number, address = %self.address, reason, "ends a connection");
        self.is_held.store(true, Ordering::Release);
        if let Some(connection) = self.connection() {
            connection.close();
        }
    }

    /// Passes a CALL on to whoever its route names.
    fn pass_on(&self, passing: &mut Passing<'_>, user: &Arc<str>) {
        let message = passing.message();
        let ifidx = message.header.ifidx;
        let table = self.core.table.load();
        let Some(way) = table.call(ifidx, self.endpoint) else {
            let text = format!("the gateway has no route for calls to interface {ifidx}");
            return self.refuse(passing, ErrorCode::InterfaceNotFound, "no_route", &text);
        };
        let is_oneway = message.header.calltype.is_oneway();
        let mut header = message.header;
        header.call_id |= ROUTED;
        if !is_oneway {
            header.sequence = self.core.next_sequence();
            let call = Call::new(&message.header, passing.read_at(), way.meter());
            let limit = self.core.properties.max_calls_in_flight;
            if !self.lock().calls.enter(header.sequence, call, limit) {
                let text = format!("more than {limit} calls of this connection are in flight");
                return self.refuse(passing, ErrorCode::ConnectReject, "calls_in_flight", &text);
            }
        }
        let to_servers = [
            (reserved::USER_ID, &**user),
            (reserved::MQ_RETURN, way.returns_by()),
        ];
        let extra = PatchedExtra {
            of: message.extra,
            without: &NOT_FROM_CLIENTS,
            with: if way.returns_by().is_empty() {
                &to_servers[..1]
            } else {
                &to_servers
            },
        };
        way.meter().called();
        let passed = way.backend().pass(
            self.number,
            passing,
            header,
            &extra,
            self.core.properties.call_time,
        );
        match passed {
            Ok(via) if !is_oneway => self.lock().calls.went(header.sequence, via),
            Ok(_) => {}
            Err(error) => {
                self.lock().calls.take(header.sequence);
                way.meter().failed(ErrorCode::SendFailed);
                let text = format!("endpoint `{}`: {error}", way.backend().name());
                self.refuse(passing, ErrorCode::SendFailed, "not_sent", &text);
            }
        }
    }

    /// Answers a CALL with an error; a oneway one is dropped.
    fn refuse(&self, passing: &mut Passing<'_>, code: ErrorCode, reason: &'static str, text: &str) {
        if passing.message().header.calltype.is_oneway() {
            return self.core.drops.count(reason);
        }
        self.traffic.refused.fetch_add(1, Ordering::Relaxed);
        metrics::counter!(metric::CALLS_REFUSED, "code" => code.to_string(), "reason" => reason)
            .increment(1);
        passing.refuse(code, text);
    }

    /// Passes a RETURN to the client; one that no call of its waits for is
    /// dropped.
    pub(crate) fn returned(&self, passing: &mut Passing<'_>) {
        let message = passing.message();
        let Some(call) = self.lock().calls.take(message.header.sequence) else {
            return self.core.drops.count("late_return");
        };
        call.returned(message.header.errcode, passing.read_at());
        let header = Header {
            errcode: message.header.errcode,
            paramsize: message.header.paramsize,
            ..call.header.returning(0)
        };
        self.send(passing, header);
    }

    /// Passes a server's CALL to the client, oneway.
    pub(crate) fn push(&self, passing: &mut Passing<'_>) {
        let mut header = passing.message().header;
        header.call_id &= !ROUTED;
        header.calltype = tce_runtime::wire::CallType::ONEWAY;
        self.traffic.pushes.fetch_add(1, Ordering::Relaxed);
        self.send(passing, header);
    }

    fn send(&self, passing: &mut Passing<'_>, header: Header) {
        let Some(connection) = self.connection() else {
            return self.core.drops.count("client_gone");
        };
        let extra = PatchedExtra {
            of: passing.message().extra,
            without: &NOT_FOR_CLIENTS,
            with: &[],
        };
        match passing.pass(&connection, header, &extra, None) {
            Ok(()) => {
                let size = passing.payload().len() as u64;
                self.traffic.bytes_out.fetch_add(size, Ordering::Relaxed);
            }
            Err(NotPassed::Detached) => self.core.drops.count("client_gone"),
            Err(NotPassed::Full) if header.calltype.is_return() => {
                // It had its chance: its calls were not read any more.
                self.core.drops.count("slow_reader");
                self.end("slow_reader");
            }
            Err(NotPassed::Full) => self.core.drops.count("slow_reader"),
            Err(_) => self.core.drops.count("too_large"),
        }
    }

    /// Answers the calls that have waited too long, or that `is_lost` says are
    /// lost, with an error.
    pub(crate) fn fail_calls(&self, code: ErrorCode, text: &str, is_lost: impl Fn(&Call) -> bool) {
        let lost = self.lock().calls.take_where(is_lost);
        let Some(connection) = self.connection() else {
            return;
        };
        for call in lost {
            call.meter.failed(code);
            connection.refuse(call.header, code, text);
        }
    }

    /// Looks at what the client may not: be silent, or idle, for too long.
    pub(crate) fn look_after(&self, now: Instant) {
        let properties = &self.core.properties;
        let (has_spoken, silent) = {
            let state = self.lock();
            (
                state.has_spoken,
                now.saturating_duration_since(state.heard_at),
            )
        };
        let is_over = |limit: Option<Duration>| limit.is_some_and(|limit| silent > limit);
        if !has_spoken
            && self.core.authenticator.is_some()
            && is_over(properties.first_message_time)
        {
            self.end("first_message_time");
        } else if has_spoken && is_over(properties.idle_time) && self.calls_in_flight() == 0 {
            self.end("idle_time");
        }
        let late = properties.call_time;
        self.fail_calls(
            ErrorCode::Timeout,
            "no server has answered the gateway in time",
            |call| now.saturating_duration_since(call.since) > late,
        );
    }
}

impl Relay for Session {
    fn relay(&self, passing: &mut Passing<'_>) -> Relayed {
        let header = passing.message().header;
        let size = passing.payload().len() as u64;
        self.traffic.bytes_in.fetch_add(size, Ordering::Relaxed);
        let user = {
            let mut state = self.lock();
            state.heard_at = passing.read_at();
            state.has_spoken = true;
            if state.pace.is_over(passing.read_at()) {
                self.is_held.store(true, Ordering::Release);
            }
            state.login.user().cloned()
        };
        if !header.calltype.is_call() {
            // Only calls of the gateway's own can be answered by a client.
            return Relayed::Ours;
        }
        let Some(user) = user else {
            return self.log_in(passing);
        };
        self.traffic.calls.fetch_add(1, Ordering::Relaxed);
        if passing.has_servant() {
            return Relayed::OursBy(user);
        }
        self.pass_on(passing, &user);
        Relayed::Taken
    }

    fn connected(&self, connection: &Connection) {
        // It is told once.
        let _ = self.connection.set(connection.downgrade());
        if let Some(this) = self.this.upgrade() {
            self.core.join(this);
        }
        self.begin_login();
    }

    fn disconnected(&self, _connection: &Connection, reason: &str) {
        tracing::debug!(session = self.number, address = %self.address, "a client has gone: {reason}");
        let lost = self.lock().calls.take_where(|_| true);
        for call in &lost {
            call.meter.failed(ErrorCode::ConnectionLost);
        }
        self.log_out();
        self.core.leave(self);
    }

    fn holds(&self, connection: &Connection) -> bool {
        self.is_held.load(Ordering::Acquire) || connection.is_full()
    }

    fn released<'a>(
        &'a self,
        connection: &'a Connection,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            connection.room().await;
            let changed = self.changed.notified();
            let free_at = {
                let state = self.lock();
                match state.login.is_open() {
                    true => Some(state.pace.free_at()),
                    false => None,
                }
            };
            match free_at {
                // Too fast: until it is not.
                Some(at) => {
                    tokio::time::sleep_until(at.into()).await;
                    self.is_held.store(false, Ordering::Release);
                }
                None => changed.await,
            }
        })
    }

    fn is_idle(&self) -> bool {
        self.calls_in_flight() == 0
    }

    fn undelivered(&self, header: Header, code: ErrorCode, text: &str) {
        self.fail_calls_of(header.sequence, code, text);
    }
}

impl Session {
    fn fail_calls_of(&self, sequence: u32, code: ErrorCode, text: &str) {
        let call = self.lock().calls.take(sequence);
        if let (Some(call), Some(connection)) = (call, self.connection()) {
            call.meter.failed(code);
            connection.refuse(call.header, code, text);
        }
    }
}
