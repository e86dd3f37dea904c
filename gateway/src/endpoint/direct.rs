//! Servers that are reached by sockets, without a broker.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tce_runtime::{
    Communicator, Connection, NotPassed, Passing, Relay,
    wire::{Header, PatchedExtra},
};

use super::Arrivals;
use crate::{
    core::{Core, Phase},
    session::Via,
};

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

impl Direct {
    /// Begins to connect to all hosts, for as long as it takes.
    pub(crate) fn connect(
        core: &Arc<Core>,
        communicator: &Communicator,
        name: &str,
        endpoints: impl IntoIterator<Item = String>,
    ) -> Self {
        let slot = core.slots.of(name);
        let hosts = endpoints.into_iter().map(|endpoint| {
            let via = Via::new();
            let relay = Arc::new(Arrivals::new(core, slot, Some(via)));
            let host = Host {
                via,
                endpoint,
                connection: Arc::default(),
            };
            tokio::spawn(reach(
                Arc::clone(core),
                communicator.clone(),
                host.endpoint.clone(),
                relay,
                Arc::clone(&host.connection),
            ));
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

    /// Passes a CALL on to the session's host, or the next one that takes it.
    pub(super) fn pass(
        &self,
        session: u64,
        passing: &mut Passing<'_>,
        header: Header,
        extra: &PatchedExtra<'_>,
    ) -> Result<Via, NotPassed> {
        let count = self.hosts.len();
        let mut failure = NotPassed::Detached;
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
                Err(NotPassed::Detached) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// Connects to a server; once it has been there, its connection is made again
/// by itself.
async fn reach(
    core: Arc<Core>,
    communicator: Communicator,
    endpoint: String,
    relay: Arc<dyn Relay>,
    place: Arc<OnceLock<Connection>>,
) {
    let mut pause = PAUSE_MIN;
    loop {
        let failure = match communicator
            .connect_relayed(&endpoint, Arc::clone(&relay))
            .await
        {
            Ok(connection) => {
                for servant in &core.servants {
                    connection.add_servant(Arc::clone(servant));
                }
                // Nobody else sets it.
                let _ = place.set(connection);
                return;
            }
            Err(failure) => failure,
        };
        if pause == PAUSE_MIN {
            tracing::warn!(
                endpoint,
                "a server is not reached; it is tried again: {failure}"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = Arc::clone(&core).reached(Phase::Stopping) => return,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
