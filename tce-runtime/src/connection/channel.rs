//! How messages leave a connection: what differs between a stream and a message
//! queue in framing, flushing, expiry and confirmation.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{sleep_until, timeout_at};

use super::{
    client_login::LOGIN_SEQUENCE,
    publish_queue::{Completion, ConfirmedCall, OutgoingMessage, PublishQueue, Undelivered},
    write_buffer::{FlushPolicy, FrameGuard, PushError, WriteBuffer},
};
use crate::{
    config::{DEFAULT_TIMEOUT, SharedOptions},
    error::{ErrorCode, RpcError},
    in_flight::{count_dropped, millis, now, unix_millis, unix_millis_at},
    roster::Roster,
    wire::{
        BUILTIN_INTERFACE, CallType, Compression, Decimal, Extra, ExtraPart, FRAME_HEADER_SIZE,
        ForwardedExtra, HEADER_SIZE, Header, KeySet, Limits, Marshal, Operation, PatchedExtra, Raw,
        RawMessage, Reader, VERSION, Writer, begin_frame, finish_frame, plain_header, reserved,
    },
};

/// `void ping()` of the built-in interface.
pub const PING: Operation = Operation::new("tce::Builtin::ping", BUILTIN_INTERFACE, 0);
/// `sequence<string> describe()` of the built-in interface: the IDL of all
/// servants.
pub const DESCRIBE: Operation = Operation::new("tce::Builtin::describe", BUILTIN_INTERFACE, 1);
/// `void goAway(int delay)` of the built-in interface, a oneway call from a gateway to its
/// client: finish what is in flight, and open the next connection after `delay`
/// milliseconds.
pub(super) const GO_AWAY: Operation = Operation::new("tce::Builtin::goAway", BUILTIN_INTERFACE, 4);

/// `void hello(string id)` of the built-in interface, a oneway call of a member of a topic
/// to all others: it is there.
pub(crate) const HELLO: Operation = Operation::new("tce::Builtin::hello", BUILTIN_INTERFACE, 5);
/// `void bye(string id)` of the built-in interface: the member leaves the topic.
pub(crate) const BYE: Operation = Operation::new("tce::Builtin::bye", BUILTIN_INTERFACE, 6);

/// `void login()` of the built-in interface: the credentials are in the extra.
pub const LOGIN: Operation = Operation::new("tce::Builtin::login", BUILTIN_INTERFACE, 2);
/// `void refresh()` of the built-in interface: a new token is in the extra.
pub const REFRESH: Operation = Operation::new("tce::Builtin::refresh", BUILTIN_INTERFACE, 3);

/// What a proxy adds to each of its calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallOptions {
    /// `None` for the communicator's `timeout`.
    pub(crate) timeout: Option<Duration>,
    pub(crate) linger: Option<Duration>,
    pub(crate) extra: Extra,
}

/// The keys that tell the servant's side when a call is to be dropped unexecuted.
#[derive(Debug)]
struct ExpiryKeys {
    deadline: Option<Decimal>,
    linger_time: Option<Decimal>,
}

impl ExpiryKeys {
    /// `deadline` is that of a twoway call. A oneway call has one only if its proxy
    /// sets a linger time.
    fn new(options: &CallOptions, deadline: Option<Instant>) -> Self {
        let linger = options.linger.map(millis);
        let lingers_until = linger.map(|linger| unix_millis().saturating_add(linger));
        let deadline = deadline.map(unix_millis_at).or(lingers_until);
        Self {
            deadline: deadline.map(Decimal::new),
            // In seconds, rounded up.
            linger_time: lingers_until.map(|at| Decimal::new(at / 1000 + 1)),
        }
    }

