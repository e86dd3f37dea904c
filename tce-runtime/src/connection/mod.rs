//! One connection: its calls in flight, its outgoing bytes, its servants.
//!
//! A stream connection is the same on both sides, since both may call. What
//! differs is who makes it: `client` connects, and connects again; `server`
//! accepts.

mod drive;
mod ended;
mod events;
mod forwarding;
mod pending_calls;
mod publish_queue;
mod reading;
mod returns;
mod servants;
mod served;
mod wait;
mod write_buffer;

use std::{
    fmt,
    sync::{Arc, Weak, atomic::AtomicBool},
};

use tokio::sync::{Notify, watch};

pub(crate) use drive::drive;
pub use events::ConnectionEvent;
pub(crate) use events::Listeners;
pub(crate) use forwarding::WriteBatch;
pub use forwarding::{Disposition, ForwardError, InboundMessage, MessageHandler};
pub(crate) use pending_calls::{CallOutcome, PendingCalls, Reply};
pub(crate) use publish_queue::{Completion, OutgoingMessage, PublishQueue, QueueChannel};
pub(crate) use returns::ReplyContext;
pub(crate) use servants::ServantRegistry;
pub use servants::{BUILTIN_INTERFACE, IncomingCall, Servant};
pub(crate) use served::{InFlightCounter, InFlightGuard};
pub(crate) use wait::after;
pub(crate) use write_buffer::{FlushPolicy, PushError, WriteBuffer};

use crate::{
    config::{Options, Settings},
    error::ErrorCode,
    transport::delivery::AckGuard,
    wire::{
        Compression, Extra, FRAME_HEADER_SIZE, Header, Marshal, VERSION, Writer, begin_frame,
        finish_frame,
    },
};

/// Whether a connection can be used.
#[derive(Debug, Clone)]
pub(crate) enum Status {
    /// It is.
    Up,
    /// It is not, and is being made again: so many attempts failed, the last
    /// for this reason.
    Down {
        attempts: u64,
        failure: Option<(ErrorCode, Arc<str>)>,
    },
    /// It never will be again.
    Closed,
}

/// A connection to a peer; clones are the same connection.
///
/// One that a client made connects again when it is lost, and ends when the
/// last clone and the last proxy on it are dropped. One that an adapter
/// accepted ends with its socket.
#[derive(Clone)]
pub struct Connection {
    pub(crate) inner: Arc<Inner>,
    /// Ends a client's connection when nobody uses it any more.
    pub(crate) keep: Option<Arc<CloseOnDrop>>,
}

pub(crate) struct Inner {
    pub(crate) settings: Arc<Settings>,
    /// The peer, for people: the endpoint, or the address it came from.
    pub(crate) peer: String,
    pub(crate) compression: Compression,
    pub(crate) calls: Arc<PendingCalls>,
    pub(crate) write_buffer: WriteBuffer,
    /// The way over a message queue, where it is none over a stream.
    pub(crate) queue: Option<QueueChannel>,
    pub(crate) servants: Arc<ServantRegistry>,
    pub(crate) listeners: Arc<Listeners>,
    /// Who decides about its messages, where they are passed on.
    pub(crate) handler: Option<Arc<dyn MessageHandler>>,
    pub(crate) served: InFlightCounter,
    pub(crate) status: watch::Sender<Status>,
    /// Asks for an attempt to connect now, rather than after the back-off.
    pub(crate) demand: Notify,
    /// No new call is taken.
    pub(crate) is_draining: AtomicBool,
    /// What the first message carries.
    pub(crate) credentials: Extra,
}

/// Closes the connection when it is dropped.
pub(crate) struct CloseOnDrop(pub(crate) Arc<Inner>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.status.send_replace(Status::Closed);
    }
}

/// What a connection is made of, beside the communicator's defaults.
pub(crate) struct Parts {
    pub(crate) peer: String,
    pub(crate) compression: Compression,
    pub(crate) servants: Arc<ServantRegistry>,
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) handler: Option<Arc<dyn MessageHandler>>,
    pub(crate) credentials: Extra,
    /// The way over a message queue, where it is none over a stream.
    pub(crate) queue: Option<ByQueue>,
}

/// What a connection over message queues shares with the others.
pub(crate) struct ByQueue {
    pub(crate) link: QueueChannel,
    /// The calls that RETURNs belong to.
    pub(crate) calls: Arc<PendingCalls>,
    /// The servants' tasks that have a RETURN to send.
    pub(crate) served: InFlightCounter,
}

impl Connection {
    pub(crate) fn new(settings: &Arc<Settings>, parts: Parts) -> Self {
        let limits = settings.options.connection;
        let down = Status::Down {
            attempts: 0,
            failure: None,
        };
        let (status, _) = watch::channel(if parts.queue.is_some() {
            Status::Up
        } else {
            down
        });
        let (queue, calls, served) = match parts.queue {
            Some(by) => (Some(by.link), by.calls, by.served),
            None => (
                None,
                Arc::new(PendingCalls::new(limits.calls_in_flight, 1)),
                InFlightCounter::default(),
            ),
        };
        let inner = Inner {
            settings: Arc::clone(settings),
            peer: parts.peer,
            compression: parts.compression,
            calls,
            write_buffer: WriteBuffer::new(limits.send_buffer),
            queue,
            servants: parts.servants,
            listeners: parts.listeners,
            handler: parts.handler,
            served,
            status,
            demand: Notify::new(),
            is_draining: AtomicBool::new(false),
            credentials: parts.credentials,
        };
        Self {
            inner: Arc::new(inner),
            keep: None,
        }
    }

