//! Where clients come in.

use std::sync::Arc;

use tce_runtime::{
    Adapter, Communicator, MessageHandler, RpcError,
    config::{ConnectionLimits, Endpoint as Address, Options, Scheme, TlsConfig, WebSocketOptions},
    wire::Limits,
};

use crate::{
    config::{Endpoint, EndpointKind, HostPort, Properties},
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
        let communicator = Communicator::with_options(options(&core.properties, tls));
        let slot = core.slots.of(&endpoint.name);
        let mut adapters = Vec::new();
        for host in hosts {
            let address = address(endpoint, host).to_string();
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

/// How `endpoint` is spoken to at one of its hosts.
pub(crate) fn address(endpoint: &Endpoint, host: &HostPort) -> Address {
    let (scheme, path, compress) = match &endpoint.kind {
        EndpointKind::Socket {
            tls: None,
            compress,
            ..
        } => (Scheme::Tcp, "", *compress),
        EndpointKind::Socket { compress, .. } => (Scheme::Ssl, "", *compress),
        EndpointKind::WebSocket {
            tls: None, path, ..
        } => (Scheme::Ws, path.as_str(), false),
        EndpointKind::WebSocket { path, .. } => (Scheme::Wss, path.as_str(), false),
        EndpointKind::Mq(_) => (Scheme::Mq, "", false),
    };
    Address {
        scheme,
        host: host.host.clone(),
        port: host.port,
        path: path.to_owned(),
        compress,
    }
}

/// What holds for the way to servers. It carries the messages of all clients:
/// an answer that is too large for one costs its call, not the connection, and
/// one client's room is no measure for it.
pub(crate) fn back_options(properties: &Properties, tls: Option<&TlsConfig>) -> Options {
    let mut options = options(properties, tls);
    let usual = Options::default();
    let (limits, connection) = (&mut options.limits, &mut options.connection);
    limits.max_frame = limits.max_frame.max(usual.limits.max_frame);
    connection.send_buffer = connection.send_buffer.max(usual.connection.send_buffer);
    options
}

/// What holds for the connections of clients.
fn options(properties: &Properties, tls: Option<&TlsConfig>) -> Options {
    Options {
        timeout: properties.call_time,
        limits: Limits {
            max_frame: properties.max_frame,
            ..Limits::default()
        },
        connection: ConnectionLimits {
            send_buffer: properties.send_buffer,
            stall_time: properties.stall_time,
            connections: properties.max_connections,
            served_calls: properties.max_calls_in_flight,
            keepalive_time: properties.keepalive_time,
            ..ConnectionLimits::default()
        },
        tls: tls.cloned().unwrap_or_default(),
        websocket: WebSocketOptions {
            origins: properties.origins.0.clone(),
        },
        busy_poll_time: properties.busy_poll_time.0,
        ..Options::default()
    }
}
