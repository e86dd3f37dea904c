//! One connection: pending calls, outgoing messages, dispatch of incoming ones.
//!
//! Both ends of a connection may call, so both are the same type. They differ in
//! who opens it: `client` connects, and reconnects; `server` accepts. Whether
//! messages leave by a stream or by a message queue is in its [`Channel`].
//!
//! The modules are in import order. `Connection` stores a [`ServantRegistry`] and
//! a [`MessageHandler`], which later modules define and use.
mod goodbye;

mod push_cursor;
mod client_login;

mod status;

mod reply;
mod collected_replies;
mod pending_calls;
mod write_buffer;
mod publish_queue;

mod channel;
mod call_queue;
mod move_request;
mod dispatch;
mod interception;
mod servants;
mod forwarding;
mod inbound;
mod reader;

mod own_wake;
mod stream;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32},
    },
    time::Instant,
};

use parking_lot::{Mutex, RwLock};
use tokio::{runtime::Handle, sync::Notify};

pub(crate) use call_queue::{CallMode, CallParts, QueuedCall, SentCall, oneway_header};
pub(crate) use channel::{BYE, CallOptions, Channel, HELLO, NotSent, QueueChannel, max_message};
pub use channel::{DESCRIBE, LOGIN, PING, REFRESH};
pub(crate) use client_login::ClientLogin;
pub use dispatch::{Context, IncomingCall};
pub use forwarding::{AddedExtra, Disposition, ForwardError, InboundMessage, MessageHandler};
pub(crate) use forwarding::{InboundSource, WriteBatch};
pub(crate) use goodbye::{Goodbye, Reconnect};
pub(crate) use inbound::{Inbound, ReadClock, ReadOutput};
pub(crate) use pending_calls::PendingCalls;
pub use publish_queue::Undelivered;
pub(crate) use publish_queue::{Completion, OutgoingMessage, PublishQueue};
pub(crate) use reply::{CallOutcome, LostReason, Reply};
pub use servants::Servant;
pub(crate) use servants::ServantRegistry;
pub(crate) use status::{ConnectionStatus, Status};
pub(crate) use stream::{RunningStream, run_next_stream, run_stream};

use call_queue::CallQueue;
use channel::StreamChannel;
use move_request::MoveRequest;

use crate::{
    config::{Options, SharedOptions},
    error::RpcError,
    in_flight::InFlightCounter,
    transport::StreamControl,
    wire::Compression,
};

pub use crate::wire::BUILTIN_INTERFACE;

/// A connection to a peer; clones are the same connection.
///
/// A connection that a client opened reconnects when it is lost, and ends when
/// the last clone and the last proxy on it are dropped. A connection that an
/// adapter accepted ends with its socket.
#[derive(Clone)]
pub struct Connection {
    pub(crate) inner: Arc<Inner>,
    /// Closes a client's connection with its last clone.
    pub(crate) close_on_drop: Option<Arc<CloseOnDrop>>,
}

pub(crate) struct Inner {
    pub(crate) settings: Arc<SharedOptions>,
    /// The endpoint, or the address of the peer, for messages to users.
    pub(crate) peer: String,
    pub(crate) channel: Channel,
    pub(crate) calls: Arc<PendingCalls>,
    /// Calls that wait to be sent.
    call_queue: CallQueue,
    /// Where the connection's tasks run.
    pub(crate) runtime: Handle,
    pub(crate) servants: Arc<ServantRegistry>,
    pub(crate) listeners: Arc<EventListeners>,
    /// Decides first about incoming messages, in a gateway.
    pub(crate) handler: Option<Arc<dyn MessageHandler>>,
    /// How this side logs in at the peer; `None` if it does not.
    pub(crate) login: Option<Box<ClientLogin>>,
    /// The peer's calls that are being served.
    pub(crate) served: InFlightCounter,
    /// Whether the reader waits for a change of `served` or of the outstanding calls.
    is_reader_waiting: AtomicBool,
    /// The control messages of the current stream.
    control: Mutex<Option<Arc<dyn StreamControl>>>,
    pub(crate) status: ConnectionStatus,
    /// Asks for an attempt to reconnect now instead of after the back-off.
    pub(crate) reconnect_now: Notify,
    /// What the peer asks of a connection that this side has opened over a stream;
    /// `None` for other connections.
    pub(crate) move_request: Option<Box<MoveRequest>>,
    /// New incoming calls are refused.
    pub(crate) is_draining: AtomicBool,
    /// Why one side will close the stream, as it has said.
    goodbye: Mutex<Option<Box<Goodbye>>>,
    /// The messages of the peer that made no sense.
    pub(crate) malformed: AtomicU32,
}

/// Closes the connection when it is dropped.
pub(crate) struct CloseOnDrop(Arc<Inner>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.status.set(Status::Closed);
    }
}