    /// Marshals `extra` with these keys, and `reply_to` as `__mq_return__`.
    fn added_to<T>(
        &self,
        extra: &Extra,
        reply_to: Option<&str>,
        marshal: impl FnOnce(&PatchedExtra<'_>) -> T,
    ) -> T {
        let added = [
            (
                reserved::DEADLINE,
                self.deadline.as_ref().map(Decimal::as_str),
            ),
            (
                reserved::LINGER_TIME,
                self.linger_time.as_ref().map(Decimal::as_str),
            ),
            (reserved::MQ_RETURN, reply_to),
        ];
        let mut keys = KeySet::default();
        let mut with = [ExtraPart::Pair("", ""); 3];
        let mut count = 0;
        for (key, value) in added {
            if let Some(value) = value {
                keys = keys.union(KeySet::of(key));
                with[count] = ExtraPart::Pair(key, value);
                count += 1;
            }
        }
        marshal(&PatchedExtra {
            of: extra.raw(),
            without: keys,
            with: &with[..count],
        })
    }
}

/// Why a call was not sent.
pub(crate) enum NotSent {
    /// There is no connection or no capacity now; a later attempt may succeed.
    Later,
    /// No later attempt can succeed.
    Never(RpcError),
}

/// A message is larger than may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message has {size} bytes, more than the limit of {limit}")]
pub(crate) struct TooLarge {
    size: usize,
    limit: usize,
}

impl From<TooLarge> for NotSent {
    fn from(error: TooLarge) -> Self {
        Self::Never(RpcError::new(ErrorCode::SendFailed, error.to_string()).caused_by(error))
    }
}

/// Why a message was not forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// The other connection's send buffer is full.
    #[error("the send buffer of the other connection is full")]
    Full,
    /// The other connection is down.
    #[error("the other connection is down")]
    Disconnected,
    /// The messages that wait for the other connection have used up its share of
    /// the memory budget.
    #[error("too much waits for the other connection: the memory budget is used up")]
    NoMemory,
    /// With the extra that is added, the message is larger than may be sent.
    #[error("the message is larger than may be sent")]
    TooLarge,
}

impl From<PushError> for ForwardError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Full => Self::Full,
            PushError::Disconnected => Self::Disconnected,
            PushError::NoMemory => Self::NoMemory,
        }
    }
}

impl From<TooLarge> for ForwardError {
    fn from(_: TooLarge) -> Self {
        Self::TooLarge
    }
}

/// How a connection's messages leave.
pub(crate) enum Channel {
    Stream(StreamChannel),
    Queue(QueueChannel),
}

/// A byte stream; its messages are framed.
pub(crate) struct StreamChannel {
    pub(super) buffer: WriteBuffer,
    compression: Compression,
    /// Whether the program has set [`Options::timeout`](crate::config::Options).
    has_timeout: bool,
    max_message: usize,
}

/// One queue of a message broker.
#[derive(Debug, Clone)]
pub(crate) struct QueueChannel {
    pub(crate) publish_queue: Arc<PublishQueue>,
    /// The queue; `None` for the endpoint's own.
    pub(crate) queue: Option<Arc<str>>,
    /// What our calls name in `__mq_return__`.
    pub(crate) reply_to: Option<Arc<str>>,
    /// Whether a oneway call waits for the broker's confirmation.
    pub(crate) is_confirmed: bool,
    /// Whether each program behind the endpoint gets each message.
    pub(crate) is_topic: bool,
    /// The member of a topic that sends its RETURNs here.
    pub(crate) member: Option<Arc<Roster>>,
    pub(crate) max_message: usize,
}

/// The largest message in bytes, without the frame header.
pub(crate) fn max_message(settings: &SharedOptions) -> usize {
    let max_frame = settings.options.limits.max_frame;
    max_frame.saturating_sub(FRAME_HEADER_SIZE)
}

impl Channel {
    /// Appends one message to `out`; leaves `out` unchanged if it is too large.
    pub(super) fn encode(
        &self,
        out: &mut Vec<u8>,
        header: Header,
        extra: &impl Marshal,
        params: impl Marshal,
    ) -> Result<(), TooLarge> {
        match self {
            Self::Stream(stream) => stream.encode(out, header, extra, params),
            Self::Queue(queue) => encode_message(out, header, extra, params, queue.max_message),
        }
    }

