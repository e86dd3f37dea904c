//! Messages that a gateway forwards to other connections instead of serving
//! them.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

pub use super::channel::ForwardError;
use super::{Connection, Inner, dispatch::append_error, publish_queue::Undelivered};
use crate::{
    error::ErrorCode,
    in_flight::{after, millis, unix_millis},
    wire::{Header, PatchedExtra, Raw, RawMessage, reserved},
};

/// Where messages come from.
pub(crate) enum InboundSource<'a> {
    /// A stream: RETURNs leave by the same connection.
    Stream(&'a Connection),
    /// The queue of an endpoint: RETURNs leave by the connection that belongs to
    /// `__mq_return__` of the CALL.
    Queue {
        endpoint: &'a str,
        reply_connection: &'a dyn Fn(Option<&str>) -> Connection,
    },
}

/// What a [`MessageHandler`] has decided about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The handler has forwarded, answered or dropped the message.
    Handled,
    /// The message is for this process: dispatch a CALL to a servant here, and a
    /// RETURN to the pending call.
    Local,
    /// Dispatch the CALL to a servant here as this user; `__user_id__` in the
    /// message is ignored.
    LocalAs(Arc<str>),
}

/// Decides about the messages of a connection, or of a queue.
///
/// It runs in the task that reads, between two messages, and must not block.
pub trait MessageHandler: Undelivered {
    /// Decides about one message.
    fn handle(&self, message: &mut InboundMessage<'_>) -> Disposition;

    /// The connection is up.
    fn connected(&self, _connection: &Connection) {}

    /// The connection has ended.
    fn disconnected(&self, _connection: &Connection, _reason: &str) {}

    /// The peer has read nothing for `stall_time`: the connection ends.
    fn stalled(&self) {}

    /// The largest frame that the peer may send before it has logged in, in bytes;
    /// `None` afterwards.
    fn max_frame_before_login(&self) -> Option<usize> {
        None
    }

    /// Whether reading from the connection pauses. Asked after each message, so
    /// it has to be cheap.
    fn should_pause(&self) -> bool {
        false
    }

    /// Waits while reading pauses; [`MessageHandler::should_pause`] is asked
    /// again afterwards.
    fn until_resumed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    /// Whether reading pauses while the connection's send buffer is full. True
    /// for a peer whose calls fill it; false for a peer whose RETURNs others
    /// wait for, since two sides that both stop reading would block each other.
    fn waits_for_capacity(&self) -> bool {
        false
    }

    /// Whether nothing of this connection is in flight; a shutdown waits for
    /// this.
    fn is_idle(&self) -> bool {
        true
    }
}

/// A message that has arrived, for a [`MessageHandler`] to decide about.
pub struct InboundMessage<'a> {
    pub(super) message: RawMessage<'a>,
    pub(super) payload: &'a [u8],
    pub(super) source: &'a InboundSource<'a>,
    pub(super) handler: &'a Arc<dyn MessageHandler>,
    /// Where RETURNs on the same connection gather.
    pub(super) replies: &'a mut Vec<u8>,
    pub(super) batch: &'a mut WriteBatch,
    pub(super) is_redelivered: bool,
}

