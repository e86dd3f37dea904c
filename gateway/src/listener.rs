//! The endpoints that clients connect to.

use std::{
    error::Error as _,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tce_runtime::{
    Adapter, Communicator, RpcError, WorkerPool,
    config::{Endpoint as EndpointAddress, LoadedTls, Options, TlsConfig, TlsError},
    forwarding::{LogLimit, MessageHandler},
};
use tokio::net::lookup_host;

use crate::{
    config::ServiceEndpoint,
    metrics::{self, GATEWAY},
    routing::EndpointKey,
    session::{EndpointServant, Session, SessionContext},
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
        let communicator = Communicator::with_options(Options {
            proxy: endpoint.kind.proxy().cloned().unwrap_or_default(),
            ..context.properties.client_options(tls, &context.memory)
        });
        let key = context.endpoint_keys.key(&endpoint.name);
        // One for all addresses: they share its answer.
        let description = EndpointServant::new(context, key);
        let mut adapters = Vec::new();
        for host in hosts {
            for adapter in listen(&communicator, endpoint.address(host)).await? {
                adapter.add_servant(description.clone());
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

    /// Closes the ports. Connections that are open work on.
    pub(crate) fn stop_accepting(&self) {
        self.adapters.iter().for_each(Adapter::stop_accepting);
    }

    /// Stops accepting, and waits for calls in flight. Returns whether all ended
    /// within `timeout`.
    pub(crate) async fn shutdown(&self, timeout: Duration) -> bool {
        self.communicator.shutdown(timeout).await
    }
}

/// Listens on all addresses of a host. With port 0 they have one port in common.
async fn listen(
    communicator: &Communicator,
    endpoint: EndpointAddress,
) -> Result<Vec<Adapter>, RpcError> {
    let found = lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    let mut addresses: Vec<IpAddr> = Vec::new();
    // A host that can't be resolved fails below, with its name.
    for address in found.into_iter().flatten() {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    if addresses.len() < 2 {
        let adapter = Adapter::listen(communicator, &endpoint.to_string()).await?;
        return Ok(vec![adapter]);
    }
    listen_at(communicator, endpoint, addresses).await
}

/// Listens on those of the addresses that this machine has, at least one.
async fn listen_at(
    communicator: &Communicator,
    endpoint: EndpointAddress,
    addresses: Vec<IpAddr>,
) -> Result<Vec<Adapter>, RpcError> {
    let mut adapters = Vec::new();
    let mut failure = None;
    let mut at = endpoint;
    for address in addresses {
        at.host = address.to_string();
        match Adapter::listen(communicator, &at.to_string()).await {
            Ok(adapter) => {
                at.port = adapter.endpoint().port;
                adapters.push(adapter);
            }
            Err(error) if is_elsewhere(&error) => {
                tracing::warn!("an address of the host is not one of this machine: {error}");
                failure = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match failure {
        Some(error) if adapters.is_empty() => Err(error),
        _ => Ok(adapters),
    }
}

/// Whether an address is not one of this machine, as `::1` in a container without IPv6.
fn is_elsewhere(error: &RpcError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    cause.is_some_and(|cause: &io::Error| {
        matches!(
            cause.kind(),
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
        )
    })
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
        count_refused(context, peer, "max_connections");
        return Err("the gateway has as many connections as it may have; try again later");
    }
    let Some(permit) = context.address_limit.acquire(peer.ip()) else {
        count_refused(context, peer, "max_connections_per_address");
        return Err("the gateway has as many connections of your address as it may have");
    };
    let name = context.endpoint_keys.name(endpoint).to_string();
    let gateway = Arc::clone(&context.name);
    ::metrics::counter!(metrics::CONNECTIONS_TOTAL, GATEWAY => gateway, "endpoint" => name)
        .increment(1);
    Ok(Session::new(context, endpoint, peer, permit))
}

fn count_refused(context: &SessionContext, peer: SocketAddr, reason: &'static str) {
    static LIMIT: LogLimit = LogLimit::new();
    let gateway = Arc::clone(&context.name);
    ::metrics::counter!(metrics::ENDED, GATEWAY => gateway, "reason" => reason).increment(1);
    if LIMIT.allows("refused connections") {
        tracing::warn!(%peer, reason, "refused a connection");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Listens on the addresses of a name; returns the endpoints.
    async fn listening(addresses: &[&str]) -> Result<Vec<String>, RpcError> {
        let communicator = Communicator::new();
        let endpoint = "tcp://gateways:0".parse().unwrap();
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        let adapters = listen_at(&communicator, endpoint, addresses.collect()).await?;
        let endpoints = adapters.iter().map(Adapter::endpoint);
        Ok(endpoints.map(ToString::to_string).collect())
    }

    #[tokio::test]
    async fn all_addresses_of_a_name_are_listened_on_at_one_port() {
        let endpoints = listening(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]).await;
        let endpoints = endpoints.unwrap();
        let (_, port) = endpoints[0].rsplit_once(':').unwrap();
        let expected = [1, 2, 3].map(|last| format!("tcp://127.0.0.{last}:{port}"));
        assert_eq!(endpoints, expected);
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_skipped() {
        let endpoints = listening(&["198.51.100.1", "127.0.0.1"]).await.unwrap();
        assert_eq!(endpoints.len(), 1);
        assert!(endpoints[0].starts_with("tcp://127.0.0.1:"));
        assert!(listening(&["198.51.100.1", "198.51.100.2"]).await.is_err());
    }

    #[tokio::test]
    async fn an_address_that_is_in_use_fails() {
        let taken = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let communicator = Communicator::new();
        let endpoint = format!("tcp://gateways:{port}").parse().unwrap();
        let addresses = ["127.0.0.1", "127.0.0.2"].map(|address| address.parse().unwrap());
        let listening = listen_at(&communicator, endpoint, addresses.into());
        assert!(listening.await.is_err());
    }
}
