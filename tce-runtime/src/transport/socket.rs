//! `tcp://` and `ssl://`.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ServerConfig, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Stream;
use crate::{
    config::{Endpoint, Scheme, Settings},
    error::{ErrorCode, RpcError},
};

/// A peer that has vanished without a word is noticed after about this long,
/// and three times [`PROBE_EVERY`].
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// Connects within the communicator's `connect_time`.
pub(crate) async fn connect(endpoint: &Endpoint, settings: &Settings) -> Result<Stream, RpcError> {
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

async fn connect_stream(endpoint: &Endpoint, settings: &Settings) -> Result<Stream, RpcError> {
    let addresses: Vec<_> = lookup_host((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(unreachable)?
        .collect();
    let socket = TcpStream::connect(addresses.as_slice())
        .await
        .map_err(connect_error)?;
    let peer = tune(&socket).map_err(connect_error)?;
    match endpoint.scheme {
        Scheme::Tcp => Ok(plain(socket, peer)),
        Scheme::Ssl => {
            let failed = |text: String| RpcError::new(ErrorCode::ConnectFailed, text);
            let config = settings
                .client_tls()
                .map_err(|error| failed(error.to_string()))?;
            let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| {
                failed(format!(
                    "`{}` is no name that a certificate can bear",
                    endpoint.host
                ))
            })?;
            let stream = TlsConnector::from(config)
                .connect(name, socket)
                .await
                .map_err(|error| failed(format!("TLS handshake: {error}")).caused_by(error))?;
            Ok(split(stream, peer))
        }
    }
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
    tls: Option<Arc<ServerConfig>>,
    handshake_time: Duration,
}

/// A socket that was accepted and has not shaken hands yet.
pub(crate) struct Accepted {
    socket: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    handshake_time: Duration,
}

impl Listener {
    pub(crate) async fn bind(endpoint: &Endpoint, settings: &Settings) -> Result<Self, RpcError> {
        let failed = |text: String| {
            RpcError::new(ErrorCode::ConnectFailed, text).at_peer(endpoint.to_string())
        };
        let tls = match endpoint.scheme {
            Scheme::Tcp => None,
            Scheme::Ssl => Some(
                settings
                    .server_tls()
                    .map_err(|error| failed(error.to_string()))?,
            ),
        };
        let listener = TcpListener::bind((endpoint.host.as_str(), endpoint.port))
            .await
            .map_err(|error| failed(format!("can't listen here: {error}")).caused_by(error))?;
        Ok(Self {
            listener,
            tls,
            handshake_time: settings.options.connection.connect_time,
        })
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        let (socket, _) = self.listener.accept().await?;
        Ok(Accepted {
            socket,
            tls: self.tls.clone(),
            handshake_time: self.handshake_time,
        })
    }
}

impl Accepted {
    pub(crate) async fn handshake(self) -> io::Result<Stream> {
        let peer = tune(&self.socket)?;
        let Some(tls) = self.tls else {
            return Ok(plain(self.socket, peer));
        };
        let handshake = TlsAcceptor::from(tls).accept(self.socket);
        let stream = tokio::time::timeout(self.handshake_time, handshake)
            .await
            .map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")
            })??;
        Ok(split(stream, peer))
    }
}

fn tune(socket: &TcpStream) -> io::Result<SocketAddr> {
    socket.set_nodelay(true)?;
    SockRef::from(socket).set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(PROBE_AFTER)
            .with_interval(PROBE_EVERY),
    )?;
    socket.peer_addr()
}

fn plain(socket: TcpStream, peer: SocketAddr) -> Stream {
    let (source, sink) = socket.into_split();
    Stream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: peer.to_string(),
    }
}

fn split(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    peer: SocketAddr,
) -> Stream {
    let (source, sink) = tokio::io::split(stream);
    Stream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: peer.to_string(),
    }
}
