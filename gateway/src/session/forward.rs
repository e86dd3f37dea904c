//! Messages from clients to servers.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tce_runtime::{
    BUILTIN_INTERFACE, CloseCode, Connection, ErrorCode,
    forwarding::{
        Disposition, ForwardError, InboundMessage, MessageHandler, NO_ROUTE, NO_SERVER, PING,
        Undelivered,
    },
    wire::{Header, KeySet, ROUTED},
};
use tokio::time::timeout;

use super::{
    Session, SessionUser, call_guard::CallGuard, context::Forwarding, deliver::SERVER_DISCONNECTED,
    describe, login::is_session_call, read_rates::ReadRates,
};
use crate::{spans::Tracer, upstream::Upstream};

/// How often a session that has its share of an upstream checks whether the
/// share has grown. Its own RETURNs are notified.
const SHARE_CHECK: Duration = Duration::from_millis(50);

/// The keys of an extra that clients can't set: the gateway sets them, or reads
/// them itself.
const NOT_FROM_CLIENTS: KeySet = KeySet::TOKEN
    .union(KeySet::DEVICE_ID)
    .union(KeySet::USER_ID)
    .union(KeySet::MQ_RETURN)
    .union(KeySet::ERROR)
    .union(KeySet::MULTI_CALL);

/// The keys of a CALL that the gateway sets in place of its client.
#[inline]
fn not_from_clients(header: Header) -> KeySet {
    match header.calltype.is_oneway() {
        // It expires only as its client says.
        true => NOT_FROM_CLIENTS,
        false => NOT_FROM_CLIENTS.union(KeySet::DEADLINE),
    }
}

impl Undelivered for Session {
    fn undelivered(&self, header: Header, code: ErrorCode, text: &str) {
        self.fail_call(header.sequence, code, text);
    }
}

impl MessageHandler for Session {
    fn handle(&self, message: &mut InboundMessage<'_>) -> Disposition {
        if self.is_closing.load(Ordering::Acquire) {
            self.context.dropped.count("closing");
            return Disposition::Handled;
        }
        let header = message.message().header;
        if let Some(rates) = &self.rates {
            self.count_rates(rates, message);
        }
        if !header.calltype.is_call() {
            // A client sends RETURNs only for calls of the gateway itself, and one to say
            // that it does not come back.
            self.end_history_if_closed(message);
            return Disposition::Local;
        }
        let Some(user) = self.logged_in_user() else {
            // Before the login only `ping` is answered. One with a token is a login.
            let has_token = message.message().reserved_text(KeySet::TOKEN).is_some();
            return match (header.ifidx, header.opidx) {
                (BUILTIN_INTERFACE, op) if op == PING.opidx() && !has_token => Disposition::Local,
                _ => self.log_in(message),
            };
        };
        let has_token = message.message().keys().contains(KeySet::TOKEN);
        if has_token && !is_session_call(header) {
            self.consider_token(message);
        }
        let routes = self.context.routes.load();
        let forwarding = routes.forwarding(header.ifidx, self.endpoint);
        if let Some(forwarding) = forwarding
            && let Some(guard) = &forwarding.guard
            && !self.passes(guard, message, forwarding, user)
        {
            return Disposition::Handled;
        }
        match forwarding {
            Some(forwarding) if !forwarding.has_servant => {
                self.forward_call(message, forwarding, user);
                Disposition::Handled
            }
            None if !message.has_servant() => {
                self.refuse_without_route(message);
                Disposition::Handled
            }
            _ if is_session_call(header) => {
                self.handle_session_call(message);
                Disposition::Handled
            }
            _ if describe::is_describe(header) && !self.may_describe(message, user) => {
                Disposition::Handled
            }
            _ => {
                self.traffic.calls.fetch_add(1, Ordering::Relaxed);
                Disposition::LocalAs(Arc::clone(&user.name))
            }
        }
    }

    fn has_read(&self, bytes: u64, at: Instant) {
        self.traffic.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        let mut state = self.state.lock();
        if !state.login.is_awaited() {
            state.last_read_at = at;
        }
        if !std::mem::replace(&mut state.has_spoken, true) {
            self.context.registry.has_spoken(self.number);
        }
    }