impl<'a> InboundMessage<'a> {
    /// The message, with its extra and parameters still marshalled.
    #[must_use]
    pub fn message(&self) -> RawMessage<'a> {
        self.message
    }

    /// The whole message as it arrived, without its frame.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// When it was read; the same for all messages of one read.
    #[must_use]
    pub fn read_at(&self) -> Instant {
        self.batch.read_at
    }

    /// The Unix time in milliseconds until which a twoway CALL of a client may be
    /// executed: `call_time` after it was read, or the client's own `__deadline__` if
    /// that is earlier. A deadline that has passed already comes from a wrong clock,
    /// as clients may have, and is ignored. The second value is the time until then.
    pub fn deadline_within(&mut self, call_time: Duration) -> (u64, Duration) {
        let read_at = self.batch.unix_read_at();
        let latest = read_at.saturating_add(millis(call_time));
        let of_client = self.message.extra.get(reserved::DEADLINE);
        let deadline = of_client
            .and_then(|text| text.parse().ok())
            .filter(|at| (read_at..latest).contains(at))
            .unwrap_or(latest);
        (deadline, Duration::from_millis(deadline - read_at))
    }

    /// Whether a broker may have delivered it before.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    /// Whether a servant of the connection serves the interface that is called.
    /// Always false for a message of a queue.
    #[must_use]
    pub fn has_servant(&self) -> bool {
        match self.source {
            InboundSource::Stream(from) => from.inner.servants.has(self.message.header.ifidx),
            InboundSource::Queue { .. } => false,
        }
    }

    /// Forwards the message to `to` with another header and extra; its
    /// parameters are copied undecoded. Over a queue it expires `expires_in` after it
    /// was read, and for a twoway CALL [`Undelivered::undelivered`] reports that the broker
    /// did not deliver it.
    ///
    /// # Errors
    /// If the message can't be sent now; nothing is queued then.
    pub fn forward(
        &mut self,
        to: &Connection,
        header: Header,
        extra: &PatchedExtra<'_>,
        expires_in: Option<Duration>,
    ) -> Result<(), ForwardError> {
        let params = Raw(self.message.params);
        let expires_at = expires_in.map(|left| after(self.read_at(), left));
        let undelivered = || Arc::clone(self.handler) as Arc<dyn Undelivered>;
        let inner = &to.inner;
        let needs_flush = inner
            .channel
            .forward(header, extra, params, expires_at, undelivered)?;
        if needs_flush {
            self.batch.add(inner);
        }
        Ok(())
    }

    /// Answers a twoway CALL with an error; does nothing for a oneway CALL.
    pub fn refuse(&mut self, code: ErrorCode, text: &str) {
        let header = self.message.header;
        if !header.calltype.is_call() || header.calltype.is_oneway() {
            return;
        }
        match self.source {
            InboundSource::Stream(from) => {
                append_error(&from.inner, header, code, text, self.replies);
            }
            InboundSource::Queue {
                reply_connection, ..
            } => {
                let reply_to = self.message.extra.get(reserved::MQ_RETURN);
                reply_connection(reply_to).refuse(header, code, text);
            }
        }
    }
}

impl fmt::Debug for InboundMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundMessage")
            .field("header", &self.message.header)
            .finish_non_exhaustive()
    }
}

/// The connections to which the messages of one read were forwarded. When it is
/// dropped, what has gathered for each leaves in one write.
pub(crate) struct WriteBatch {
    /// Usually there is one; it needs no allocation.
    first: Option<Arc<Inner>>,
    others: Vec<Arc<Inner>>,
    read_at: Instant,
    /// The same as Unix time in milliseconds, once it is needed.
    unix_read_at: Option<u64>,
}

impl WriteBatch {
    pub(crate) fn new() -> Self {
        Self::read_at(Instant::now())
    }

    /// A batch for messages that were read earlier.
    pub(crate) fn read_at(read_at: Instant) -> Self {
        Self {
            first: None,
            others: Vec::new(),
            read_at,
            unix_read_at: None,
        }
    }

    fn unix_read_at(&mut self) -> u64 {
        let read_at = self.read_at;
        *self
            .unix_read_at
            .get_or_insert_with(|| unix_millis().saturating_sub(millis(read_at.elapsed())))
    }

    fn add(&mut self, inner: &Arc<Inner>) {
        match &self.first {
            None => self.first = Some(Arc::clone(inner)),
            Some(_) => self.others.push(Arc::clone(inner)),
        }
    }
}

impl Drop for WriteBatch {
    fn drop(&mut self) {
        for inner in self.first.iter().chain(&self.others) {
            inner.channel.flush_forwarded();
        }
    }
}

impl Connection {
    /// Answers a CALL of this connection's peer with an error; for a CALL that a
    /// gateway has forwarded and could not complete.
    #[doc(hidden)]
    pub fn refuse(&self, header: Header, code: ErrorCode, text: &str) {
        let mut reply = Vec::new();
        append_error(&self.inner, header, code, text, &mut reply);
        self.inner.channel.send_returns(&mut reply, None);
    }
}
