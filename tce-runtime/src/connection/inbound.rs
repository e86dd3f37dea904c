//! What an arrived message is, and who receives it: a pending call, another
//! connection, or a servant.

use std::{
    cell::OnceCell,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    Connection, ConnectionEvent,
    call_queue::oneway_header,
    channel::{BYE, CallOptions, Channel, GO_AWAY, HELLO, LOGIN, PING, REFRESH},
    client_login::{ClientLogin, LOGIN_SEQUENCE},
    dispatch::{IncomingCall, append_error},
    forwarding::{Disposition, InboundMessage, InboundSource, MessageHandler, WriteBatch},
    goodbye::{GOODBYE_SEQUENCE, Goodbye, error_code},
    pending_calls::PendingCalls,
    reply::Reply,
    servants::ServantView,
};
use crate::{
    close_code::CloseCode,
    error::ErrorCode,
    in_flight::{after, count_dropped, millis, now, unix_millis},
    log_limit::LogLimit,
    roster::Roster,
    transport::delivery::AckGuard,
    wire::{
        BUILTIN_INTERFACE, CallType, Decimal, Extra, Header, KeySet, Limits, MSGTYPE_RPC, RawExtra,
        RawMessage, Reader, Unmarshal, parse_millis, reserved,
    },
};

impl Connection {
    /// Tells the peer why this side will close the connection: by a RETURN that
    /// answers no call, and over WebSocket by the close frame, too. Whether the peer
    /// connects again by itself depends on the code ([`CloseCode::can_retry`]). Older
    /// peers drop the RETURN, as any that comes too late.
    #[doc(hidden)]
    pub fn say_goodbye(&self, close: CloseCode, text: &str) {
        self.set_close_reason(close, text);
        let ping = PING.opidx();
        let header = Header::call(CallType::TWOWAY, GOODBYE_SEQUENCE, BUILTIN_INTERFACE, ping);
        let extra = Extra::from_iter([(reserved::CLOSE, close.to_string())]);
        let mut reply = Vec::new();
        let error = error_code(close);
        append_error(&self.inner, header, error, text, extra.raw(), &mut reply);
        self.inner.channel.send_returns(&mut reply, None);
    }

    /// Sets what the WebSocket close frame says; the first reason counts.
    #[doc(hidden)]
    pub fn set_close_reason(&self, close: CloseCode, text: &str) {
        let mut goodbye = self.inner.goodbye.lock();
        if goodbye.as_ref().is_none_or(|goodbye| !goodbye.is_own) {
            *goodbye = Some(Box::new(Goodbye::own(close, text)));
        }
    }
}

impl Connection {
    /// The peer has answered `login` or `refresh`. Returns false for the RETURN of
    /// another operation.
    fn session_call_answered(&self, login: &ClientLogin, message: &RawMessage<'_>) -> bool {
        let header = message.header;
        let is_refused = header.errcode == ErrorCode::ConnectReject.to_wire();
        if header.opidx == LOGIN.opidx() {
            if header.errcode == 0
                && let Some(stream) = self.inner.channel.stream()
            {
                stream.buffer.login_accepted();
                self.report_resumption(login, message);
            } else if is_refused {
                let refused = || Box::new(Goodbye::of_refused_login(message));
                self.inner.goodbye.lock().get_or_insert_with(refused);
            }
        } else if header.opidx != REFRESH.opidx() {
            return false;
        } else if is_refused {
            static LIMIT: LogLimit = LogLimit::new();
            if LIMIT.allows("refused refreshes") {
                let text = message.reserved_text(KeySet::ERROR).unwrap_or_default();
                tracing::warn!(
                    peer = self.peer(),
                    "the peer does not renew the login: {text}"
                );
            }
        }
        login.answered(message);
        true
    }

    /// Asks a peer that knows `goAway` to open its next connection after `delay`, and to
    /// close this one once its calls in flight have ended. Returns false if the message
    /// could not be sent.
    #[doc(hidden)]
    #[must_use]
    pub fn say_go_away(&self, delay: Duration) -> bool {
        let delay = i32::try_from(delay.as_millis()).unwrap_or(i32::MAX);
        let Channel::Stream(stream) = &self.inner.channel else {
            return false;
        };
        let header = oneway_header(&GO_AWAY);
        stream
            .send_oneway(header, &CallOptions::default(), delay)
            .is_ok()
    }
}