    fn connected(&self, connection: &Connection) {
        // The runtime calls this once per connection.
        let _ = self.connection.set(connection.downgrade());
        if let Some(this) = self.this.upgrade() {
            self.context.registry.insert(this);
        }
        self.log_in_anonymous();
    }

    fn disconnected(&self, _connection: &Connection, reason: &str) {
        tracing::debug!(session = self.number, address = %self.address, "a client has disconnected: {reason}");
        self.set_limited(&mut self.state.lock(), None);
        let lost = self.take_calls(|_| true);
        for (_, call) in &lost {
            let metrics = &call.permit.target().metrics;
            metrics.count_failure(ErrorCode::ConnectionLost);
        }
        if !lost.is_empty() {
            let call_time = self.context.properties.call_time;
            let calls = &self.context.client_calls;
            calls.abandon(&self.call_owner(), lost, call_time);
        }
        self.log_out(reason);
        self.context.registry.remove(self);
    }

    fn stalled(&self) {
        let text = "the client has not read what was sent to it";
        self.end("slow_reader", CloseCode::SlowReader, text);
    }

    fn max_frame_before_login(&self) -> Option<usize> {
        let is_logged_in = self.logged_in_user().is_some();
        let is_demanded = self.context.authenticator.is_some() && !is_logged_in;
        is_demanded.then_some(self.context.properties.max_frame_before_login)
    }

    fn should_pause(&self) -> bool {
        self.is_paused.load(Ordering::Acquire) || self.is_closing.load(Ordering::Acquire)
    }

    fn waits_for_capacity(&self) -> bool {
        true
    }

    fn until_resumed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if self.is_closing.load(Ordering::Acquire) {
                // The end of the connection drops this future.
                return std::future::pending().await;
            }
            let changed = self.changed.notified();
            let free_at = {
                let mut state = self.state.lock();
                let is_limited = self.is_limited(&mut state);
                let rates = self.rates.as_ref();
                (!is_limited && state.deferred == 0)
                    .then(|| rates.map(|rates| rates.lock().free_at()))
            };
            match free_at {
                Some(at) => {
                    if let Some(at) = at {
                        tokio::time::sleep_until(at.into()).await;
                    }
                    self.is_paused.store(false, Ordering::Release);
                }
                // The calls of other sessions that end are not notified.
                None => drop(timeout(SHARE_CHECK, changed).await),
            }
        })
    }

    fn is_idle(&self) -> bool {
        self.has_nothing_in_flight()
    }
}

impl Session {
    /// Counts a message for the rates of the client, unless it was counted before it
    /// was deferred.
    fn count_rates(&self, rates: &Mutex<ReadRates>, message: &InboundMessage<'_>) {
        if self.state.lock().is_resuming {
            return;
        }
        let size = message.payload().len();
        if rates.lock().count(size, message.read_at()) {
            self.is_paused.store(true, Ordering::Release);
        }
    }

    /// Whether a CALL may be made by its user, and now; answers one that may not.
    fn passes(
        &self,
        guard: &CallGuard,
        message: &mut InboundMessage<'_>,
        forwarding: &Forwarding,
        user: &SessionUser,
    ) -> bool {
        let Some((reason, text)) = self.refusal(guard, message, user) else {
            return true;
        };
        self.count_call(forwarding);
        forwarding.metrics.count_failure(ErrorCode::ConnectReject);
        self.refuse(message, ErrorCode::ConnectReject, reason, &text);
        false
    }

    /// Why a user may not make a CALL, or not now: the label of the metric, and the text.
    fn refusal(
        &self,
        guard: &CallGuard,
        message: &mut InboundMessage<'_>,
        user: &SessionUser,
    ) -> Option<(&'static str, String)> {
        let roles = user.roles.load();
        let roles = roles.as_deref().map(Vec::as_slice).unwrap_or_default();
        if let Some(text) = guard.missing_role(roles) {
            return Some(("role", text));
        }
        let cells = user.rates.as_deref()?;
        if self.state.lock().is_guarded {
            return None;
        }
        let now = message.read_nanos(self.context.start);
        let text = guard.exceeded_rate(&self.context.rates, cells, now)?;
        Some(("rate", text))
    }

