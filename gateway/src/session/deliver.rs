//! Messages from servers to clients: RETURNs, and CALLs to users.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
};

use tce_runtime::{
    CloseCode, Connection, ErrorCode, Extra,
    forwarding::{
        AddedExtra, Disposition, ForwardError, InboundMessage, MessageHandler, Undelivered,
    },
    wire::{
        CallType, ExtraPart, Header, KeySet, Limits, Marshal, PatchedExtra, ROUTED, Raw, RawExtra,
        RawMessage, Writer, reserved,
    },
};

use super::{
    Session, SessionContext,
    calls::ForwardedCall,
    history::{DetachReason, History, KeptPush, PushId, PushReceiver, push_id},
};
use crate::{
    routing::{EndpointKey, RouteTarget, interface_name},
    spans::OptionalSpan,
    upstream::HostHealth,
};

/// The error of calls whose server has been disconnected.
pub(super) const SERVER_DISCONNECTED: &str =
    "the server's connection to the gateway ended before it answered";

/// The keys of an extra that only servers and gateways need. A client's clock may be
/// wrong, so it gets no deadline.
const NOT_FOR_CLIENTS: KeySet = KeySet::TOKEN
    .union(KeySet::DEVICE_ID)
    .union(KeySet::USER_ID)
    .union(KeySet::MQ_RETURN)
    .union(KeySet::DEADLINE)
    .union(KeySet::REDELIVERED)
    .union(KeySet::MULTI_CALL);

/// Delivers the messages that arrive by a queue or from a server to the clients.
pub(crate) struct UpstreamHandler {
    context: Arc<SessionContext>,
    endpoint: EndpointKey,
    /// The server; `None` for a queue.
    server: Option<Arc<HostHealth>>,
}

impl UpstreamHandler {
    pub(crate) fn new(
        context: &Arc<SessionContext>,
        endpoint: EndpointKey,
        server: Option<Arc<HostHealth>>,
    ) -> Self {
        Self {
            context: Arc::clone(context),
            endpoint,
            server,
        }
    }

    /// Delivers a CALL to the sessions of the user, or to the one of `__device_id__`.
    /// Returns whether it is on its way to one of them.
    fn push(&self, message: &mut InboundMessage<'_>, user: &str) -> bool {
        if let Some(server) = &self.server {
            server.answered();
        }
        let registry = &self.context.registry;
        let device = message.message().reserved_text(KeySet::DEVICE_ID);
        let receivers = registry.receivers(user, device);
        let (mut copy, mut is_delivered) = (self.push_copy(message), false);
        for session in &receivers.sessions {
            is_delivered |= session.deliver_call(message, &mut copy);
        }
        for history in &receivers.histories {
            is_delivered |= copy.push_to(history, message);
        }
        if receivers.sessions.is_empty() && !is_delivered {
            self.context.dropped.count("user_gone");
        }
        copy.end(is_delivered);
        is_delivered
    }

    /// The copies of a server's CALL, with its span.
    fn push_copy(&self, message: &InboundMessage<'_>) -> PushCopy {
        let tracer = self.context.tracer.as_ref();
        let span = tracer.and_then(|tracer| {
            let routes = self.context.routes.load();
            let ifidx = message.message().header.ifidx;
            tracer.begin(message, &interface_name(&routes.services, ifidx))
        });
        PushCopy { kept: None, span }
    }

    fn handle_return(&self, message: &mut InboundMessage<'_>) -> Disposition {
        let raw = message.message();
        let header = raw.header;
        let user = raw.reserved(KeySet::USER_ID);
        // An error from an old server may lack the routed bit of its header.
        if !header.is_routed() && user.is_none() {
            return Disposition::Local;
        }
        if let (Some(server), Some(_)) = (&self.server, user) {
            server.answered();
        }
        let size = message.payload().len();
        let now = message.read_nanos(self.context.start);
        let calls = &self.context.calls;
        let call = user
            .and_then(|user| calls.take_returned(header.sequence, user, header.errcode, size, now));
        match call {
            Some(call) => {
                if let Some(tracer) = &self.context.tracer {
                    tracer.end(header.sequence, header.errcode);
                }
                call.session.deliver_return(message, &call);
            }
            None => self.drop_return(raw),
        }
        Disposition::Handled
    }

    /// Drops a RETURN that no call waits for.
    fn drop_return(&self, raw: &RawMessage<'_>) {
        self.context.client_calls.returned(raw.header.sequence);
        let user = raw.reserved_text(KeySet::USER_ID);
        let is_there = user.is_some_and(|user| self.context.registry.has_user(user));
        self.context.dropped.count(match is_there {
            true => "late_return",
            false => "user_gone",
        });
    }