    /// The stream, unless messages leave by a queue.
    pub(super) fn stream(&self) -> Option<&StreamChannel> {
        match self {
            Self::Stream(stream) => Some(stream),
            Self::Queue(_) => None,
        }
    }

    /// Sends a twoway call. `is_alone` tells that no other call waits for its
    /// RETURN.
    pub(crate) fn send_call(
        &self,
        header: Header,
        options: &CallOptions,
        is_alone: bool,
        deadline: Instant,
        params: impl Marshal,
    ) -> Result<(), NotSent> {
        match self {
            Self::Stream(stream) => {
                let policy = match is_alone {
                    true => FlushPolicy::Immediate,
                    false => FlushPolicy::Batched,
                };
                // Over a stream a call with the default timeout goes without: the
                // clock and the bytes would cost more than they gain where no
                // message waits.
                let is_limited =
                    stream.has_timeout || options.timeout.is_some() || options.linger.is_some();
                let deadline = is_limited.then_some(deadline);
                stream.send(policy, header, options, deadline, params)
            }
            Self::Queue(queue) => queue.send_call(header, options, deadline, params),
        }
    }

    /// The number of the current stream, which RETURNs must not outlive.
    pub(super) fn generation(&self) -> u64 {
        match self {
            Self::Stream(stream) => stream.buffer.generation(),
            Self::Queue(_) => 0,
        }
    }

    /// Sends a RETURN that was encoded on its own. Over a stream it waits for
    /// capacity; the RETURN is dropped if the stream of its CALL has ended.
    pub(super) async fn send_return(
        &self,
        reply: Vec<u8>,
        policy: FlushPolicy,
        generation: u64,
        expires_at: Option<Instant>,
    ) {
        if reply.is_empty() {
            return;
        }
        let buffer = match self {
            Self::Stream(stream) => &stream.buffer,
            Self::Queue(queue) => return queue.push_return(reply, expires_at),
        };
        loop {
            match buffer.append_reply(generation, policy, &reply) {
                Ok(()) => return,
                Err(PushError::Full) => buffer.capacity().await,
                Err(PushError::Disconnected | PushError::NoMemory) => return caller_gone(),
            }
        }
    }

    /// Sends the encoded RETURNs of one read at once; empties `replies`.
    pub(super) fn send_returns(&self, replies: &mut Vec<u8>, expires_at: Option<Instant>) {
        match self {
            Self::Stream(stream) => stream.buffer.append_all(replies),
            Self::Queue(_) if replies.is_empty() => {}
            Self::Queue(queue) => queue.push_return(std::mem::take(replies), expires_at),
        }
    }

    /// Waits until another message can be appended, or the connection ends.
    pub(crate) async fn capacity(&self) {
        match self {
            Self::Stream(stream) => stream.buffer.capacity().await,
            Self::Queue(queue) => queue.publish_queue.capacity().await,
        }
    }

    /// Whether RETURNs to a queue have reached the limit, so that no further CALL is
    /// to be served; a stream defers CALLs by itself.
    pub(crate) fn is_congested(&self) -> bool {
        match self {
            Self::Stream(_) => false,
            Self::Queue(queue) => queue.publish_queue.is_full(),
        }
    }

    /// Waits until [`Channel::is_congested`] is false.
    pub(crate) async fn until_uncongested(&self) {
        if let Self::Queue(queue) = self {
            queue.publish_queue.below_limit().await;
        }
    }

    /// Why a queue takes no calls now: the broker is away or blocks.
    pub(super) fn unavailable(&self) -> Option<RpcError> {
        match self {
            Self::Queue(queue) if !queue.publish_queue.is_up() => {
                Some(queue.publish_queue.unavailable())
            }
            _ => None,
        }
    }