impl Connection {
    /// The peer has accepted a login: tells whether a push was missed.
    fn report_resumption(&self, login: &ClientLogin, answer: &RawMessage<'_>) {
        let recovered = login
            .cursor()
            .and_then(|cursor| cursor.logged_in(answer.extra));
        if let Some(recovered) = recovered {
            self.notify(&ConnectionEvent::Resumed { recovered });
        }
    }

    /// Whether a CALL with this extra is a push that was handled before; if not, it counts
    /// as handled from now on.
    fn is_repeated(&self, extra: RawExtra<'_>) -> bool {
        let login = self.inner.login.as_ref();
        let cursor = login.and_then(|login| login.cursor());
        cursor.is_some_and(|cursor| !cursor.accept(extra))
    }
}

/// What receives the messages of one read.
pub(crate) struct Inbound<'a> {
    pub(crate) source: InboundSource<'a>,
    pub(crate) calls: &'a PendingCalls,
    pub(crate) servants: ServantView,
    pub(crate) handler: Option<&'a Arc<dyn MessageHandler>>,
    pub(crate) limits: &'a Limits,
    /// How long after its deadline a CALL is still served.
    pub(crate) deadline_tolerance: Duration,
    /// CALLs of a stream are refused, those of a queue given back to it.
    pub(crate) is_draining: bool,
    pub(crate) clock: ReadClock,
}

/// The Unix time in milliseconds of one read, once a message needs it.
#[derive(Debug, Default)]
pub(crate) struct ReadClock(OnceCell<(u64, Decimal)>);

impl ReadClock {
    fn now(&self) -> &(u64, Decimal) {
        self.0.get_or_init(|| {
            let now = unix_millis();
            (now, Decimal::new(now))
        })
    }

    fn unix_millis(&self) -> u64 {
        self.now().0
    }

    /// Whether the time is before one that is marshalled in the usual form, without
    /// parsing that: numbers of the same length are ordered as their digits are.
    #[inline]
    fn is_surely_before(&self, millis: &[u8]) -> bool {
        let now = self.now().1.as_bytes();
        millis.len() == now.len() && millis > now
    }
}

/// What the messages of one read have caused so far.
#[derive(Default)]
pub(crate) struct ReadOutput {
    /// The RETURNs to the peer, encoded.
    pub(crate) replies: Vec<u8>,
    /// The RETURNs of the peer, by sequence.
    pub(crate) completions: Vec<(u32, Reply)>,
    /// The forwarded messages. A message is offered to the handler only if there is
    /// a batch.
    pub(crate) batch: Option<WriteBatch>,
}

impl ReadOutput {
    pub(crate) const fn new() -> Self {
        Self {
            replies: Vec::new(),
            completions: Vec::new(),
            batch: None,
        }
    }

    pub(crate) fn forwarding(batch: Option<WriteBatch>) -> Self {
        Self {
            batch,
            ..Self::new()
        }
    }
}