    fn handle_call(&self, message: &mut InboundMessage<'_>) -> Disposition {
        let raw = message.message();
        if let Some(user) = raw.reserved_text(KeySet::USER_ID) {
            let is_delivered = self.push(message, user);
            // Only a code that forbids a retry tells the truth about a delivered one.
            let (code, text) = match is_delivered {
                true => (
                    ErrorCode::RemoteException,
                    "the gateway has delivered the call to the user oneway: it gets no answer",
                ),
                false => (ErrorCode::SendFailed, "the user can't be reached now"),
            };
            message.refuse(code, text);
            return Disposition::Handled;
        }
        if message.has_servant() {
            return Disposition::Local;
        }
        let Some(endpoint) = self.broadcast_endpoint(raw.header.ifidx) else {
            return self.handle_without_user(raw.header);
        };
        self.broadcast(message, endpoint);
        Disposition::Handled
    }

    /// Delivers a CALL to all clients of an endpoint.
    fn broadcast(&self, message: &mut InboundMessage<'_>, endpoint: EndpointKey) {
        let (registry, mut copy) = (&self.context.registry, self.push_copy(message));
        registry.for_each(|session| {
            let is_client = session.endpoint == endpoint && session.user().is_some();
            // A session may lose its connection meanwhile, which its history outlives.
            if is_client && session.history().is_none() {
                session.deliver_call(message, &mut copy);
            }
        });
        let histories = registry.histories.as_ref();
        let histories = histories.map(|histories| histories.of_endpoint(endpoint));
        for history in histories.unwrap_or_default() {
            copy.push_to(&history, message);
        }
        copy.end(true);
    }

    /// The endpoint whose clients all receive a CALL without a user, which only
    /// topics carry.
    fn broadcast_endpoint(&self, ifidx: u16) -> Option<EndpointKey> {
        let routes = self.context.routes.load();
        let route = routes.table.call(ifidx, self.endpoint)?;
        (route.target() == RouteTarget::AllClients).then(|| route.to())
    }

    fn handle_without_user(&self, header: Header) -> Disposition {
        if !self.context.serves_servers(header.ifidx) && header.calltype.is_oneway() {
            self.context.dropped.count("no_user");
            return Disposition::Handled;
        }
        // The runtime passes the call to the servant, or answers that there is
        // none.
        Disposition::Local
    }
}

/// A server's CALL on its way to clients.
struct PushCopy {
    /// As histories keep it, made once for all that receive it.
    kept: Option<(KeptPush, Option<PushId>)>,
    span: OptionalSpan,
}

impl PushCopy {
    /// The keys that clients do not get, and what is added for them.
    fn patch(&self, message: &InboundMessage<'_>) -> (KeySet, Extra) {
        let mut added = match may_be_repeated(message) {
            true => Extra::from_iter([(reserved::REDELIVERED, "1")]),
            false => Extra::new(),
        };
        match &self.span {
            None => (NOT_FOR_CLIENTS, added),
            Some(span) => {
                added.extend(span.extra().iter());
                (NOT_FOR_CLIENTS.union(KeySet::TRACEPARENT), added)
            }
        }
    }

    /// The span ends when the message has been handed on.
    fn end(self, is_delivered: bool) {
        if let Some(span) = self.span {
            span.end((!is_delivered).then_some(ErrorCode::UserOffline));
        }
    }

    /// Adds the CALL to a history. Returns false if the history has ended.
    fn push_to(&mut self, history: &Arc<History>, message: &InboundMessage<'_>) -> bool {
        let (without, added) = self.patch(message);
        let (copy, id) = self.kept.get_or_insert_with(|| {
            let raw = message.message();
            let id = raw.extra.get(reserved::PUSH_ID).and_then(push_id);
            let extra = PatchedExtra {
                of: raw.extra,
                without,
                with: &[ExtraPart::Pairs(added.raw())],
            };
            let mut bytes = Vec::with_capacity(message.payload().len());
            let mut out = Writer::new(&mut bytes);
            pushed_header(message).marshal(&mut out);
            extra.marshal(&mut out);
            Raw(raw.params).marshal(&mut out);
            (bytes.into(), id)
        });
        history.push(copy, *id)
    }
}

/// The header of a server's CALL to a client.
fn pushed_header(message: &InboundMessage<'_>) -> Header {
    let mut header = message.message().header;
    header.call_id &= !ROUTED;
    header.calltype = CallType::ONEWAY;
    header
}

/// Whether a server's CALL may have been delivered before.
fn may_be_repeated(message: &InboundMessage<'_>) -> bool {
    message.is_redelivered() || message.message().reserved(KeySet::REDELIVERED).is_some()
}

impl Undelivered for UpstreamHandler {}

impl MessageHandler for UpstreamHandler {
    fn handle(&self, message: &mut InboundMessage<'_>) -> Disposition {
        let calltype = message.message().header.calltype;
        if calltype.is_return() {
            self.handle_return(message)
        } else if calltype.is_call() {
            self.handle_call(message)
        } else {
            Disposition::Local
        }
    }

