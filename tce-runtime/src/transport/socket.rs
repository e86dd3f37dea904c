//! Sockets: `tcp://` and `ssl://`; `ws://` and `wss://` use them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadHalf},
    net::{TcpListener, TcpStream, lookup_host, tcp::OwnedReadHalf},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

#[cfg(feature = "websocket")]
use super::websocket::{self, UpgradePolicy};
use super::{ByteStream, Source};
#[cfg(not(feature = "websocket"))]
use crate::config::WITHOUT_WEBSOCKET;
use crate::{
    config::{Endpoint, Scheme, SharedOptions, TlsError, server_name},
    error::{ErrorCode, RpcError},
    pacing::Paced,
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
    let unusable = |error: TlsError| failed(error.to_string()).caused_by(error);
    let config = settings.client_tls().map_err(unusable)?;
    let name = server_name(&endpoint.host).map_err(unusable)?;
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
    is_tls: bool,
    protocol: Protocol,
    settings: Arc<SharedOptions>,
}

/// A socket that was accepted, before its handshakes.
pub(crate) struct Accepted {
    socket: TcpStream,
    address: SocketAddr,
    options: AcceptOptions,
}

/// What an accepted socket gets from its listener.
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
        settings: &Arc<SharedOptions>,
    ) -> Result<Self, RpcError> {
        let failed = |text: String| {
            RpcError::new(ErrorCode::ConnectFailed, text).at_peer(endpoint.to_string())
        };
        let is_tls = endpoint.scheme.is_tls();
        if is_tls {
            let loaded = settings.server_tls();
            loaded.map_err(|error| failed(error.to_string()).caused_by(error))?;
        }
        let listener = TcpListener::bind((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(|error| failed(format!("can't listen here: {error}")).caused_by(error))?;
        Ok(Self {
            listener,
            is_tls,
            protocol: Protocol::of(endpoint, settings),
            settings: Arc::clone(settings),
        })
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        let (socket, address) = self.listener.accept().await?;
        // A renewed certificate holds from the next connection on.
        let tls = self.is_tls.then(|| self.settings.server_tls()).transpose();
        let limits = &self.settings.options.connection;
        Ok(Accepted {
            socket,
            address,
            options: AcceptOptions {
                tls: tls.map_err(io::Error::other)?,
                protocol: self.protocol.clone(),
                handshake_time: limits.connect_time,
                keepalive_time: limits.keepalive_time,
            },
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
        let socket = Paced::new(TlsAcceptor::from(tls).accept(self.socket)).await?;
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

impl Source for OwnedReadHalf {}

impl<S: AsyncRead + Send + Unpin> Source for ReadHalf<S> {}

fn plain(socket: TcpStream, peer: SocketAddr) -> ByteStream {
    let (source, sink) = socket.into_split();
    ByteStream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: peer.to_string(),
    }
}

fn split(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
) -> ByteStream {
    let (source, sink) = tokio::io::split(stream);
    ByteStream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: peer.to_string(),
    }
}