impl Inbound<'_> {
    /// Hands the RETURNs that have gathered to their callers.
    pub(crate) fn complete_calls(&self, output: &mut ReadOutput) {
        if !output.completions.is_empty() {
            for _ in 0..self.calls.complete(&mut output.completions) {
                count_dropped("late_return");
            }
        }
    }

    /// Handles one message.
    ///
    /// A message that makes no sense costs itself, not the connection. What it
    /// causes gathers in `output`; [`Inbound::complete_calls`] has to follow. The
    /// message of a queue is acknowledged by `ack_guard` when it is done. Returns
    /// whether the handler has forwarded, answered or dropped it.
    #[inline(always)]
    pub(crate) fn handle(
        &self,
        payload: &[u8],
        ack_guard: Option<AckGuard>,
        output: &mut ReadOutput,
    ) -> bool {
        let mut user = None;
        if let (Some(handler), Some(batch)) = (self.handler, &mut output.batch) {
            let is_redelivered = ack_guard.as_ref().is_some_and(|guard| guard.is_redelivered);
            let replies = &mut output.replies;
            match self.offer(handler, payload, is_redelivered, replies, batch) {
                Disposition::Handled => {
                    acknowledge(ack_guard);
                    return true;
                }
                Disposition::Local => {}
                Disposition::LocalAs(other) => user = Some(other),
            }
        }
        self.handle_here(payload, user, ack_guard, output);
        false
    }

    /// Handles a message that is not forwarded; a CALL as one of `user`, if given.
    fn handle_here(
        &self,
        payload: &[u8],
        user: Option<Arc<str>>,
        ack_guard: Option<AckGuard>,
        output: &mut ReadOutput,
    ) {
        let message = match RawMessage::parse(payload, self.limits) {
            Ok(message) => message,
            Err(error) => {
                return self.handle_undecodable(payload, &error.to_string(), ack_guard, output);
            }
        };
        let header = message.header;
        if header.msgtype != MSGTYPE_RPC {
            self.drop_message("msgtype", "its type is reserved", ack_guard);
        } else if self.has_lingered(|| message.reserved_text(KeySet::LINGER_TIME)) {
            self.drop_message("lingered", "its __linger_time__ has passed", ack_guard);
        } else if header.calltype.is_return() {
            if header.ifidx == BUILTIN_INTERFACE && self.is_about_session(&message) {
                return;
            }
            let reply = Reply {
                errcode: header.errcode,
                extra: message.extra.into(),
                result: message.params.into(),
            };
            output.completions.push((header.sequence, reply));
            acknowledge(ack_guard);
        } else if header.ifidx == BUILTIN_INTERFACE && self.is_go_away(&message) {
            acknowledge(ack_guard);
        } else if header.calltype.is_call() {
            let with_user = user.map(|user| {
                let mut extra = Extra::from(message.extra);
                extra.set(reserved::USER_ID, &*user);
                extra
            });
            let extra = with_user.as_ref().map_or(message.extra, Extra::raw);
            self.handle_call(&message, extra, ack_guard, &mut output.replies);
        } else {
            self.drop_message("calltype", "it is neither CALL nor RETURN", ack_guard);
        }
    }

    /// Handles a RETURN that no caller waits for: why the peer will close the connection,
    /// or the answer to this side's login. Returns false for any other one.
    fn is_about_session(&self, message: &RawMessage<'_>) -> bool {
        let InboundSource::Stream(connection) = self.source else {
            return false;
        };
        if let Some(said) = Goodbye::of_message(message) {
            let mut goodbye = connection.inner.goodbye.lock();
            if goodbye.as_ref().is_none_or(|goodbye| !goodbye.is_own) {
                *goodbye = Some(Box::new(said));
            }
            return true;
        }
        let is_answer = message.header.sequence == LOGIN_SEQUENCE;
        match connection.inner.login.as_deref().filter(|_| is_answer) {
            Some(login) => connection.session_call_answered(login, message),
            None => false,
        }
    }

    /// Keeps that the peer asks this side to go elsewhere, if the CALL says so and this
    /// side has opened the connection.
    fn is_go_away(&self, message: &RawMessage<'_>) -> bool {
        let header = message.header;
        let InboundSource::Stream(connection) = self.source else {
            return false;
        };
        let Some(request) = &connection.inner.move_request else {
            return false;
        };
        let is_go_away = header.calltype.is_oneway() && header.opidx == GO_AWAY.opidx();
        if is_go_away {
            let delay = i32::unmarshal(&mut Reader::new(message.params));
            let delay = u64::try_from(delay.unwrap_or_default()).unwrap_or_default();
            tracing::debug!(peer = connection.peer(), delay, "asked to go elsewhere");
            request.ask(Duration::from_millis(delay));
        }
        is_go_away
    }

    /// Offers a message to the handler, unless it concerns this process alone:
    /// it does not decode, has passed its `__linger_time__`, or is a CALL on a
    /// stream that is draining.
    #[inline(always)]
    fn offer(
        &self,
        handler: &Arc<dyn MessageHandler>,
        payload: &[u8],
        is_redelivered: bool,
        replies: &mut Vec<u8>,
        batch: &mut WriteBatch,
    ) -> Disposition {
        let message = match RawMessage::parse(payload, self.limits) {
            Ok(message) if message.header.msgtype == MSGTYPE_RPC => message,
            _ => return Disposition::Local,
        };
        let is_stream = matches!(self.source, InboundSource::Stream(_));
        if is_stream && self.is_draining && message.header.calltype.is_call()
            || self.has_lingered(|| message.reserved_text(KeySet::LINGER_TIME))
        {
            return Disposition::Local;
        }
        handler.handle(&mut InboundMessage {
            message: &message,
            payload,
            source: &self.source,
            servants: &self.servants,
            handler,
            replies,
            batch,
            is_redelivered,
        })
    }

    /// Lets the handler forward a oneway CALL that can't be served here now. Returns
    /// false for any other message, and for one that is for a servant here.
    pub(super) fn forward_oneway(&self, payload: &[u8], output: &mut ReadOutput) -> bool {
        let header = Header::unmarshal(&mut Reader::new(payload));
        let is_oneway = header.is_ok_and(|header| header.calltype.is_oneway());
        match (self.handler, &mut output.batch) {
            (Some(handler), Some(batch)) if is_oneway => {
                let disposition = self.offer(handler, payload, false, &mut output.replies, batch);
                disposition == Disposition::Handled
            }
            _ => false,
        }
    }

    fn handle_call(
        &self,
        message: &RawMessage<'_>,
        extra: RawExtra<'_>,
        mut ack_guard: Option<AckGuard>,
        replies: &mut Vec<u8>,
    ) {
        let RawMessage { header, params, .. } = *message;
        let is_redelivered = message.keys().contains(KeySet::REDELIVERED);
        let left = message
            .reserved(KeySet::DEADLINE)
            .and_then(|deadline| self.time_left(deadline));
        match self.source {
            InboundSource::Stream(connection) => {
                let call = IncomingCall {
                    connection,
                    header,
                    extra,
                    params,
                    is_redelivered,
                    replies,
                    ack_guard: None,
                };
                if let Some(TimeLeft::Late(late_by)) = left {
                    self.refuse_expired(call, late_by);
                } else if self.is_draining {
                    call.refuse(ErrorCode::ConnectReject, "the server is shutting down");
                } else if connection.is_repeated(extra) {
                    count_dropped("repeated_push");
                } else {
                    self.servants.dispatch(call);
                }
            }
            InboundSource::Queue {
                reply_connection,
                member,
                ..
            } => {
                if member.is_some_and(|member| !is_for_servants(member, message)) {
                    return acknowledge(ack_guard);
                }
                if self.is_draining {
                    return give_back(ack_guard);
                }
                let connection = reply_connection(extra.get(reserved::MQ_RETURN));
                let inner = &connection.inner;
                // A shutdown waits until the RETURN is in its publish queue.
                let _in_flight = inner.served.begin();
                if let (Some(guard), Some(TimeLeft::Left(left))) = (&mut ack_guard, left) {
                    guard.expires_at = Some(after(now(), left));
                }
                let expires_at = ack_guard.as_ref().and_then(|guard| guard.expires_at);
                let mut reply = Vec::new();
                let call = IncomingCall {
                    connection: &connection,
                    header,
                    extra,
                    params,
                    is_redelivered,
                    replies: &mut reply,
                    ack_guard: ack_guard.map(Box::new),
                };
                match left {
                    Some(TimeLeft::Late(late_by)) => self.refuse_expired(call, late_by),
                    _ => self.servants.dispatch(call),
                }
                inner.channel.send_returns(&mut reply, expires_at);
            }
        }
    }

    /// Drops a CALL whose deadline has passed. Its caller waits no longer, except
    /// where the clocks differ; that caller is told so.
    fn refuse_expired(&self, call: IncomingCall<'_>, late_by: Duration) {
        count_dropped("expired");
        let source = self.source_name();
        let late_by = late_by.saturating_add(self.deadline_tolerance);
        tracing::debug!(source, ?late_by, "dropped a call after its deadline");
        let text = format!(
            "the call arrived {late_by:?} after its deadline and was not executed; \
             if that is wrong, the clocks of caller and servant differ"
        );
        call.refuse(ErrorCode::Timeout, &text);
    }

    /// The time until a deadline, with the tolerance added. `None` if there is none, or
    /// if a call of a stream, for which only a late one matters, is in time.
    fn time_left(&self, deadline: &[u8]) -> Option<TimeLeft> {
        let is_stream = matches!(self.source, InboundSource::Stream(_));
        if is_stream && self.clock.is_surely_before(deadline) {
            return None;
        }
        let at = parse_millis(deadline)?;
        Some(TimeLeft::between(
            self.clock.unix_millis(),
            self.tolerated(at),
        ))
    }

    /// A deadline with the tolerance added.
    fn tolerated(&self, deadline: u64) -> u64 {
        deadline.saturating_add(millis(self.deadline_tolerance))
    }

    /// Refuses a CALL of a stream with CONNECT_REJECT.
    pub(super) fn refuse(&self, payload: &[u8], text: &str, replies: &mut Vec<u8>) {
        let (InboundSource::Stream(connection), Ok(message)) =
            (&self.source, RawMessage::parse(payload, self.limits))
        else {
            return;
        };
        let call = IncomingCall {
            connection,
            header: message.header,
            extra: message.extra,
            params: &[],
            is_redelivered: false,
            replies,
            ack_guard: None,
        };
        call.refuse(ErrorCode::ConnectReject, text);
    }

    /// Answers a message of a stream of which only the header decodes, so that
    /// its caller does not wait. A message of a queue is dropped: redelivered it
    /// would not decode either.
    fn handle_undecodable(
        &self,
        payload: &[u8],
        text: &str,
        ack_guard: Option<AckGuard>,
        output: &mut ReadOutput,
    ) {
        let header = Header::unmarshal(&mut Reader::new(payload))
            .ok()
            .filter(|header| header.msgtype == MSGTYPE_RPC);
        match (&self.source, header) {
            (_, Some(header)) if header.calltype.is_return() => {
                self.calls.fail(header.sequence, ErrorCode::DataDirty, text);
                acknowledge(ack_guard);
            }
            (InboundSource::Stream(connection), Some(header)) if header.calltype.is_call() => {
                let call = IncomingCall {
                    connection,
                    header,
                    extra: RawExtra::default(),
                    params: &[],
                    is_redelivered: false,
                    replies: &mut output.replies,
                    ack_guard: None,
                };
                call.refuse(ErrorCode::DataDirty, text);
            }
            _ => self.drop_message("undecodable", text, ack_guard),
        }
    }

    /// Counts and acknowledges a message that is dropped, and logs the first one
    /// of a stream; `why` completes "dropped a message: ".
    pub(crate) fn drop_message(
        &self,
        reason: &'static str,
        why: &str,
        ack_guard: Option<AckGuard>,
    ) {
        static LIMIT: LogLimit = LogLimit::new();
        count_dropped(reason);
        let is_first = match self.source {
            InboundSource::Stream(connection) => {
                let malformed = &connection.inner.malformed;
                malformed.fetch_add(1, Ordering::Relaxed) == 0
            }
            InboundSource::Queue { .. } => true,
        };
        if is_first && LIMIT.allows("dropped messages") {
            let source = self.source_name();
            tracing::warn!(source, reason, "dropped a message: {why}");
        }
        acknowledge(ack_guard);
    }

    /// The endpoint or the peer, for messages to users.
    fn source_name(&self) -> &str {
        match self.source {
            InboundSource::Stream(connection) => connection.peer(),
            InboundSource::Queue { endpoint, .. } => endpoint,
        }
    }

    /// Whether the `__linger_time__` (Unix seconds) of a queue's message has
    /// passed; it means nothing on a stream.
    fn has_lingered<'a>(&self, until: impl FnOnce() -> Option<&'a str>) -> bool {
        if matches!(self.source, InboundSource::Stream(_)) {
            return false;
        }
        let Some(until) = until().and_then(|text| text.trim().parse::<f64>().ok()) else {
            return false;
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        until < now.as_secs_f64()
    }
}