    /// Waits until everything has left, or the connection ends.
    pub(super) async fn drained(&self) {
        match self {
            Self::Stream(stream) => stream.buffer.drained().await,
            Self::Queue(queue) => queue.publish_queue.drained().await,
        }
    }

    /// Whether the broker of a queue is connected and accepts messages; a stream's
    /// state is its connection's.
    pub(super) fn has_broker(&self) -> bool {
        match self {
            Self::Stream(_) => true,
            Self::Queue(queue) => queue.publish_queue.is_up(),
        }
    }

    /// How many messages wait for the broker; 0 over a stream.
    pub(super) fn queued(&self) -> usize {
        match self {
            Self::Stream(_) => 0,
            Self::Queue(queue) => queue.publish_queue.waiting(),
        }
    }
}

impl StreamChannel {
    pub(super) fn new(settings: &SharedOptions, compression: Compression) -> Self {
        Self {
            buffer: WriteBuffer::new(
                settings.options.connection.send_buffer,
                &settings.options.memory,
            ),
            compression,
            has_timeout: settings.options.timeout != DEFAULT_TIMEOUT,
            max_message: max_message(settings),
        }
    }

    pub(super) fn encode(
        &self,
        out: &mut Vec<u8>,
        header: Header,
        extra: &impl Marshal,
        params: impl Marshal,
    ) -> Result<(), TooLarge> {
        let start = begin_frame(out);
        let encoded = encode_message(out, header, extra, params, self.max_message);
        match encoded {
            Ok(()) => finish_frame(out, start, self.compression, VERSION),
            Err(_) => out.truncate(start),
        }
        encoded
    }

    /// Encodes a forwarded message: in one pass, if it keeps no pair of its extra.
    #[inline(always)]
    pub(super) fn encode_forwarded(
        &self,
        out: &mut Vec<u8>,
        header: &Header,
        extra: &ForwardedExtra<'_>,
        params: Raw<'_>,
    ) -> Result<(), TooLarge> {
        let size = HEADER_SIZE + extra.added.size() + params.0.len();
        let is_plain = self.compression == Compression::None && extra.keeps_none();
        match (u32::try_from(size), u32::try_from(extra.added.len())) {
            (Ok(_), Ok(count)) if is_plain && size <= self.max_message => {
                out.reserve(FRAME_HEADER_SIZE + size);
                out.extend_from_slice(&forwarded_prefix(size, *header, count));
                extra.added.append_pairs(out);
                out.extend_from_slice(params.0);
                Ok(())
            }
            _ => self.encode(out, *header, extra, params),
        }
    }

    /// Sends a oneway call, if there are a connection and capacity.
    pub(super) fn send_oneway(
        &self,
        header: Header,
        options: &CallOptions,
        params: impl Marshal,
    ) -> Result<(), NotSent> {
        self.send(FlushPolicy::WhenFull, header, options, None, params)
    }

    fn send(
        &self,
        policy: FlushPolicy,
        header: Header,
        options: &CallOptions,
        deadline: Option<Instant>,
        params: impl Marshal,
    ) -> Result<(), NotSent> {
        let mut frame = self.buffer.frame(policy).map_err(|_| NotSent::Later)?;
        let with_credentials;
        let mut extra = &options.extra;
        let adds_credentials = frame.has_credentials();
        if adds_credentials {
            self.append_login(&mut frame)?;
            let mut credentials = frame.credentials();
            credentials.extend(options.extra.iter());
            with_credentials = credentials;
            extra = &with_credentials;
        }
        if deadline.is_none() && options.linger.is_none() {
            self.encode(frame.bytes(), header, extra, params)?;
        } else {
            let keys = ExpiryKeys::new(options, deadline);
            keys.added_to(extra, None, |extra| {
                self.encode(frame.bytes(), header, extra, params)
            })?;
        }
        // A peer that does not know `login` may answer the built-in interface itself,
        // before the login.
        if adds_credentials && header.ifidx != BUILTIN_INTERFACE {
            frame.clear_credentials();
        }
        Ok(())
    }
}

