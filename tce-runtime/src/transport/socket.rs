//! Sockets: `tcp://` and `ssl://`; `ws://` and `wss://` use them.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadHalf},
    net::{TcpListener, TcpStream, lookup_host, tcp::OwnedReadHalf},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

#[cfg(feature = "websocket")]
use super::websocket::{self, UpgradePolicy};
use super::{Admit, ByteStream, Source, proxy_header};
#[cfg(not(feature = "websocket"))]
use crate::config::WITHOUT_WEBSOCKET;
use crate::{
    advice::{ENDPOINT_KIND_ADVICE, SILENT_ADVICE, TLS_ADVICE},
    config::{ConnectionLimits, Endpoint, Scheme, SharedOptions, TlsError, server_name},
    error::{ErrorCode, RpcError},
    pacing::Paced,
};

/// The interval of TCP keepalive probes to a peer that does not answer.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// The number of probes that the peer may leave without an answer.
#[cfg(any(target_os = "linux", target_os = "macos", windows))]
const PROBES: u32 = 3;
/// How long an address may leave an attempt without an answer before the next one is
/// tried beside it (RFC 8305, section 8).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Connects within the communicator's `connect_time`.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    settings: &SharedOptions,
) -> Result<ByteStream, RpcError> {
    let limit = settings.options.connection.connect_time;
    match timeout(limit, connect_stream(endpoint, settings)).await {
        Ok(connected) => connected,
        Err(_) => Err(RpcError::new(
            ErrorCode::ConnectFailed,
            format!("no connection within {limit:?}"),
        )
        .advised(SILENT_ADVICE)),
    }
    .map_err(|error| error.at_peer(endpoint.to_string()))
}

async fn connect_stream(
    endpoint: &Endpoint,
    settings: &SharedOptions,
) -> Result<ByteStream, RpcError> {
    let found = lookup_host((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(unreachable)?;
    let mut addresses = alternating(found.collect());
    let mut left = settings.options.connection.connect_time;
    let mut failure = None;
    loop {
        let socket = match connect_any(&addresses).await {
            Ok(socket) => socket,
            Err(error) => return Err(failure.unwrap_or_else(|| connect_error(error))),
        };
        let peer = socket.peer_addr().map_err(connect_error)?;
        addresses.retain(|address| *address != peer);
        // A host that does not complete its handshakes leaves time for the others.
        if !addresses.is_empty() {
            left /= 2;
        }
        let error = match timeout(left, shake_hands(socket, peer, endpoint, settings)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => RpcError::new(
                ErrorCode::ConnectFailed,
                format!("{peer} did not complete the handshake within {left:?}"),
            )
            .advised(ENDPOINT_KIND_ADVICE),
        };
        failure.get_or_insert(error);
    }
}

/// Tries the addresses in order until one accepts. The next one is tried when the one
/// before has failed, or has not answered for [`NEXT_ADDRESS`].
async fn connect_any(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failure = None;
    let mut untried = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    loop {
        match untried.next() {
            Some(address) => attempts.push(connect_one(*address)),
            None if attempts.is_empty() => {
                let none = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
                return Err(failure.unwrap_or_else(none));
            }
            None => {}
        }
        tokio::select! {
            Some(connected) = attempts.next() => match connected {
                Ok(socket) => return Ok(socket),
                Err(error) => failure = Some(error),
            },
            () = sleep(NEXT_ADDRESS), if untried.len() > 0 => {}
        }
    }
}

async fn connect_one(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    not_to_itself(&socket)?;
    Ok(socket)
}

/// Refuses a socket that is connected to itself: where no process listens on a port of
/// the range for outgoing connections, the system may choose the same port for this end.
fn not_to_itself(socket: &TcpStream) -> io::Result<()> {
    if socket.local_addr()? == socket.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}

/// The addresses with their families in turn, beginning with the first address's:
/// one family may be unreachable as a whole (RFC 8305, section 4).
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_first_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == is_first_v6);
    let mut second = second.into_iter();
    let mut all = Vec::new();
    for address in first {
        all.push(address);
        all.extend(second.next());
    }
    all.extend(second);
    all
}