    /// Whether a user may ask which interfaces the servers have; answers one that may not.
    fn may_describe(&self, message: &mut InboundMessage<'_>, user: &SessionUser) -> bool {
        let refused = match &self.context.describe_guard {
            Some(guard) => self.refusal(guard, message, user),
            None => Some(("describe", describe::REFUSED.to_owned())),
        };
        let Some((reason, text)) = refused else {
            return true;
        };
        self.traffic.calls.fetch_add(1, Ordering::Relaxed);
        self.refuse(message, ErrorCode::ConnectReject, reason, &text);
        false
    }

    /// Forwards a CALL, defers it, or refuses it.
    fn forward_call(
        &self,
        message: &mut InboundMessage<'_>,
        forwarding: &Forwarding,
        user: &SessionUser,
    ) {
        let upstream = &forwarding.upstream;
        if upstream.has_waiting() && !self.state.lock().is_resuming {
            return self.wait_for_capacity(message, upstream);
        }
        let host = upstream.next_host(self.number, || self.calls.count() == 0);
        let header = self.enter_call(message, forwarding, host);
        let traced = match &self.context.tracer {
            None => None,
            Some(tracer) => self.send_traced(tracer, message, forwarding, host, header, user),
        };
        let sent = match traced {
            None => self.send(message, forwarding, host, header, user),
            Some(sent) => sent,
        };
        match sent {
            Ok(_) if header.calltype.is_oneway() => self.count_call(forwarding),
            Ok(taken_by) if taken_by != host => {
                self.call_moved(header.sequence, forwarding, taken_by);
            }
            Ok(_) => {}
            Err(ForwardError::Full) => {
                self.withdraw_call(header);
                self.wait_for_capacity(message, upstream);
            }
            Err(error) => {
                self.withdraw_call(header);
                self.count_call(forwarding);
                self.refuse_unsent(message, forwarding, error);
            }
        }
    }

    /// As [`Session::send`], with a span; `None` if the sender does not record its trace.
    #[cold]
    fn send_traced(
        &self,
        tracer: &Tracer,
        message: &mut InboundMessage<'_>,
        forwarding: &Forwarding,
        host: usize,
        header: Header,
        user: &SessionUser,
    ) -> Option<Result<usize, ForwardError>> {
        let span = tracer.begin(message, forwarding.metrics.interface())?;
        let of_span = span.extra().clone();
        let parts = [
            forwarding.added_extra.raw(),
            user.extra.raw(),
            of_span.raw(),
        ];
        let expires_in = message.prepare_own_extra(&parts, self.context.properties.call_time);
        let without = not_from_clients(header).union(KeySet::TRACEPARENT);
        let is_oneway = header.calltype.is_oneway();
        let mut ending = None;
        match is_oneway {
            true => ending = Some(span),
            // Before it is sent: the RETURN may be quick.
            false => tracer.keep(header.sequence, span),
        }
        let upstream = &forwarding.upstream;
        let sent = upstream.forward(self.number, host, message, header, without, expires_in);
        if sent.is_err() && !is_oneway {
            ending = tracer.take(header.sequence);
        }
        if let Some(span) = ending {
            match sent {
                Ok(_) => span.end(None),
                // It waits, and is forwarded later.
                Err(ForwardError::Full) => span.discard(),
                Err(_) => span.end(Some(ErrorCode::SendFailed)),
            }
        }
        Some(sent)
    }

    /// Counts a call that has a route and is not among those that wait for their
    /// RETURN.
    fn count_call(&self, forwarding: &Forwarding) {
        self.traffic.calls.fetch_add(1, Ordering::Relaxed);
        forwarding.metrics.count_call();
    }

    /// Enters a twoway CALL among those that wait for their RETURN. Returns the
    /// header to forward it with.
    fn enter_call(
        &self,
        message: &mut InboundMessage<'_>,
        forwarding: &Forwarding,
        host: usize,
    ) -> Header {
        let client_header = message.message().header;
        let mut header = client_header;
        header.call_id |= ROUTED;
        if !header.calltype.is_oneway()
            && let (Some(target), Some(this)) = (forwarding.targets.get(host), self.this.upgrade())
        {
            let context = &self.context;
            header.sequence = context.calls.insert(
                context.thread,
                this,
                client_header,
                message.read_nanos(context.start),
                target.begin(),
            );
            if !self.may_add_call(&target.load, 0) {
                self.limit(&mut self.state.lock(), &target.load);
            }
        }
        header
    }