    /// The peer: the endpoint that was connected to, or the address that the
    /// connection came from.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.inner.peer
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.settings.options
    }

    /// Whether it is up at the moment; over a message queue, whether the broker
    /// is there.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        if let Some(link) = &self.inner.queue
            && !link.publish_queue.is_up()
        {
            return false;
        }
        matches!(*self.inner.status.borrow(), Status::Up)
    }

    /// Adds a servant for calls that the peer makes on this connection
    /// (bidirectional calls). On a connection that an adapter accepted it is
    /// added to the adapter.
    pub fn add_servant(&self, servant: impl Servant) {
        let servant: Arc<dyn Servant> = Arc::new(servant);
        self.inner.servants.add(&servant);
    }

    /// PendingCalls `listener` when the connection goes up or down. It runs in the
    /// connection's task: what takes long belongs into a task of its own.
    pub fn on_event(&self, listener: impl Fn(&Self, &ConnectionEvent) + Send + Sync + 'static) {
        self.inner.listeners.add(listener);
    }

    /// Waits until what was called so far has left for the peer, or the
    /// connection is lost.
    pub async fn flush(&self) {
        match &self.inner.queue {
            Some(link) => link.publish_queue.drained().await,
            None => self.inner.write_buffer.drained().await,
        }
    }

    /// Waits until another message finds room among those that wait to be sent
    /// (`send_buffer` of the options), or nothing can be sent any more.
    pub async fn capacity(&self) {
        match &self.inner.queue {
            Some(link) => link.publish_queue.capacity().await,
            None => self.inner.write_buffer.capacity().await,
        }
    }

    /// Ends the connection for good, once what waits to be sent is sent; calls
    /// in flight fail with CONNECTION_LOST.
    pub fn close(&self) {
        self.inner.status.send_replace(Status::Closed);
    }

    /// How many messages wait for the broker of a message queue; of a stream 0.
    #[must_use]
    pub fn queued(&self) -> usize {
        let queue = self.inner.queue.as_ref();
        queue.map_or(0, |link| link.publish_queue.waiting())
    }

    /// How many calls on this connection wait for their RETURN.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.inner.calls.waiting()
    }

    /// A clone that does not keep a client's connection open: for what lives
    /// as long as the connection itself.
    pub(crate) fn without_keep(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            keep: None,
        }
    }

    /// The same connection, as long as somebody else keeps it.
    #[must_use]
    pub fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.inner))
    }

    pub(crate) fn tell(&self, event: &ConnectionEvent) {
        if let Some(handler) = &self.inner.handler {
            match event {
                ConnectionEvent::Connected => handler.connected(self),
                ConnectionEvent::Disconnected { reason } => handler.disconnected(self, reason),
            }
        }
        self.inner.listeners.tell(self, event);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("peer", &self.peer())
            .field("connected", &self.is_connected())
            .finish()
    }
}

/// A [`Connection`] that may be gone: for what its own [`MessageHandler`] keeps.
#[derive(Debug, Clone, Default)]
pub struct WeakConnection(Weak<Inner>);

impl WeakConnection {
    /// The connection, if there still is one.
    #[must_use]
    pub fn upgrade(&self) -> Option<Connection> {
        let inner = self.0.upgrade()?;
        Some(Connection { inner, keep: None })
    }
}

/// A message is larger than may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message has {size} bytes, more than the limit of {limit}")]
pub(crate) struct TooLarge {
    size: usize,
    limit: usize,
}

impl Inner {
    /// Changes the status of a connection that is not closed: closed it stays.
    pub(crate) fn set_status(&self, new: Status) {
        self.status.send_if_modified(|status| {
            let is_open = !matches!(status, Status::Closed);
            if is_open {
                *status = new;
            }
            is_open
        });
    }

    /// Appends one message to `out`, in a frame on a stream and bare for a
    /// queue; nothing where it is larger than allowed.
    pub(crate) fn encode(
        &self,
        out: &mut Vec<u8>,
        header: Header,
        extra: &impl Marshal,
        params: impl Marshal,
    ) -> Result<(), TooLarge> {
        let start = out.len();
        if self.queue.is_none() {
            begin_frame(out);
        }
        let payload = out.len();
        let mut writer = Writer::new(out);
        header.marshal(&mut writer);
        extra.marshal(&mut writer);
        params.marshal(&mut writer);
        let overflowed = writer.overflowed();
        let size = out.len() - payload;
        let max_frame = self.settings.options.limits.max_frame;
        let limit = max_frame.saturating_sub(FRAME_HEADER_SIZE);
        if overflowed || size > limit {
            out.truncate(start);
            return Err(TooLarge { size, limit });
        }
        if self.queue.is_none() {
            finish_frame(out, start, self.compression, VERSION);
        }
        Ok(())
    }
}