impl StreamChannel {
    /// Logs in, unless a call has done so. A full buffer holds a call that has.
    pub(super) fn log_in(&self) {
        if let Ok(mut frame) = self.buffer.frame(FlushPolicy::Immediate) {
            // Credentials that are too large fail each call, which reports it.
            let _ = self.append_login(&mut frame);
        }
    }

    /// Appends `login`, if it is due: before everything else on a stream.
    fn append_login(&self, frame: &mut FrameGuard<'_>) -> Result<(), TooLarge> {
        if let Some(extra) = frame.login() {
            self.encode(frame.bytes(), session_header(&LOGIN), &extra, ())?;
            frame.login_sent();
        }
        Ok(())
    }

    /// Sends `refresh` with a new token in `extra`. Where the buffer is full the login is
    /// renewed later.
    pub(super) fn refresh(&self, extra: &Extra) {
        if let Ok(mut frame) = self.buffer.frame(FlushPolicy::Immediate) {
            let _ = self.encode(frame.bytes(), session_header(&REFRESH), extra, ());
        }
    }
}

/// The header of `login` or `refresh`.
fn session_header(operation: &Operation) -> Header {
    let (ifidx, opidx) = (operation.ifidx(), operation.opidx());
    Header::call(CallType::TWOWAY, LOGIN_SEQUENCE, ifidx, opidx)
}

impl QueueChannel {
    /// Forwards a message. `undelivered` is told if the broker does not deliver a
    /// twoway CALL.
    pub(super) fn forward(
        &self,
        header: Header,
        extra: &ForwardedExtra<'_>,
        params: Raw<'_>,
        expires_at: Option<Instant>,
        undelivered: impl FnOnce() -> Arc<dyn Undelivered>,
    ) -> Result<(), ForwardError> {
        let size = HEADER_SIZE + extra.max_size() + params.0.len();
        let mut body = Vec::with_capacity(size);
        encode_message(&mut body, header, extra, params, self.max_message)?;
        let completion = if header.calltype.is_return() {
            Completion::Return
        } else if header.calltype.is_oneway() {
            Completion::Unconfirmed
        } else {
            Completion::Forwarded(undelivered(), header)
        };
        let message = self.outgoing(body, expires_at, completion);
        Ok(self.publish_queue.push(message)?)
    }

    fn send_call(
        &self,
        header: Header,
        options: &CallOptions,
        deadline: Instant,
        params: impl Marshal,
    ) -> Result<(), NotSent> {
        let message = self.twoway_call(header, options, deadline, params)?;
        self.publish_queue
            .push(message)
            .map_err(|error| match error {
                PushError::Full => NotSent::Later,
                PushError::Disconnected | PushError::NoMemory => {
                    NotSent::Never(self.publish_queue.unavailable())
                }
            })
    }

    /// Sends a call to all members of a topic. It fails if there is none.
    pub(super) fn send_multi_call(
        &self,
        header: Header,
        options: &CallOptions,
        deadline: Instant,
        params: impl Marshal,
    ) -> Result<(), RpcError> {
        let message = self.twoway_call(header, options, deadline, params);
        let message = message.map_err(|not_sent| match not_sent {
            NotSent::Never(error) => error,
            NotSent::Later => full_buffer(),
        })?;
        let message = OutgoingMessage {
            is_mandatory: true,
            ..message
        };
        self.publish_queue
            .push(message)
            .map_err(|error| match error {
                PushError::Full => full_buffer(),
                PushError::Disconnected | PushError::NoMemory => self.publish_queue.unavailable(),
            })
    }

    fn twoway_call(
        &self,
        header: Header,
        options: &CallOptions,
        deadline: Instant,
        params: impl Marshal,
    ) -> Result<OutgoingMessage, NotSent> {
        if self.reply_to.is_none() {
            return Err(NotSent::Never(RpcError::new(
                ErrorCode::SendFailed,
                "no endpoint receives the RETURN; call oneway, or name one in `endpoint_pairs`",
            )));
        }
        let body = self.encode_call(header, options, Some(deadline), params)?;
        let completion = Completion::Call(header.sequence);
        Ok(self.outgoing(body, Some(deadline), completion))
    }

