//! Messages that are passed on to other connections instead of being answered
//! here: what a gateway is made of.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Completion, Connection, Inner, OutgoingMessage, PushError, after, returns};
use crate::{
    error::ErrorCode,
    wire::{Header, PatchedExtra, Raw, RawMessage},
};

/// What a handler wants done with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing: it is passed on, answered or dropped.
    Handled,
    /// It is for this process: a servant answers the CALL, a call of ours waits
    /// for the RETURN.
    Local,
    /// The same, for a call whose user is this one, whoever it says.
    LocalAs(Arc<str>),
}

/// Who decides about the messages of a connection, or of a message queue that
/// is read.
///
/// It runs in the connection's task, between two messages: it must not block.
pub trait MessageHandler: Send + Sync + 'static {
    /// Decides about one message.
    fn handle(&self, message: &mut InboundMessage<'_>) -> Disposition;

    /// The connection is up.
    fn connected(&self, _connection: &Connection) {}

    /// The connection has ended.
    fn disconnected(&self, _connection: &Connection, _reason: &str) {}

    /// Whether nothing more may be read from the connection for now. Asked for
    /// each message: it should cost nothing.
    fn should_pause(&self) -> bool {
        false
    }

    /// Whether nothing more is read while too much waits to be sent to the
    /// peer: right for one whose calls make us send, wrong for one whose
    /// RETURNs others wait for.
    fn waits_for_capacity(&self) -> bool {
        false
    }

    /// Waits until it may. Asked again afterwards.
    fn until_resumed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    /// Whether nothing of this connection is under way: a shutdown waits for
    /// it.
    fn is_idle(&self) -> bool {
        true
    }

    /// A CALL that was [passed on](InboundMessage::pass) over a message queue was not
    /// delivered.
    fn undelivered(&self, _header: Header, _code: ErrorCode, _text: &str) {}
}

/// Why a message was not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// Too much waits for the other side already.
    #[error("too much waits for the other side already")]
    Full,
    /// The other side is not connected.
    #[error("the other side is not connected")]
    Disconnected,
    /// With what is added to it, it is larger than may be sent.
    #[error("the message is larger than may be sent")]
    TooLarge,
}

impl From<PushError> for ForwardError {
    fn from(refused: PushError) -> Self {
        match refused {
            PushError::Full => Self::Full,
            PushError::Disconnected => Self::Disconnected,
        }
    }
}

/// A message that has arrived, for a handler to decide about.
pub struct InboundMessage<'a> {
    pub(crate) message: RawMessage<'a>,
    pub(crate) payload: &'a [u8],
    /// Nothing where it came by a message queue.
    pub(crate) connection: Option<&'a Connection>,
    pub(crate) handler: &'a Arc<dyn MessageHandler>,
    /// Where answers on the same connection gather.
    pub(crate) replies: &'a mut Vec<u8>,
    pub(crate) leaving: &'a mut WriteBatch,
    pub(crate) is_redelivered: bool,
}

impl<'a> InboundMessage<'a> {
    /// The message.
    #[must_use]
    pub fn message(&self) -> RawMessage<'a> {
        self.message
    }

    /// The whole message, as it came.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// When it was read; the same for all messages of one read.
    #[must_use]
    pub fn read_at(&self) -> Instant {
        self.leaving.read_at
    }

    /// Whether a message queue has delivered it before, perhaps.
    #[must_use]
    pub fn is_redelivered(&self) -> bool {
        self.is_redelivered
    }

    /// Whether a servant here answers on the interface that is called.
    #[must_use]
    pub fn has_servant(&self) -> bool {
        self.connection
            .is_some_and(|from| from.inner.servants.has(self.message.header.ifidx))
    }

    /// Passes the message on with another header and extra; its parameters'
    /// bytes are not looked at. Over a message queue a twoway CALL expires
    /// after `expires_in`, and the handler hears if it is not delivered.
    ///
    /// # Errors
    /// Where it can't be sent now. Nothing waits: the caller had better hear.
    pub fn pass(
        &mut self,
        to: &Connection,
        header: Header,
        extra: &PatchedExtra<'_>,
        expires_in: Option<Duration>,
    ) -> Result<(), ForwardError> {
        let inner = &to.inner;
        let params = Raw(self.message.params);
        let Some(link) = &inner.queue else {
            return self.leaving.append(inner, header, extra, params);
        };
        let mut body = Vec::with_capacity(self.payload.len() + ROOM_FOR_EXTRA);
        inner
            .encode(&mut body, header, extra, params)
            .map_err(|_| ForwardError::TooLarge)?;
        let is_answered = header.calltype.is_call() && !header.calltype.is_oneway();
        let message = OutgoingMessage {
            body,
            queue: link.queue.clone(),
            expires_at: expires_in.map(|left| after(self.read_at(), left)),
            completion: if is_answered {
                Completion::Forwarded(Arc::clone(self.handler), header)
            } else {
                Completion::Unconfirmed
            },
        };
        Ok(link.publish_queue.push(message)?)
    }

    /// Answers with an error; a oneway call gets no answer. Over a message
    /// queue it does nothing: who wants an answer there says
    /// [`Disposition::Local`].
    pub fn refuse(&mut self, code: ErrorCode, text: &str) {
        let header = self.message.header;
        if let Some(connection) = self.connection
            && header.calltype.is_call()
            && !header.calltype.is_oneway()
        {
            returns::append_error(&connection.inner, header, code, text, self.replies);
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

/// What a gateway adds to a message's extra fits into this, mostly.
const ROOM_FOR_EXTRA: usize = 160;

/// Connections to which one read's messages were passed on: what has gathered
/// for each leaves in one write, at the end at the latest.
pub(crate) struct WriteBatch {
    /// Mostly there is one.
    first: Option<Arc<Inner>>,
    others: Vec<Arc<Inner>>,
    read_at: Instant,
}

impl WriteBatch {
    pub(crate) fn new() -> Self {
        Self {
            first: None,
            others: Vec::new(),
            read_at: Instant::now(),
        }
    }

    fn append(
        &mut self,
        inner: &Arc<Inner>,
        header: Header,
        extra: &PatchedExtra<'_>,
        params: Raw<'_>,
    ) -> Result<(), ForwardError> {
        let (encoded, was_empty) =
            inner
                .write_buffer
                .append_passing(header.calltype.is_return(), |out| {
                    let was_empty = out.is_empty();
                    (inner.encode(out, header, extra, params), was_empty)
                })?;
        encoded.map_err(|_| ForwardError::TooLarge)?;
        if was_empty {
            match &self.first {
                None => self.first = Some(Arc::clone(inner)),
                Some(_) => self.others.push(Arc::clone(inner)),
            }
        }
        Ok(())
    }
}

impl Drop for WriteBatch {
    fn drop(&mut self) {
        for inner in self.first.iter().chain(&self.others) {
            inner.write_buffer.leave();
        }
    }
}

impl Connection {
    /// Sends an error to a CALL that came on this connection and was passed on.
    pub fn refuse(&self, header: Header, code: ErrorCode, text: &str) {
        let mut reply = Vec::new();
        returns::append_error(&self.inner, header, code, text, &mut reply);
        self.inner.write_buffer.append_all(&mut reply);
    }

    /// Handles a message that this connection's handler has kept as if it had
    /// come now ([`InboundMessage::payload`]).
    pub fn resume(&self, payload: &[u8]) {
        super::stream::resume(self, payload);
    }
}