    fn disconnected(&self, connection: &Connection, reason: &str) {
        let Some(server) = &self.server else {
            return;
        };
        server.disconnected();
        let upstream = server.id;
        tracing::warn!(
            server = connection.peer(),
            "a server has been disconnected: {reason}"
        );
        self.context.client_calls.lost(upstream);
        self.context.registry.for_each(|session| {
            session.fail_calls(ErrorCode::ConnectionLost, SERVER_DISCONNECTED, |call| {
                call.permit.target().server == Some(upstream)
            });
        });
    }
}

impl Session {
    /// Delivers the RETURN of a call.
    fn deliver_return(&self, message: &mut InboundMessage<'_>, call: &ForwardedCall) {
        self.call_ended();
        let returned = message.message().header;
        if returned.errcode != 0 {
            let metrics = &call.permit.target().metrics;
            metrics.count_failure(ErrorCode::from_wire(returned.errcode));
        }
        let header = Header {
            errcode: returned.errcode,
            paramsize: returned.paramsize,
            ..call.header.returning(0)
        };
        self.deliver(message, header, NOT_FOR_CLIENTS, RawExtra::default());
    }

    /// Delivers a server's CALL, oneway: by the history of the session, if it has one.
    /// Returns whether it is on its way.
    fn deliver_call(&self, message: &mut InboundMessage<'_>, copy: &mut PushCopy) -> bool {
        if let Some(history) = self.history() {
            return copy.push_to(history, message);
        }
        let header = pushed_header(message);
        self.traffic.pushes.fetch_add(1, Ordering::Relaxed);
        let (without, added) = copy.patch(message);
        let is_delivered = self.deliver(message, header, without, added.raw());
        if is_delivered {
            let size = message.payload().len() as u64;
            self.traffic.bytes_out.fetch_add(size, Ordering::Relaxed);
        }
        is_delivered
    }

    fn deliver(
        &self,
        message: &mut InboundMessage<'_>,
        header: Header,
        without: KeySet,
        added: RawExtra<'_>,
    ) -> bool {
        let Some(connection) = self.connection.get() else {
            self.context.dropped.count("client_gone");
            return false;
        };
        let added = AddedExtra::Pairs(added);
        match message.forward_to_weak(connection, header, without, added) {
            Ok(()) => return true,
            Err(ForwardError::Disconnected) => self.context.dropped.count("client_gone"),
            // Only pushes are limited by the send buffer.
            Err(ForwardError::Full) => self.context.dropped.count("slow_reader"),
            Err(ForwardError::NoMemory) => {
                let text = "the gateway has no memory for the answer: read answers faster";
                self.drop_message(header, "memory", text);
            }
            Err(_) => {
                let text = "the answer is larger than the gateway may send";
                self.drop_message(header, "too_large", text);
            }
        }
        false
    }

    /// Drops a message that can't be sent; the caller of a RETURN gets an error in
    /// its place.
    fn drop_message(&self, header: Header, reason: &'static str, text: &str) {
        self.context.dropped.count(reason);
        if header.calltype.is_return()
            && let Some(connection) = self.connection()
        {
            // The servant has run.
            connection.refuse(header, ErrorCode::RemoteMethodException, text);
        }
    }
}

impl PushReceiver for Session {
    fn number(&self) -> u64 {
        self.number
    }

    fn send_push(&self, push: &KeptPush, epoch: u64, offset: u64) -> Result<(), ForwardError> {
        let connection = self.connection().ok_or(ForwardError::Disconnected)?;
        // It was within the limits when it was read.
        let Ok(message) = RawMessage::parse(push, &Limits::default()) else {
            return Err(ForwardError::TooLarge);
        };
        let (epoch, offset) = (format!("{epoch:016x}"), offset.to_string());
        let position = [
            ExtraPart::Pair(reserved::EPOCH, &epoch),
            ExtraPart::Pair(reserved::OFFSET, &offset),
        ];
        let sent = connection.push(&message, &position);
        match sent {
            Ok(()) => {
                let traffic = &self.traffic;
                traffic.pushes.fetch_add(1, Ordering::Relaxed);
                let size = push.len() as u64;
                traffic.bytes_out.fetch_add(size, Ordering::Relaxed);
            }
            Err(ForwardError::TooLarge) => self.context.dropped.count("too_large"),
            Err(_) => {}
        }
        sent
    }

    fn capacity(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            if let Some(connection) = self.connection() {
                connection.capacity().await;
            }
        })
    }

    fn detached(&self, reason: DetachReason) {
        if reason == DetachReason::Moved && self.is_sent_away.load(Ordering::Acquire) {
            // As it was asked to. Its calls in flight end here.
            return;
        }
        let (label, code, text) = match reason {
            DetachReason::SlowReader => (
                "slow_reader",
                CloseCode::SlowReader,
                "the client has not read what was pushed to it",
            ),
            DetachReason::Moved => (
                "second_login",
                CloseCode::Replaced,
                "the client has come back at another gateway",
            ),
            DetachReason::StoreFailed => (
                "history_lost",
                CloseCode::TryLater,
                "the gateway can't keep the pushes: log in again",
            ),
        };
        self.context.dropped.count(label);
        self.end(label, code, text);
    }
}