/// What a connection is made of.
pub(crate) struct ConnectionParts {
    pub(crate) peer: String,
    pub(crate) channel: Channel,
    /// Shared by the connections whose RETURNs arrive by the same queues.
    pub(crate) calls: Arc<PendingCalls>,
    pub(crate) served: InFlightCounter,
    pub(crate) servants: Arc<ServantRegistry>,
    pub(crate) listeners: Arc<EventListeners>,
    pub(crate) handler: Option<Arc<dyn MessageHandler>>,
    pub(crate) login: Option<Box<ClientLogin>>,
    /// As [`Inner::move_request`].
    pub(crate) move_request: Option<Box<MoveRequest>>,
}

impl ConnectionParts {
    /// A stream without servants, listeners, handler and login.
    pub(crate) fn stream(settings: &SharedOptions, peer: String, compression: Compression) -> Self {
        let limit = settings.options.connection.calls_in_flight;
        Self {
            peer,
            channel: Channel::Stream(StreamChannel::new(settings, compression)),
            calls: Arc::new(PendingCalls::new(limit, 1)),
            served: InFlightCounter::default(),
            servants: Arc::new(ServantRegistry::new(&settings.options.server_interceptors)),
            listeners: Arc::default(),
            handler: None,
            login: None,
            move_request: None,
        }
    }
}

impl Connection {
    pub(crate) fn new(settings: &Arc<SharedOptions>, parts: ConnectionParts) -> Self {
        let status = match parts.channel {
            Channel::Queue(_) => Status::Up,
            Channel::Stream(_) => Status::Down {
                attempts: 0,
                failure: None,
            },
        };
        let inner = Inner {
            settings: Arc::clone(settings),
            peer: parts.peer,
            channel: parts.channel,
            calls: parts.calls,
            call_queue: CallQueue::new(settings.options.connection.send_buffer),
            runtime: Handle::current(),
            servants: parts.servants,
            listeners: parts.listeners,
            handler: parts.handler,
            login: parts.login,
            served: parts.served,
            is_reader_waiting: AtomicBool::new(false),
            control: Mutex::new(None),
            status: ConnectionStatus::new(status),
            reconnect_now: Notify::new(),
            move_request: parts.move_request,
            is_draining: AtomicBool::new(false),
            goodbye: Mutex::default(),
            malformed: AtomicU32::new(0),
        };
        Self {
            inner: Arc::new(inner),
            close_on_drop: None,
        }
    }

    /// Makes the connection close when this value and all clones of it are
    /// dropped.
    pub(crate) fn closing_on_drop(mut self) -> Self {
        self.close_on_drop = Some(Arc::new(CloseOnDrop(Arc::clone(&self.inner))));
        self
    }