/// Performs the handshakes of an endpoint over a connected socket.
async fn shake_hands(
    socket: TcpStream,
    peer: SocketAddr,
    endpoint: &Endpoint,
    settings: &SharedOptions,
) -> Result<ByteStream, RpcError> {
    tune(&socket, &settings.options.connection).map_err(connect_error)?;
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
    let failed = |text: String| RpcError::new(ErrorCode::ConnectFailed, text).advised(TLS_ADVICE);
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

/// An accepted socket on its way to another runtime.
pub(crate) struct DetachedSocket {
    socket: std::net::TcpStream,
    address: SocketAddr,
    options: AcceptOptions,
}

/// What an accepted socket gets from its listener.
struct AcceptOptions {
    /// Whether a header of the PROXY protocol comes first.
    has_proxy_header: bool,
    tls: Option<Arc<ServerConfig>>,
    protocol: Protocol,
    limits: ConnectionLimits,
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
            loaded.map_err(|error| {
                failed(error.to_string())
                    .advised(TLS_ADVICE)
                    .caused_by(error)
            })?;
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
        Ok(Accepted {
            socket,
            address,
            options: AcceptOptions {
                has_proxy_header: self.settings.options.proxy.protocol,
                tls: tls.map_err(io::Error::other)?,
                protocol: self.protocol.clone(),
                limits: self.settings.options.connection,
            },
        })
    }
}

impl Accepted {
    /// The address of the peer, which may be a proxy.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the peer is the client, as far as this side is told to know.
    pub(crate) fn is_from_client(&self) -> bool {
        #[cfg(feature = "websocket")]
        if let Protocol::WebSocket(policy) = &self.options.protocol
            && policy.is_proxy(self.address.ip())
        {
            return false;
        }
        !self.options.has_proxy_header
    }

    /// Takes the socket from the runtime that has accepted it.
    pub(crate) fn detach(self) -> io::Result<DetachedSocket> {
        Ok(DetachedSocket {
            socket: self.socket.into_std()?,
            address: self.address,
            options: self.options,
        })
    }

    /// Performs the handshakes; `admit` decides as soon as the client's address is known.
    /// A refusal answers a WebSocket handshake, which then fails; otherwise it is returned
    /// beside the stream.
    pub(crate) async fn handshake<T>(
        self,
        admit: Admit<T>,
    ) -> io::Result<(ByteStream, Result<T, &'static str>)> {
        let limit = self.options.limits.connect_time;
        let shaking = self.shake_hands(admit);
        timeout(limit, shaking).await.map_err(|_| {
            let text = format!("the handshake was incomplete after {limit:?}");
            io::Error::new(io::ErrorKind::TimedOut, text)
        })?
    }

    async fn shake_hands<T>(
        mut self,
        admit: Admit<T>,
    ) -> io::Result<(ByteStream, Result<T, &'static str>)> {
        let AcceptOptions {
            has_proxy_header,
            tls,
            protocol,
            limits,
        } = self.options;
        tune(&self.socket, &limits)?;
        let mut client = self.address;
        if has_proxy_header && let Some(named) = proxy_header::read(&mut self.socket).await? {
            client = named;
        }
        let Some(tls) = tls else {
            return match protocol {
                Protocol::Plain => Ok((plain(self.socket, client), admit(client))),
                #[cfg(feature = "websocket")]
                Protocol::WebSocket(policy) => {
                    websocket::accept(self.socket, client, &policy, admit).await
                }
            };
        };
        let socket = Paced::new(TlsAcceptor::from(tls).accept(self.socket)).await?;
        match protocol {
            Protocol::Plain => Ok((split(socket, client), admit(client))),
            #[cfg(feature = "websocket")]
            Protocol::WebSocket(policy) => websocket::accept(socket, client, &policy, admit).await,
        }
    }
}

impl DetachedSocket {
    /// Gives the socket to the runtime that this runs in.
    pub(crate) fn attach(self) -> io::Result<Accepted> {
        Ok(Accepted {
            socket: TcpStream::from_std(self.socket)?,
            address: self.address,
            options: self.options,
        })
    }
}

/// Sets the options of a socket.
fn tune(socket: &TcpStream, limits: &ConnectionLimits) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let Some(time) = limits.keepalive_time else {
        return Ok(());
    };
    let time = probe_after(time);
    let probes = TcpKeepalive::new()
        .with_time(time)
        .with_interval(PROBE_EVERY);
    #[cfg(any(target_os = "linux", target_os = "macos", windows))]
    let probes = probes.with_retries(PROBES);
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(&probes)?;
    // TCP does not probe a peer that owes an acknowledgement. Without this a peer that
    // has vanished would be found after a quarter of an hour. A peer that accepts no
    // bytes is ended by `stall_time` before.
    #[cfg(target_os = "linux")]
    if let Some(limit) = unacknowledged_for(time + PROBE_EVERY * PROBES, limits.stall_time) {
        socket.set_tcp_user_timeout(Some(limit))?;
    }
    Ok(())
}

