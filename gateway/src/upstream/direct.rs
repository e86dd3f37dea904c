//! Servers that are reached by sockets, without a broker.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::select_all;
use tce_runtime::{
    Communicator, Connection, ForwardError, InboundMessage, MessageHandler, Servant,
    wire::{Header, PatchedExtra},
};
use tokio::sync::watch;

use super::Via;
use crate::phase::{Phase, reached};

/// The pauses between attempts to reach a server that has never been there.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The servers behind one endpoint.
pub(crate) struct Direct {
    name: String,
    hosts: Vec<Host>,
}

/// One of them.
pub(crate) struct Host {
    via: Via,
    /// `tcp://host:port`
    pub(crate) endpoint: String,
    /// Once it has been reached; from then on it is kept.
    connection: Arc<OnceLock<Connection>>,
}

impl Host {
    pub(crate) fn is_up(&self) -> bool {
        self.connection.get().is_some_and(Connection::is_connected)
    }
}

/// What the connections to servers are made with.
pub(crate) struct Making<'a> {
    pub(crate) communicator: &'a Communicator,
    /// Who answers what the servers call here.
    pub(crate) servants: &'a [Arc<dyn Servant>],
    /// Who decides about what comes from a server.
    pub(crate) relay: &'a dyn Fn(Via) -> Arc<dyn MessageHandler>,
    /// How far the gateway has come: at its end nobody is connected to any more.
    pub(crate) phase: watch::Receiver<Phase>,
}

impl Direct {
    /// Begins to connect to all hosts, for as long as it takes.
    pub(crate) fn connect(
        name: &str,
        endpoints: impl IntoIterator<Item = String>,
        making: &Making<'_>,
    ) -> Self {
        let hosts = endpoints.into_iter().map(|endpoint| {
            let host = Host {
                via: Via::new(),
                endpoint,
                connection: Arc::default(),
            };
            let reaching = Reaching {
                communicator: making.communicator.clone(),
                endpoint: host.endpoint.clone(),
                relay: (making.relay)(host.via),
                servants: making.servants.to_vec(),
                place: Arc::clone(&host.connection),
            };
            let stopping = reached(making.phase.clone(), Phase::Stopping);
            tokio::spawn(async move {
                tokio::select! {
                    () = reaching.reach() => {}
                    () = stopping => {}
                }
            });
            host
        });
        Self {
            name: name.to_owned(),
            hosts: hosts.collect(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Whether a server has gone.
    pub(super) fn has_lost(&self, via: Via) -> bool {
        let host = self.hosts.iter().find(|host| host.via == via);
        host.is_none_or(|host| !host.is_up())
    }

    /// The session's host.
    pub(super) fn first_via(&self, session: u64) -> Option<Via> {
        Some(self.hosts.get(self.first(session))?.via)
    }

    fn first(&self, session: u64) -> usize {
        usize::try_from(session).unwrap_or(0) % self.hosts.len().max(1)
    }

    /// Waits until one of the hosts that are there may have room, the session's
    /// first; where none is there, nothing is waited for.
    pub(super) async fn capacity(&self, session: u64) {
        let hosts = self.hosts.iter().cycle().skip(self.first(session));
        let there = hosts.take(self.hosts.len()).filter(|host| host.is_up());
        let rooms = there.filter_map(|host| Some(Box::pin(host.connection.get()?.capacity())));
        let rooms: Vec<_> = rooms.collect();
        if !rooms.is_empty() {
            select_all(rooms).await;
        }
    }

    /// Passes a CALL on to the session's host, or the next one that takes it.
    pub(super) fn pass(
        &self,
        session: u64,
        passing: &mut InboundMessage<'_>,
        header: Header,
        extra: &PatchedExtra<'_>,
    ) -> Result<Via, ForwardError> {
        let count = self.hosts.len();
        let mut failure = ForwardError::Disconnected;
        for host in self
            .hosts
            .iter()
            .cycle()
            .skip(self.first(session))
            .take(count)
        {
            let Some(connection) = host.connection.get() else {
                continue;
            };
            match passing.pass(connection, header, extra, None) {
                Ok(()) => return Ok(host.via),
                Err(ForwardError::Disconnected) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// A server that is connected to; once it has been there, its connection is
/// made again by itself.
struct Reaching {
    communicator: Communicator,
    endpoint: String,
    relay: Arc<dyn MessageHandler>,
    servants: Vec<Arc<dyn Servant>>,
    place: Arc<OnceLock<Connection>>,
}

impl Reaching {
    async fn reach(self) {
        let mut pause = PAUSE_MIN;
        loop {
            let relay = Arc::clone(&self.relay);
            let failure = match self
                .communicator
                .connect_with_handler(&self.endpoint, relay)
                .await
            {
                Ok(connection) => return self.keep(connection),
                Err(failure) => failure,
            };
            if pause == PAUSE_MIN {
                let endpoint = &self.endpoint;
                tracing::warn!(
                    endpoint,
                    "a server is not reached; it is tried again: {failure}"
                );
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn keep(self, connection: Connection) {
        for servant in self.servants {
            connection.add_servant(servant);
        }
        // Nobody else sets it.
        let _ = self.place.set(connection);
    }
}
