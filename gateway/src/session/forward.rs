//! Messages from clients to servers.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tce_runtime::{
    BUILTIN_INTERFACE, Connection, ErrorCode,
    forwarding::{Disposition, ForwardError, InboundMessage, MessageHandler, Undelivered},
    wire::{Decimal, Header, PatchedExtra, ROUTED, reserved},
};
use tokio::time::timeout;

use super::{ForwardedCall, Session, deliver::SERVER_DISCONNECTED};
use crate::{
    routing::Route,
    upstream::{Upstream, UpstreamId},
};

/// The operation `ping` of the built-in interface.
const PING: u16 = 0;

/// How often a session that has its share of an upstream checks whether the
/// share has grown. Its own RETURNs are notified.
const SHARE_CHECK: Duration = Duration::from_millis(50);

/// The keys of an extra that clients can't set: the gateway sets them, or reads
/// them itself.
const NOT_FROM_CLIENTS: [&str; 5] = [
    reserved::TOKEN,
    reserved::DEVICE_ID,
    reserved::USER_ID,
    reserved::MQ_RETURN,
    reserved::ERROR,
];

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
        let user = {
            let mut state = self.state.lock();
            if !state.login.is_awaited() {
                state.last_read_at = message.read_at();
            }
            if !std::mem::replace(&mut state.has_spoken, true) {
                self.context.registry.has_spoken(self.number);
            }
            if !state.is_resuming {
                let size = message.payload().len();
                self.traffic
                    .bytes_in
                    .fetch_add(size as u64, Ordering::Relaxed);
                let now = message.read_at();
                let is_exceeded = state.frame_rate.count(1, now);
                if state.byte_rate.count(size, now) || is_exceeded {
                    self.is_paused.store(true, Ordering::Release);
                }
            }
            state.login.user().cloned()
        };
        if !header.calltype.is_call() {
            // A client sends RETURNs only for calls of the gateway itself.
            return Disposition::Local;
        }
        let Some(user) = user else {
            // Before the login only `ping` is answered. One with a token is a login.
            let has_token = message.message().extra.get(reserved::TOKEN).is_some();
            return match (header.ifidx, header.opidx) {
                (BUILTIN_INTERFACE, PING) if !has_token => Disposition::Local,
                _ => self.log_in(message),
            };
        };
        let is_local = message.has_servant();
        if is_local || self.forward_call(message, &user) {
            self.traffic.calls.fetch_add(1, Ordering::Relaxed);
        }
        match is_local {
            true => Disposition::LocalAs(user),
            false => Disposition::Handled,
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
        let (lost, owner) = {
            let mut state = self.state.lock();
            self.set_limited(&mut state, None);
            let lost = state.calls.take_where(|_| true);
            (lost, self.call_owner(&state.login))
        };
        for (_, call) in &lost {
            call.metrics.count_failure(ErrorCode::ConnectionLost);
        }
        if !lost.is_empty() {
            let call_time = self.context.properties.call_time;
            self.context.client_calls.abandon(&owner, lost, call_time);
        }
        self.log_out();
        self.context.registry.remove(self);
    }

    fn stalled(&self) {
        self.close("slow_reader");
    }

    fn max_frame_before_login(&self) -> Option<usize> {
        let is_logged_in = self.state.lock().login.user().is_some();
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
                (!is_limited && state.deferred == 0)
                    .then(|| state.frame_rate.free_at().max(state.byte_rate.free_at()))
            };
            match free_at {
                Some(at) => {
                    tokio::time::sleep_until(at.into()).await;
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
    /// Forwards a CALL by its route, or refuses it. Returns false if the CALL is
    /// deferred.
    fn forward_call(&self, message: &mut InboundMessage<'_>, user: &str) -> bool {
        let ifidx = message.message().header.ifidx;
        let routes = self.context.routes.load();
        let route = routes.table.call(ifidx, self.endpoint);
        let upstream = route.and_then(|route| routes.upstreams.get(route.to()));
        let (Some(route), Some(upstream)) = (route, upstream) else {
            let text = format!("the gateway has no route for calls to interface {ifidx}");
            self.refuse(message, ErrorCode::InterfaceNotFound, "no_route", &text);
            return true;
        };
        if upstream.has_waiting() && !self.state.lock().is_resuming {
            self.wait_for_capacity(message, upstream);
            return false;
        }
        let expected = upstream.next_id(self.number, || self.state.lock().calls.len() == 0);
        let header = self.enter_call(message, route, upstream, expected);
        match self.send(message, route, upstream, header, user) {
            Ok(Some(id)) if expected != Some(id) && !header.calltype.is_oneway() => {
                let permit = upstream.load(Some(id)).begin();
                let mut state = self.state.lock();
                state.calls.set_upstream(header.sequence, id, permit);
                drop(state);
                if upstream.has_lost(id) {
                    // It may have disconnected before the call named it.
                    self.fail_call(
                        header.sequence,
                        ErrorCode::ConnectionLost,
                        SERVER_DISCONNECTED,
                    );
                }
            }
            Ok(_) => {}
            Err(ForwardError::Full) => {
                self.withdraw_call(header);
                self.wait_for_capacity(message, upstream);
                return false;
            }
            Err(error) => {
                self.withdraw_call(header);
                route.metrics().count_failure(ErrorCode::SendFailed);
                let text = match upstream.unavailable() {
                    Some(reason) => format!("endpoint `{}`: {}", upstream.name(), reason.text()),
                    None => format!("endpoint `{}`: {error}", upstream.name()),
                };
                let counted = match error {
                    ForwardError::NoMemory => "memory",
                    _ => "not_sent",
                };
                self.refuse(message, ErrorCode::SendFailed, counted, &text);
            }
        }
        route.metrics().count_call();
        true
    }

    /// Enters a twoway CALL among those that wait for their RETURN. Returns the
    /// header to forward it with.
    fn enter_call(
        &self,
        message: &InboundMessage<'_>,
        route: &Route,
        upstream: &Upstream,
        server: Option<UpstreamId>,
    ) -> Header {
        let client_header = message.message().header;
        let mut header = client_header;
        header.call_id |= ROUTED;
        if !header.calltype.is_oneway() {
            header.sequence = self.context.next_sequence();
            let load = upstream.load(server);
            let call = ForwardedCall {
                header: client_header,
                since: message.read_at(),
                upstream: server,
                permit: load.begin(),
                metrics: Arc::clone(route.metrics()),
            };
            let mut state = self.state.lock();
            state.calls.insert(header.sequence, call);
            if !self.may_add_call(&state, load) {
                self.limit(&mut state, load);
            }
        }
        header
    }

    /// Removes a CALL that was entered and not sent. A oneway CALL has the client's
    /// sequence, which may be that of another call here.
    fn withdraw_call(&self, header: Header) {
        if !header.calltype.is_oneway() {
            self.take_call(header.sequence);
        }
    }

    /// Sends a CALL to its upstream, with the user and the queue for its RETURN.
    fn send(
        &self,
        message: &mut InboundMessage<'_>,
        route: &Route,
        upstream: &Upstream,
        header: Header,
        user: &str,
    ) -> Result<Option<UpstreamId>, ForwardError> {
        // A oneway CALL expires only as its client says.
        let is_oneway = header.calltype.is_oneway();
        let call_time = self.context.properties.call_time;
        let deadline = (!is_oneway).then(|| message.deadline_within(call_time));
        let expires_in = deadline.map(|(_, left)| left);
        let deadline = Decimal::new(deadline.map_or(0, |(at, _)| at));
        let to_servers = [
            (reserved::MQ_RETURN, route.mq_return()),
            (reserved::USER_ID, user),
            (reserved::DEADLINE, deadline.as_str()),
        ];
        let first = usize::from(route.mq_return().is_empty());
        let end = to_servers.len() - usize::from(is_oneway);
        let extra = PatchedExtra {
            of: message.message().extra,
            without: &NOT_FROM_CLIENTS,
            with: &to_servers[first..end],
        };
        upstream.forward(self.number, message, header, &extra, expires_in)
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
