//! The side away from the clients: queues, and sockets of servers.

mod crowd;
mod direct;
pub(crate) mod queue;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tce_runtime::{
    Connection, ForwardError, InboundMessage,
    wire::{Header, PatchedExtra},
};

use crowd::Crowd;
pub(crate) use crowd::Place;
pub(crate) use direct::{Direct, Making};

/// A server by which calls leave, where it is reached directly: a number that
/// no other has, nor the same one after it was loaded anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Via(u64);

impl Via {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What becomes of a call to a server that has gone.
pub(crate) const SERVER_GONE: &str =
    "the server's connection to the gateway ended before it answered";

/// What calls are passed on to.
pub(crate) struct Backend {
    pub(crate) kind: Kind,
    crowd: Crowd,
}

/// How it is reached.
pub(crate) enum Kind {
    Queue(Queue),
    Direct(Direct),
}

/// A queue or topic at a broker.
pub(crate) struct Queue {
    pub(crate) name: String,
    /// `amqp://host:port`
    pub(crate) address: String,
    pub(crate) connection: Connection,
}

impl Backend {
    pub(crate) fn new(kind: Kind) -> Arc<Self> {
        Arc::new(Self {
            kind,
            crowd: Crowd::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        match &self.kind {
            Kind::Queue(queue) => &queue.name,
            Kind::Direct(direct) => direct.name(),
        }
    }

    /// Whether the broker, or one of the servers, is there.
    pub(crate) fn is_up(&self) -> bool {
        match &self.kind {
            Kind::Queue(queue) => queue.connection.is_connected(),
            Kind::Direct(direct) => direct.hosts().iter().any(direct::Host::is_up),
        }
    }

    /// Whether the server by which a call went has gone. Of a queue nobody
    /// knows: its server may come again.
    pub(crate) fn has_lost(&self, via: Via) -> bool {
        match &self.kind {
            Kind::Queue(_) => false,
            Kind::Direct(direct) => direct.has_lost(via),
        }
    }

    /// The server that calls of a session go to while it is there; of a queue
    /// nobody knows.
    pub(crate) fn first_via(&self, session: u64) -> Option<Via> {
        match &self.kind {
            Kind::Queue(_) => None,
            Kind::Direct(direct) => direct.first_via(session),
        }
    }

    /// How many messages wait: for the broker, or for room.
    pub(crate) fn queued(&self) -> usize {
        let for_the_broker = match &self.kind {
            Kind::Queue(queue) => queue.connection.queued(),
            Kind::Direct(_) => 0,
        };
        for_the_broker + self.crowd.size()
    }

    /// Whether messages wait for room here: whatever comes now is behind them.
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowd.size() > 0
    }

    /// A place among those that wait for room.
    pub(crate) fn queue_up(self: &Arc<Self>) -> Place {
        Place::of(Arc::clone(self))
    }

    /// Waits until a message of a session may find room.
    async fn capacity(&self, session: u64) {
        match &self.kind {
            Kind::Queue(queue) => queue.connection.capacity().await,
            Kind::Direct(direct) => direct.capacity(session).await,
        }
    }

    /// Passes a CALL on, and says by which server, where that is known. Calls of one session keep to
    /// one host while it is there, so that they stay in order.
    pub(crate) fn pass(
        &self,
        session: u64,
        passing: &mut InboundMessage<'_>,
        header: Header,
        extra: &PatchedExtra<'_>,
        expires_in: Duration,
    ) -> Result<Option<Via>, ForwardError> {
        let via = match &self.kind {
            Kind::Queue(queue) => {
                passing.pass(&queue.connection, header, extra, Some(expires_in))?;
                None
            }
            Kind::Direct(direct) => Some(direct.pass(session, passing, header, extra)?),
        };
        self.crowd.moves();
        Ok(via)
    }
}