    /// Sends a oneway call: waits for capacity and, if the endpoint is durable, for
    /// the broker's confirmation. A call that the publisher has taken and the broker
    /// has not confirmed by `deadline` may be delivered: TIMEOUT. One that waits until
    /// then is never sent: SENDFAILED.
    pub(crate) async fn send_oneway(
        &self,
        header: Header,
        options: &CallOptions,
        deadline: Instant,
        params: impl Marshal,
    ) -> Result<(), NotSent> {
        let body = self.encode_call(header, options, None, params)?;
        let queue = &self.publish_queue;
        let (completion, mut confirmation) = if self.is_confirmed {
            let (call, confirmation) = ConfirmedCall::new();
            (Completion::Confirmed(call), Some(confirmation))
        } else {
            (Completion::Unconfirmed, None)
        };
        let sending = async {
            let message = self.outgoing(body, None, completion);
            let pushed = queue.push_when_free(message).await;
            pushed.map_err(|_| queue.unavailable())?;
            match &mut confirmation {
                Some(confirmation) => (&mut confirmation.result)
                    .await
                    .unwrap_or_else(|_| Err(queue.unavailable())),
                None => Ok(()),
            }
        };
        let sent = timeout_at(deadline.into(), sending).await;
        sent.unwrap_or_else(|_| {
            let was_sent = confirmation.is_some_and(|it| !it.give_up());
            Err(match was_sent {
                true => RpcError::new(
                    ErrorCode::Timeout,
                    "the broker did not confirm the call in time: it may be delivered",
                ),
                false => RpcError::new(
                    ErrorCode::SendFailed,
                    "the broker could not take the call in time: it was not sent",
                ),
            })
        })
        .map_err(NotSent::Never)
    }

    fn encode_call(
        &self,
        header: Header,
        options: &CallOptions,
        deadline: Option<Instant>,
        params: impl Marshal,
    ) -> Result<Vec<u8>, TooLarge> {
        let mut body = Vec::new();
        let keys = ExpiryKeys::new(options, deadline);
        keys.added_to(&options.extra, self.reply_to.as_deref(), |extra| {
            encode_message(&mut body, header, extra, params, self.max_message)
        })?;
        Ok(body)
    }

    fn outgoing(
        &self,
        body: Vec<u8>,
        expires_at: Option<Instant>,
        completion: Completion,
    ) -> OutgoingMessage {
        OutgoingMessage {
            body,
            queue: self.queue.clone(),
            expires_at,
            is_mandatory: false,
            completion,
        }
    }

    fn push_return(&self, body: Vec<u8>, expires_at: Option<Instant>) {
        let body = match &self.member {
            Some(member) => {
                self.send_roster_later(&body, member, expires_at);
                with_replier(body, member, self.max_message)
            }
            None => body,
        };
        let message = self.outgoing(body, expires_at, Completion::Return);
        match self.publish_queue.push_return(message) {
            Ok(()) => {}
            Err(PushError::Disconnected) => caller_gone(),
            Err(PushError::Full | PushError::NoMemory) => count_dropped("returns_full"),
        }
    }
}

