//! Where clients come in.

use std::sync::Arc;

use tce_runtime::{Adapter, Communicator, MessageHandler, RpcError, config::Endpoint as Address};

use crate::{
    config::Endpoint,
    metrics as metric,
    session::{Clients, Session},
    slots::Slot,
};

/// An endpoint that clients connect to.
pub(crate) struct Listening {
    pub(crate) slot: Slot,
    communicator: Communicator,
    adapters: Vec<Adapter>,
}

impl Listening {
    /// Takes the addresses of an endpoint; nobody is served before
    /// [`Listening::start`].
    pub(crate) async fn bind(
        clients: &Arc<Clients>,
        endpoint: &Endpoint,
    ) -> Result<Self, RpcError> {
        let core = &clients.core;
        let (hosts, tls) = endpoint.kind.sockets().unwrap_or_default();
        let communicator = Communicator::with_options(core.properties.client_options(tls));
        let slot = core.slots.of(&endpoint.name);
        let mut adapters = Vec::new();
        for host in hosts {
            let address = endpoint.address(host).to_string();
            let adapter = Adapter::listen(&communicator, &address).await?;
            for servant in &core.servants {
                adapter.add_servant(Arc::clone(servant));
            }
            let clients = Arc::clone(clients);
            adapter.handle_connections(move |peer| admit(&clients, slot, peer));
            adapters.push(adapter);
        }
        Ok(Self {
            slot,
            communicator,
            adapters,
        })
    }

    pub(crate) fn start(&self) {
        for adapter in &self.adapters {
            adapter.start();
            tracing::info!(endpoint = %adapter.endpoint(), "serves clients");
        }
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.adapters.iter().map(Adapter::endpoint)
    }

    pub(crate) fn connections(&self) -> usize {
        self.adapters.iter().map(Adapter::connections).sum()
    }

    /// Accepts nobody any more, and lets calls end.
    pub(crate) async fn shutdown(&self, timeout: std::time::Duration) -> bool {
        self.communicator.shutdown(timeout).await
    }
}

/// The relay of a connection that comes from `peer`, where it is let in.
fn admit(
    clients: &Arc<Clients>,
    slot: Slot,
    peer: std::net::SocketAddr,
) -> Option<Arc<dyn MessageHandler>> {
    let refused = |reason: &'static str| {
        metrics::counter!(metric::ENDED, "reason" => reason).increment(1);
        tracing::info!(%peer, reason, "a connection is not let in");
    };
    let core = &clients.core;
    if clients.connections() >= core.properties.max_connections {
        refused("max_connections");
        return None;
    }
    let Some(place) = core.places.take(peer.ip()) else {
        refused("max_connections_per_address");
        return None;
    };
    metrics::counter!(metric::CONNECTIONS_TOTAL, "endpoint" => core.slots.name(slot).to_string())
        .increment(1);
    let session: Arc<dyn MessageHandler> = Session::new(clients, slot, peer, place);
    Some(session)
}