/// The idle time before the first probe as systems accept it: Linux takes whole seconds
/// from 1 to 32,767.
fn probe_after(time: Duration) -> Duration {
    let seconds = time
        .as_secs()
        .saturating_add(u64::from(time.subsec_nanos() > 0));
    Duration::from_secs(seconds.clamp(1, 32_767))
}

/// How long bytes may wait for their acknowledgement; `None` for ever.
#[cfg(target_os = "linux")]
fn unacknowledged_for(probes: Duration, stall_time: Duration) -> Option<Duration> {
    let limit = probes.max(stall_time);
    // The system takes an int of milliseconds.
    i32::try_from(limit.as_millis()).is_ok().then_some(limit)
}

impl Source for OwnedReadHalf {}

impl<S: AsyncRead + Send + Unpin> Source for ReadHalf<S> {}

fn plain(socket: TcpStream, peer: SocketAddr) -> ByteStream {
    let (source, sink) = socket.into_split();
    ByteStream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: peer.to_string(),
        control: None,
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
        control: None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use socket2::Socket;

    use super::*;

    /// A listener whose backlog is full, so that the system drops what would connect
    /// to it, and what has filled it.
    fn black_hole() -> (Socket, Vec<Socket>, SocketAddr) {
        let new = || Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let listener = new();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let fillers: Vec<_> = (0..4)
            .map(|_| {
                let socket = new();
                socket.set_nonblocking(true).unwrap();
                let _ = socket.connect(&address.into());
                socket
            })
            .collect();
        (listener, fillers, address)
    }

    async fn listening() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_delays_the_next_one_briefly() {
        let (_listener, _fillers, silent) = black_hole();
        let (_other, _more, silent_too) = black_hole();
        let (_good, address) = listening().await;
        let start = Instant::now();
        let socket = connect_any(&[silent, silent_too, address]).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), address);
        let took = start.elapsed();
        assert!(
            took >= NEXT_ADDRESS * 2 && took < Duration::from_secs(2),
            "{took:?}"
        );
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_delay_the_next_one() {
        let (closed, refusing) = listening().await;
        drop(closed);
        let (_good, address) = listening().await;
        let start = Instant::now();
        let socket = connect_any(&[refusing, address]).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), address);
        assert!(start.elapsed() < NEXT_ADDRESS);
        let error = connect_any(&[refusing, refusing]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect_any(&[]).await.is_err());
    }

    #[test]
    fn the_families_of_addresses_alternate() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (a, b, c) = (address("[::1]:1"), address("[::2]:1"), address("[::3]:1"));
        let (d, e) = (address("1.1.1.1:1"), address("2.2.2.2:1"));
        assert_eq!(alternating(vec![a, b, c, d]), [a, d, b, c]);
        assert_eq!(alternating(vec![d, e, a]), [d, a, e]);
        assert_eq!(alternating(Vec::new()), []);
    }

    /// Without a listener, the system may connect a socket to itself.
    #[tokio::test]
    async fn a_socket_that_is_connected_to_itself_counts_as_refused() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = socket.local_addr().unwrap();
        let socket = socket.connect(address).await.unwrap();
        let error = not_to_itself(&socket).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn keepalive_times_are_rounded_to_what_systems_accept() {
        let seconds = Duration::from_secs;
        for (set, used) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(500), 1),
            (seconds(1), 1),
            (Duration::from_millis(1001), 2),
            (seconds(32_767), 32_767),
            (seconds(32_768), 32_767),
            (seconds(86_400), 32_767),
            (Duration::MAX, 32_767),
        ] {
            assert_eq!(probe_after(set), seconds(used), "{set:?}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_vanished_peer_is_found_although_bytes_wait_for_it() {
        let (_listener, address) = listening().await;
        let socket = TcpStream::connect(address).await.unwrap();
        let mut limits = ConnectionLimits::default();
        tune(&socket, &limits).unwrap();
        let limit = |socket: &TcpStream| SockRef::from(socket).tcp_user_timeout().unwrap();
        assert_eq!(limit(&socket), Some(Duration::from_secs(90)));
        limits.stall_time = Duration::from_secs(600);
        tune(&socket, &limits).unwrap();
        assert_eq!(limit(&socket), Some(Duration::from_secs(600)));
        let socket = TcpStream::connect(address).await.unwrap();
        limits.stall_time = Duration::MAX;
        tune(&socket, &limits).unwrap();
        assert_eq!(limit(&socket), None);
    }
}