    /// A clone that does not keep a client's connection open.
    pub(crate) fn weak_clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            close_on_drop: None,
        }
    }

    /// The endpoint of the peer, or the address that it connected from.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.inner.peer
    }

    pub(crate) fn options(&self) -> &Options {
        &self.inner.settings.options
    }

    /// Whether the connection is up; over a message queue, whether the broker is
    /// connected and accepts messages.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.inner.channel.has_broker() && self.inner.status.is_up()
    }

    /// Whether the gateway has sent everything that was pushed since the last push that
    /// this program has handled, at the login of the current stream, or will send it: the
    /// program has missed nothing. False after the first login, and where too much was
    /// pushed meanwhile: the program loads what it shows anew. `None` unless
    /// [`Options::resume`](crate::config::Options::resume) asks for it and the gateway keeps
    /// pushes.
    #[must_use]
    pub fn recovered(&self) -> Option<bool> {
        self.inner.login.as_ref()?.cursor()?.is_recovered()
    }

    /// Adds a servant for calls that the peer makes on this connection
    /// (bidirectional calls). On a connection that an adapter accepted it is
    /// added to the adapter.
    pub fn add_servant(&self, servant: impl Servant) {
        let servant: Arc<dyn Servant> = Arc::new(servant);
        self.inner.servants.add(&servant);
    }

    /// Calls `listener` when the connection goes up or down. It runs in the
    /// connection's task and must not block; spawn a task for long work.
    pub fn on_event(&self, listener: impl Fn(&Self, &ConnectionEvent) + Send + Sync + 'static) {
        self.inner.listeners.add(listener);
    }

    /// Whether messages leave by a message queue.
    pub(crate) fn is_queue(&self) -> bool {
        matches!(self.inner.channel, Channel::Queue(_))
    }

    /// Whether messages leave for a topic.
    pub(crate) fn is_topic(&self) -> bool {
        matches!(&self.inner.channel, Channel::Queue(queue) if queue.is_topic)
    }

    /// A connection to another queue at the broker of this one; `None` for a stream.
    #[doc(hidden)]
    #[must_use]
    pub fn to_queue(&self, queue: &str) -> Option<Self> {
        let Channel::Queue(channel) = &self.inner.channel else {
            return None;
        };
        let parts = ConnectionParts {
            peer: format!("mq:{queue}"),
            channel: Channel::Queue(QueueChannel {
                queue: Some(queue.into()),
                is_topic: false,
                ..channel.clone()
            }),
            calls: Arc::clone(&self.inner.calls),
            served: self.inner.served.clone(),
            servants: Arc::clone(&self.inner.servants),
            listeners: Arc::default(),
            handler: None,
            login: None,
            move_request: None,
        };
        Some(Self::new(&self.inner.settings, parts))
    }

    /// Waits until all calls made so far have left for the peer (over a queue:
    /// for the broker), or the connection is lost.
    pub async fn flush(&self) {
        self.inner.call_queue.emptied().await;
        self.inner.channel.drained().await;
    }

    /// Waits until the send buffer (`send_buffer` of the options) takes another
    /// message, or the connection ends.
    pub async fn capacity(&self) {
        self.inner.channel.capacity().await;
    }

    /// Closes the connection permanently, once what waits is sent, within 5 s.
    /// Calls in flight fail with CONNECTION_LOST.
    pub fn close(&self) {
        self.inner.status.set(Status::Closed);
    }

    /// Closes a connection that an adapter has accepted as a shutdown does, without a time
    /// limit: serves the calls that have arrived, refuses later ones with CONNECT_REJECT,
    /// and closes once nothing is in flight.
    #[doc(hidden)]
    pub fn drain(&self) {
        self.inner.status.end();
    }

    /// Why a message queue takes no calls now, if it does not; always `None` for a
    /// stream.
    #[doc(hidden)]
    #[must_use]
    pub fn unavailable(&self) -> Option<RpcError> {
        self.inner.channel.unavailable()
    }

    /// How many messages wait for the broker of a message queue; 0 over a
    /// stream.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.inner.channel.queued()
    }

    /// When the last WebSocket ping or pong has arrived on the current stream.
    #[doc(hidden)]
    #[must_use]
    pub fn heartbeat_received_at(&self) -> Option<Instant> {
        self.inner.control.lock().as_ref()?.received_at()
    }

    /// How many calls on this connection wait for their RETURN.
    #[must_use]
    pub fn calls_in_flight(&self) -> usize {
        self.inner.calls.waiting()
    }

    /// A reference that does not keep the connection open.
    #[must_use]
    pub fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.inner))
    }

    /// Reports an event to the handler and the listeners.
    pub(crate) fn notify(&self, event: &ConnectionEvent) {
        if let Some(handler) = &self.inner.handler {
            match event {
                ConnectionEvent::Connected => handler.connected(self),
                ConnectionEvent::Disconnected { reason } => handler.disconnected(self, reason),
                ConnectionEvent::Resumed { .. } => {}
            }
        }
        self.inner.listeners.notify(self, event);
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

/// A reference to a [`Connection`] that does not keep it open.
#[derive(Debug, Clone, Default)]
pub struct WeakConnection(Weak<Inner>);

impl WeakConnection {
    fn as_ptr(&self) -> *const Inner {
        self.0.as_ptr()
    }

    /// The connection, unless it was dropped.
    #[must_use]
    pub fn upgrade(&self) -> Option<Connection> {
        Some(Connection {
            inner: self.0.upgrade()?,
            close_on_drop: None,
        })
    }
}

/// A change of a connection's state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// The connection is up: for the first time, or again.
    Connected,
    /// The connection has ended; calls in flight have failed with
    /// CONNECTION_LOST.
    Disconnected {
        /// The cause, for logs.
        reason: String,
    },
    /// The gateway has accepted the login of a connection that asks to
    /// [resume](crate::config::Options::resume), and keeps its pushes.
    Resumed {
        /// As [`Connection::recovered`].
        recovered: bool,
    },
}

type EventListener = Arc<dyn Fn(&Connection, &ConnectionEvent) + Send + Sync>;

/// The listeners of a connection, or of all connections of an adapter.
#[derive(Default)]
pub(crate) struct EventListeners(RwLock<Vec<EventListener>>);

impl EventListeners {
    pub(crate) fn add(
        &self,
        listener: impl Fn(&Connection, &ConnectionEvent) + Send + Sync + 'static,
    ) {
        self.0.write().push(Arc::new(listener));
    }

    /// Calls all listeners. One that a listener adds is called from the next
    /// event on.
    fn notify(&self, connection: &Connection, event: &ConnectionEvent) {
        let listeners = self.0.read().clone();
        for listener in listeners {
            // A panic is reported by the panic hook; it must not end the
            // connection.
            let _ = catch_unwind(AssertUnwindSafe(|| listener(connection, event)));
        }
    }
}

impl fmt::Debug for EventListeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventListeners")
    }
}