impl QueueChannel {
    /// Sends the roster that a RETURN lacks, as soon as it is complete, in another RETURN of
    /// the same CALL: so the caller learns whom to wait for, and when it has all replies.
    fn send_roster_later(&self, body: &[u8], member: &Arc<Roster>, expires_at: Option<Instant>) {
        let Some(complete_from) = member.complete_from(now()) else {
            return;
        };
        let is_late = expires_at.is_some_and(|at| at <= complete_from);
        let Ok(header) = Header::unmarshal(&mut Reader::new(body)) else {
            return;
        };
        let Some(slot) = member.begin_later().filter(|_| !is_late) else {
            return;
        };
        let (channel, member) = (self.clone(), Arc::clone(member));
        tokio::spawn(async move {
            let _slot = slot;
            sleep_until(complete_from.into()).await;
            if member.complete(now()).is_none() {
                return;
            }
            let mut roster = Vec::new();
            let header = header.returning(0);
            let encoded =
                encode_message(&mut roster, header, &Extra::new(), (), channel.max_message);
            if encoded.is_ok() {
                channel.push_return(roster, expires_at);
            }
        });
    }
}

/// What precedes the pairs of the extra in the frame of a message of `size` bytes.
#[inline]
fn forwarded_prefix(size: usize, header: Header, count: u32) -> [u8; FORWARDED_PREFIX] {
    let mut prefix = [0; FORWARDED_PREFIX];
    let (frame, message) = prefix.split_at_mut(FRAME_HEADER_SIZE);
    let (message, pairs) = message.split_at_mut(HEADER_SIZE);
    frame.copy_from_slice(&plain_header(size));
    message.copy_from_slice(&header.to_bytes());
    pairs.copy_from_slice(&count.to_be_bytes());
    prefix
}

/// The frame header, the header of the message, and the number of pairs.
const FORWARDED_PREFIX: usize = FRAME_HEADER_SIZE + HEADER_SIZE + size_of::<u32>();

/// Appends a message without a frame; leaves `out` unchanged if it is too large.
fn encode_message(
    out: &mut Vec<u8>,
    header: Header,
    extra: &impl Marshal,
    params: impl Marshal,
    limit: usize,
) -> Result<(), TooLarge> {
    let start = out.len();
    let mut writer = Writer::new(out);
    header.marshal(&mut writer);
    extra.marshal(&mut writer);
    params.marshal(&mut writer);
    let has_overflowed = writer.overflowed();
    let size = out.len() - start;
    if has_overflowed || size > limit {
        out.truncate(start);
        return Err(TooLarge { size, limit });
    }
    Ok(())
}

fn full_buffer() -> RpcError {
    RpcError::new(ErrorCode::SendFailed, "the send buffer is full")
}

/// Adds to a RETURN who sends it, and the members that it knows; without these where
/// peers might not accept so much extra.
fn with_replier(body: Vec<u8>, member: &Roster, limit: usize) -> Vec<u8> {
    // This program has marshalled it, within its own limits.
    let limits = Limits {
        max_extra_entries: usize::MAX,
        max_extra_bytes: usize::MAX,
        ..Limits::default()
    };
    let Ok(raw) = RawMessage::parse(&body, &limits) else {
        return body;
    };
    let added = REPLIER_SIZE + member.id().len();
    let accepted = Limits::default().max_extra_bytes;
    let fits = |roster: &String| {
        let added = added + roster.len();
        raw.extra.size() + added <= accepted && body.len() + added <= limit
    };
    let roster = member.complete(now()).filter(fits);
    let replier = ExtraPart::Pair(reserved::REPLIER, member.id());
    let with = match &roster {
        Some(ids) => &[replier, ExtraPart::Pair(reserved::ROSTER, ids)][..],
        None => &[replier][..],
    };
    let extra = PatchedExtra {
        of: raw.extra,
        without: KeySet::MULTI_CALL,
        with,
    };
    let mut with_replier = Vec::with_capacity(body.len() + added);
    let params = Raw(raw.params);
    match encode_message(&mut with_replier, raw.header, &extra, params, limit) {
        Ok(()) => with_replier,
        // It is as large as may be sent: the caller learns the result, not from whom.
        Err(TooLarge { .. }) => body,
    }
}

/// What `__replier__` and `__roster__` take beside their values, in bytes.
const REPLIER_SIZE: usize = 4 * 4 + reserved::REPLIER.len() + reserved::ROSTER.len();

fn caller_gone() {
    count_dropped("caller_gone");
}