/// The time from now until an instant, or since then.
#[derive(Debug, Clone, Copy)]
enum TimeLeft {
    Left(Duration),
    Late(Duration),
}

impl TimeLeft {
    fn between(now: u64, unix_time: u64) -> Self {
        match unix_time.checked_sub(now) {
            Some(left) => Self::Left(Duration::from_millis(left)),
            None => Self::Late(Duration::from_millis(now - unix_time)),
        }
    }
}

/// Whether a CALL of a topic is for the servants of this member: neither for others, nor
/// the announcement of a member.
fn is_for_servants(member: &Roster, message: &RawMessage<'_>) -> bool {
    let Header {
        ifidx,
        opidx,
        calltype,
        ..
    } = message.header;
    let is_announcement = ifidx == BUILTIN_INTERFACE
        && calltype.is_oneway()
        && [HELLO.opidx(), BYE.opidx()].contains(&opidx);
    if !is_announcement {
        return member.is_addressed(message.extra);
    }
    match Reader::new(message.params).take_str() {
        Ok(id) if opidx == HELLO.opidx() => member.hello(id, now()),
        Ok(id) => member.bye(id),
        Err(error) => tracing::debug!("ignored the announcement of a member: {error}"),
    }
    false
}

fn acknowledge(guard: Option<AckGuard>) {
    if let Some(guard) = guard {
        guard.finish();
    }
}

fn give_back(guard: Option<AckGuard>) {
    if let Some(guard) = guard {
        guard.give_back();
    }
}