    /// Another server than the one of `enter_call` has taken a call.
    fn call_moved(&self, sequence: u32, forwarding: &Forwarding, host: usize) {
        let Some(target) = forwarding.targets.get(host) else {
            return;
        };
        self.context.calls.set_target(sequence, target.begin());
        let server = target.server;
        if server.is_some_and(|server| forwarding.upstream.has_lost(server)) {
            // It may have disconnected before the call named it.
            self.fail_call(sequence, ErrorCode::ConnectionLost, SERVER_DISCONNECTED);
        }
    }

    /// Removes a CALL that was entered and not sent. A oneway CALL has the client's
    /// sequence, which may be that of another call here.
    fn withdraw_call(&self, header: Header) {
        if !header.calltype.is_oneway() {
            self.context.calls.withdraw(header.sequence);
            self.call_ended();
        }
    }

    /// Sends a CALL to its upstream, with the user and the queue for its RETURN.
    /// Returns the position of the server that has taken it.
    fn send(
        &self,
        message: &mut InboundMessage<'_>,
        forwarding: &Forwarding,
        host: usize,
        header: Header,
        user: &SessionUser,
    ) -> Result<usize, ForwardError> {
        let without = not_from_clients(header);
        // The sessions of one read are one, so that its route tells what is added.
        let key = std::ptr::from_ref(forwarding).addr();
        let parts = [forwarding.added_extra.raw(), user.extra.raw()];
        let call_time = self.context.properties.call_time;
        let expires_in = message.prepare_extra(key, &parts, call_time);
        let upstream = &forwarding.upstream;
        upstream.forward(self.number, host, message, header, without, expires_in)
    }

    fn refuse_without_route(&self, message: &mut InboundMessage<'_>) {
        let ifidx = message.message().header.ifidx;
        let text = format!("{NO_ROUTE}{ifidx}");
        self.traffic.calls.fetch_add(1, Ordering::Relaxed);
        self.refuse(message, ErrorCode::InterfaceNotFound, "no_route", &text);
    }

    /// Answers a CALL that its upstream has not taken.
    fn refuse_unsent(
        &self,
        message: &mut InboundMessage<'_>,
        forwarding: &Forwarding,
        error: ForwardError,
    ) {
        forwarding.metrics.count_failure(ErrorCode::SendFailed);
        let upstream = &forwarding.upstream;
        let text = match upstream.unavailable() {
            Some(reason) => format!("endpoint `{}`: {}", upstream.name(), reason.text()),
            None if matches!(error, ForwardError::Disconnected) => {
                format!("endpoint `{}`: {NO_SERVER}", upstream.name())
            }
            None => format!("endpoint `{}`: {error}", upstream.name()),
        };
        let counted = match error {
            ForwardError::NoMemory => "memory",
            _ => "not_sent",
        };
        self.refuse(message, ErrorCode::SendFailed, counted, &text);
    }

    /// Answers a CALL with an error, or drops it if it is oneway.
    fn refuse(
        &self,
        message: &mut InboundMessage<'_>,
        code: ErrorCode,
        reason: &'static str,
        text: &str,
    ) {
        self.count_refused(message.message().header, code, reason);
        message.refuse(code, text);
    }

    /// Defers a CALL until its upstream has capacity, for `call_time` at most.
    fn wait_for_capacity(&self, message: &mut InboundMessage<'_>, upstream: &Arc<Upstream>) {
        let Some(deferred) = self.defer(message) else {
            return;
        };
        let (this, number) = (self.this.clone(), self.number);
        let (ticket, name) = (upstream.wait_ticket(), upstream.name().to_owned());
        let call_time = self.context.properties.call_time;
        tokio::spawn(async move {
            let permit = timeout(call_time, ticket.permit(number)).await;
            let Some(session) = this.upgrade() else {
                return;
            };
            if !matches!(permit, Ok(Some(_))) {
                let text = format!("endpoint `{name}`: {}", ForwardError::Full);
                deferred.refuse(ErrorCode::SendFailed, &text);
                session.traffic.calls.fetch_add(1, Ordering::Relaxed);
                session.count_refused(deferred.header, ErrorCode::SendFailed, "not_sent");
            } else if deferred.connection.is_connected() {
                session.resume(&deferred);
            } else {
                session.context.dropped.count("client_gone");
            }
            session.end_deferral();
        });
    }
}
