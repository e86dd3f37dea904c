//! The endpoints that clients connect to.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tce_runtime::{
    Adapter, Communicator, RpcError, WorkerPool,
    config::{Endpoint as EndpointAddress, LoadedTls, TlsConfig, TlsError},
    forwarding::{LogLimit, MessageHandler},
};

use crate::{
    config::ServiceEndpoint,
    metrics,
    routing::EndpointKey,
    session::{Session, SessionContext},
};

/// An endpoint that clients connect to.
pub(crate) struct ClientListener {
    pub(crate) endpoint: EndpointKey,
    communicator: Communicator,
    adapters: Vec<Adapter>,
}

impl ClientListener {
    /// Binds the addresses of an endpoint. Clients are accepted from
    /// [`ClientListener::start`] on. There is a context for each thread of the pool, or
    /// without one for the runtime that accepts.
    pub(crate) async fn bind(
        contexts: &[Arc<SessionContext>],
        pool: Option<&WorkerPool>,
        endpoint: &ServiceEndpoint,
    ) -> Result<Self, RpcError> {
        let context = &contexts[0];
        let (hosts, tls) = endpoint.kind.sockets().unwrap_or_default();
        let communicator =
            Communicator::with_options(context.properties.client_options(tls, &context.memory));
        let key = context.endpoint_keys.key(&endpoint.name);
        let mut adapters = Vec::new();
        for host in hosts {
            let address = endpoint.address(host).to_string();
            let adapter = Adapter::listen(&communicator, &address).await?;
            for servant in &context.servants {
                adapter.add_servant(Arc::clone(servant));
            }
            if let Some(pool) = pool {
                adapter.serve_on(pool);
            }
            let contexts = contexts.to_vec();
            adapter.handle_connections(move |peer, is_full, thread| {
                admit(&contexts[thread], key, peer, is_full)
            });
            adapters.push(adapter);
        }
        Ok(Self {
            endpoint: key,
            communicator,
            adapters,
        })
    }

    pub(crate) fn start(&self) {
        for adapter in &self.adapters {
            adapter.start();
            tracing::info!(endpoint = %adapter.endpoint(), "accepting clients");
        }
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = &EndpointAddress> {
        self.adapters.iter().map(Adapter::endpoint)
    }

    pub(crate) fn connections(&self) -> usize {
        self.adapters.iter().map(Adapter::connections).sum()
    }

    /// Reads the certificates, for connections that are accepted after
    /// [`LoadedTls::apply`]; `None` without TLS.
    pub(crate) fn load_tls(
        &self,
        files: Option<&TlsConfig>,
    ) -> Result<Option<LoadedTls>, TlsError> {
        let files = files.filter(|_| self.communicator.uses_tls());
        files
            .map(|files| self.communicator.load_tls(files))
            .transpose()
    }

    /// Stops accepting, and waits for calls in flight. Returns whether all ended
    /// within `timeout`.
    pub(crate) async fn shutdown(&self, timeout: Duration) -> bool {
        self.communicator.shutdown(timeout).await
    }
}

/// The session of a new connection, or the text that refuses it. At
/// `max_connections` the oldest connection that has sent no message yet is closed
/// for it.
fn admit(
    context: &Arc<SessionContext>,
    endpoint: EndpointKey,
    peer: SocketAddr,
    is_full: bool,
) -> Result<Arc<dyn MessageHandler>, &'static str> {
    let has_reached = context.registry.staying() >= context.properties.max_connections;
    if is_full || has_reached && !context.registry.close_oldest_silent() {
        count_refused(peer, "max_connections");
        return Err("the gateway has as many connections as it may have; try again later");
    }
    let Some(permit) = context.address_limit.acquire(peer.ip()) else {
        count_refused(peer, "max_connections_per_address");
        return Err("the gateway has as many connections of your address as it may have");
    };
    let name = context.endpoint_keys.name(endpoint).to_string();
    ::metrics::counter!(metrics::CONNECTIONS_TOTAL, "endpoint" => name).increment(1);
    Ok(Session::new(context, endpoint, peer, permit))
}

fn count_refused(peer: SocketAddr, reason: &'static str) {
    static LIMIT: LogLimit = LogLimit::new();
    ::metrics::counter!(metrics::ENDED, "reason" => reason).increment(1);
    if LIMIT.allows("refused connections") {
        tracing::warn!(%peer, reason, "refused a connection");
    }
}
