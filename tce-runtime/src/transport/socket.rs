//! Sockets: `tcp://` and `ssl://`; `ws://` and `wss://` use them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ServerConfig, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use super::ByteStream;
#[cfg(feature = "websocket")]
use super::websocket::{self, UpgradePolicy};
#[cfg(not(feature = "websocket"))]
use crate::config::WITHOUT_WEBSOCKET;
use crate::{
    config::{Endpoint, Scheme, SharedOptions},
    error::{ErrorCode, RpcError},
};

/// The interval of TCP keepalive probes to a peer that does not answer.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// Connects within the communicator's `connect_time`.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    settings: &SharedOptions,
) -> Result<ByteStream, RpcError> {
    let limit = settings.options.connection.connect_time;
    match tokio::time::timeout(limit, connect_stream(endpoint, settings)).await {
        Ok(connected) => connected,
        Err(_) => Err(RpcError::new(
            ErrorCode::ConnectFailed,
            format!("no connection within {limit:?}"),
        )),
    }
    .map_err(|error| error.at_peer(endpoint.to_string()))
}

async fn connect_stream(
    endpoint: &Endpoint,
    settings: &SharedOptions,
) -> Result<ByteStream, RpcError> {
    let addresses: Vec<_> = lookup_host((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(unreachable)?
        .collect();
    let socket = TcpStream::connect(addresses.as_slice())
        .await
        .map_err(connect_error)?;
    let peer = tune(&socket, settings.options.connection.keepalive_time).map_err(connect_error)?;
    match endpoint.scheme {
        Scheme::Tcp => Ok(plain(socket, peer)),
        Scheme::Ssl => {
            let socket = connect_tls(socket, endpoint, settings).await?;
            Ok(split(socket, peer))
        }
        #[cfg(feature = "websocket")]
        Scheme::Ws => websocket::connect(socket, peer, endpoint, &settings.options).await,
        #[cfg(feature = "websocket")]
        Scheme::Wss => {
            let socket = connect_tls(socket, endpoint, settings).await?;
            websocket::connect(socket, peer, endpoint, &settings.options).await
        }
        #[cfg(not(feature = "websocket"))]
        Scheme::Ws | Scheme::Wss => Err(RpcError::new(ErrorCode::ConnectFailed, WITHOUT_WEBSOCKET)),
        Scheme::Mq => {
            let text = "a message queue is not reached by a socket";
            Err(RpcError::new(ErrorCode::ConnectFailed, text))
        }
    }
}

async fn connect_tls(
    socket: TcpStream,
    endpoint: &Endpoint,
    settings: &SharedOptions,
) -> Result<TlsStream<TcpStream>, RpcError> {
    let failed = |text: String| RpcError::new(ErrorCode::ConnectFailed, text);
    let config = settings
        .client_tls()
        .map_err(|error| failed(error.to_string()))?;
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| {
        failed(format!(
            "`{}` is neither a DNS name nor an IP address, so that no certificate matches it",
            endpoint.host
        ))
    })?;
    TlsConnector::from(config)
        .connect(name, socket)
        .await
        .map_err(|error| failed(format!("TLS handshake: {error}")).caused_by(error))
}

fn unreachable(error: io::Error) -> RpcError {
    RpcError::new(ErrorCode::ConnectUnreachable, error.to_string()).caused_by(error)
}

fn connect_error(error: io::Error) -> RpcError {
    match error.kind() {
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => unreachable(error),
        _ => RpcError::new(ErrorCode::ConnectFailed, error.to_string()).caused_by(error),
    }
}

/// A listening socket of an adapter.
pub(crate) struct Listener {
    listener: TcpListener,
    options: AcceptOptions,
}

/// A socket that was accepted, before its handshakes.
pub(crate) struct Accepted {
    socket: TcpStream,
    address: SocketAddr,
    options: AcceptOptions,
}

/// What all sockets of a listener have in common.
#[derive(Clone)]
struct AcceptOptions {
    tls: Option<Arc<ServerConfig>>,
    protocol: Protocol,
    handshake_time: Duration,
    keepalive_time: Option<Duration>,
}

/// What an accepted socket carries, within TLS or without.
#[derive(Clone)]
enum Protocol {
    Plain,
    #[cfg(feature = "websocket")]
    WebSocket(Arc<UpgradePolicy>),
}

impl Protocol {
    /// Without the feature `websocket` no endpoint asks for it.
    #[cfg_attr(not(feature = "websocket"), allow(unused_variables))]
    fn of(endpoint: &Endpoint, settings: &SharedOptions) -> Self {
        #[cfg(feature = "websocket")]
        if endpoint.scheme.is_websocket() {
            return Self::WebSocket(Arc::new(UpgradePolicy::new(endpoint, &settings.options)));
        }
        Self::Plain
    }
}

impl Listener {
    pub(crate) async fn bind(
        endpoint: &Endpoint,
        settings: &SharedOptions,
    ) -> Result<Self, RpcError> {
        let failed = |text: String| {
            RpcError::new(ErrorCode::ConnectFailed, text).at_peer(endpoint.to_string())
        };
        let Endpoint { scheme, .. } = endpoint;
        let tls = scheme.is_tls().then(|| settings.server_tls());
        let tls = tls.transpose().map_err(|error| failed(error.to_string()))?;
        let listener = TcpListener::bind((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(|error| failed(format!("can't listen here: {error}")).caused_by(error))?;
        Ok(Self {
            listener,
            options: AcceptOptions {
                tls,
                protocol: Protocol::of(endpoint, settings),
                handshake_time: settings.options.connection.connect_time,
                keepalive_time: settings.options.connection.keepalive_time,
            },
        })
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        let (socket, address) = self.listener.accept().await?;
        Ok(Accepted {
            socket,
            address,
            options: self.options.clone(),
        })
    }
}

impl Accepted {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn handshake(self) -> io::Result<ByteStream> {
        let limit = self.options.handshake_time;
        tokio::time::timeout(limit, self.shake_hands())
            .await
            .map_err(|_| {
                let text = format!("the handshake was incomplete after {limit:?}");
                io::Error::new(io::ErrorKind::TimedOut, text)
            })?
    }

    async fn shake_hands(self) -> io::Result<ByteStream> {
        let AcceptOptions {
            tls,
            protocol,
            keepalive_time,
            ..
        } = self.options;
        let peer = tune(&self.socket, keepalive_time)?;
        let Some(tls) = tls else {
            return match protocol {
                Protocol::Plain => Ok(plain(self.socket, peer)),
                #[cfg(feature = "websocket")]
                Protocol::WebSocket(policy) => websocket::accept(self.socket, peer, &policy).await,
            };
        };
        let socket = TlsAcceptor::from(tls).accept(self.socket).await?;
        match protocol {
            Protocol::Plain => Ok(split(socket, peer)),
            #[cfg(feature = "websocket")]
            Protocol::WebSocket(policy) => websocket::accept(socket, peer, &policy).await,
        }
    }
}

fn tune(socket: &TcpStream, keepalive: Option<Duration>) -> io::Result<SocketAddr> {
    socket.set_nodelay(true)?;
    if let Some(time) = keepalive {
        let probes = TcpKeepalive::new()
            .with_time(time)
            .with_interval(PROBE_EVERY);
        SockRef::from(socket).set_tcp_keepalive(&probes)?;
    }
    socket.peer_addr()
}

fn plain(socket: TcpStream, peer: SocketAddr) -> ByteStream {
    let (source, sink) = socket.into_split();
    ByteStream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: peer.to_string(),
    }
}

fn split(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
) -> ByteStream {
    let (source, sink) = tokio::io::split(stream);
    ByteStream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: peer.to_string(),
    }
}
