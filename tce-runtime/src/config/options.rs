//! The options of a communicator and all its connections.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::Semaphore;

use super::{
    networks::Networks,
    tls::{TlsConfig, TlsError},
    token::TokenProvider,
};
use crate::{
    interceptor::{ClientInterceptors, ServerInterceptors},
    memory::MemoryBudget,
    wire::Limits,
};

/// The limits of one connection; those of a message are [`Limits`]. A number of 0 counts
/// as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The time limit to connect, the handshakes of TLS and WebSocket included.
    /// Default: 5 s.
    pub connect_time: Duration,
    /// The time limit to receive a frame, from its first byte to its last.
    /// Default: 30 s.
    pub frame_time: Duration,
    /// How long bytes wait for a peer that does not read before the connection
    /// is closed. Default: 30 s.
    pub stall_time: Duration,
    /// The idle time after which the operating system probes the peer (TCP
    /// keepalive), rounded up to whole seconds, at most 32,767 s. The connection is
    /// lost if the peer does not answer for about 30 s more, on Linux also where it
    /// does not acknowledge bytes. Default: 60 s; `None` switches it off.
    pub keepalive_time: Option<Duration>,
    /// The longest time without an outgoing byte on a WebSocket, after which a ping
    /// is sent: proxies end connections that are silent, often after 60 s or 30 s.
    /// Other streams carry no pings, since existing peers know none; TCP keepalive
    /// keeps them alive. Default: 25 s; `None` switches it off.
    pub ping_interval: Option<Duration>,
    /// The most bytes that wait to be sent. Beyond it callers wait, and calls of a
    /// peer whose RETURNs wait are not served. Default: 1 MiB.
    pub send_buffer: usize,
    /// The most calls of a peer that are served at once. Each call of this side that
    /// is outstanding on the connection raises it by one, up to 4,096: a servant that
    /// calls back and waits does not count. Further calls wait, up to `send_buffer`
    /// bytes; beyond that reading from the peer pauses, or, while calls of this side are
    /// outstanding, they are refused with CONNECT_REJECT. Default: 2,048.
    pub served_calls: usize,
    /// The most calls of this program that are in flight at once on the
    /// connection. Beyond it callers wait. Default: 65,536.
    pub calls_in_flight: usize,
    /// The most connections that an adapter has at once. Further ones are
    /// refused: the first call of the peer fails with CONNECT_REJECT, and a
    /// WebSocket handshake is answered with status 503. Default: 16,384.
    pub connections: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connect_time: Duration::from_secs(5),
            frame_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(30),
            keepalive_time: Some(Duration::from_secs(60)),
            ping_interval: Some(Duration::from_secs(25)),
            send_buffer: 1 << 20,
            served_calls: 2048,
            calls_in_flight: 1 << 16,
            connections: 1 << 14,
        }
    }
}

/// Options of adapters on `ws://` and `wss://`.
///
/// ```
/// use tce_runtime::config::{Options, WebSocketOptions};
///
/// let options = Options {
///     websocket: WebSocketOptions {
///         origins: vec!["https://chat.example.org".to_owned()],
///     },
///     ..Options::default()
/// };
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebSocketOptions {
    /// The sites whose pages may connect: scheme, host, and the port unless it is
    /// the scheme's default (`https://chat.example.org`). A host may be in Unicode
    /// or in Punycode. `null` is for pages without a site. Default: empty, which
    /// accepts every page.
    ///
    /// Set it wherever a visitor's network or cookies give access: a page of any
    /// other site connects with both. Connections without `Origin` are always
    /// accepted, since clients other than browsers send none and could forge it.
    pub origins: Vec<String>,
}

/// How adapters behind a proxy or a balancer learn the addresses of their clients.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyOptions {
    /// Whether each connection begins with a header of the PROXY protocol, version 1 or 2.
    /// One that does not is closed. Whoever can connect to the port can name any address:
    /// let only the balancer reach it. Default: false.
    pub protocol: bool,
    /// The proxies whose `X-Forwarded-For` counts in WebSocket handshakes: the client is
    /// the last address in it that is not in these networks. Default: empty, which ignores
    /// the header.
    pub forwarded_for: Networks,
}

/// How long a twoway call waits for its RETURN by default.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The options of a communicator.
///
/// ```
/// use std::time::Duration;
/// use tce_runtime::{Communicator, config::Options};
///
/// let communicator = Communicator::with_options(Options {
///     timeout: Duration::from_secs(5),
///     token: Some("A1001".to_owned()),
///     ..Options::default()
/// });
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a twoway call waits for its RETURN, unless its proxy sets
    /// another timeout. Default: 30 s.
    pub timeout: Duration,
    /// How long after its deadline (`__deadline__`, by this machine's clock) an
    /// incoming call is still executed: the most by which the clocks of caller and
    /// servant may differ without harm. Default: 1 s.
    pub deadline_tolerance: Duration,
    /// Whether the future of a servant is dropped when the caller no longer waits, where the
    /// transport says so: a message queue whose messages expire. Default: false, a call that has
    /// begun runs to its end.
    pub cancel_expired: bool,
    /// The limits of received messages.
    pub limits: Limits,
    /// The memory that all connections together hold for their peers.
    /// Default: 1 GiB for each communicator.
    pub memory: MemoryBudget,
    /// The limits of each connection.
    pub connection: ConnectionLimits,
    /// The credential of a login (`__token__`), sent before the first call of each
    /// connection and of each reconnect. Where the program makes no call, the connection
    /// logs in by itself: 1 s after it was made, and at once after a reconnect.
    /// Default: none.
    pub token: Option<String>,
    /// Gives the token of each connection and each reconnect, in place of `token`, and
    /// that of a login which would expire. Default: none.
    pub token_provider: Option<TokenProvider>,
    /// The device id sent with the token (`__device_id__`). Default: none.
    pub device_id: Option<String>,
    /// Whether a gateway is asked to keep the pushes of the user while the connection is
    /// lost. Each reconnect then gets what was missed, each push is handled once, and
    /// [`Connection::recovered`](crate::Connection::recovered) and
    /// [`ConnectionEvent::Resumed`](crate::ConnectionEvent::Resumed) tell whether nothing is
    /// missing. Needs a token, and a gateway with `resume_time`. Default: false.
    pub resume: bool,
    /// Certificates and keys for `ssl://` and `wss://`.
    pub tls: TlsConfig,
    /// Whether adapters answer which interfaces they serve, by the built-in
    /// interface 65535. Default: true.
    pub describes: bool,
    /// Which pages may connect to adapters on `ws://` and `wss://`.
    pub websocket: WebSocketOptions,
    /// Which proxies are before the adapters.
    pub proxy: ProxyOptions,
    /// The longest time for which a thread with connections over sockets or
    /// WebSocket polls for the next message before it sleeps, while messages
    /// arrive within about that time ([`BusyPoll`](crate::BusyPoll)).
    /// A thread that calls by queues polls four times as long.
    /// Default: 50 µs; with `None` the connections of this communicator do not
    /// poll. Threads of a runtime of several threads never poll.
    pub busy_poll_time: Option<Duration>,
    /// Whether each message to a broker names the user who has logged in there. The broker
    /// refuses another name, so that servants can rely on
    /// [`Context::broker_user`](crate::Context::broker_user). Default: false.
    pub names_broker_user: bool,
    /// What runs around the calls of all proxies. Default: none.
    pub client_interceptors: ClientInterceptors,
    /// What runs around the calls that arrive at all adapters and connections.
    /// Default: none.
    pub server_interceptors: ServerInterceptors,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: DEFAULT_TIMEOUT,
            deadline_tolerance: Duration::from_secs(1),
            cancel_expired: false,
            limits: Limits::default(),
            memory: MemoryBudget::default(),
            connection: ConnectionLimits::default(),
            token: None,
            token_provider: None,
            device_id: None,
            resume: false,
            describes: true,
            tls: TlsConfig::default(),
            websocket: WebSocketOptions::default(),
            proxy: ProxyOptions::default(),
            busy_poll_time: Some(Duration::from_micros(50)),
            names_broker_user: false,
            client_interceptors: ClientInterceptors::new(),
            server_interceptors: ServerInterceptors::new(),
        }
    }
}

/// The options as all connections of a communicator share them, with what is
/// made from the TLS files at their first use.
#[derive(Debug)]
pub(crate) struct SharedOptions {
    pub(crate) options: Options,
    tls: Mutex<TlsState>,
}

/// The TLS files in use, and what was made from them.
#[derive(Debug)]
struct TlsState {
    files: TlsConfig,
    client: Option<Arc<ClientConfig>>,
    server: Option<Arc<ServerConfig>>,
}

impl SharedOptions {
    /// Limits that would let nothing happen at all count as 1, and a limit beyond what
    /// a semaphore can count as that.
    pub(crate) fn new(mut options: Options) -> Self {
        let limits = &mut options.connection;
        for limit in [
            &mut limits.send_buffer,
            &mut limits.served_calls,
            &mut limits.calls_in_flight,
            &mut limits.connections,
        ] {
            *limit = (*limit).max(1);
        }
        limits.connections = limits.connections.min(Semaphore::MAX_PERMITS);
        let tls = TlsState {
            files: options.tls.clone(),
            client: None,
            server: None,
        };
        Self {
            options,
            tls: Mutex::new(tls),
        }
    }

    /// The TLS settings of connections that are opened now.
    pub(crate) fn client_tls(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut tls = self.tls.lock();
        if let Some(config) = &tls.client {
            return Ok(Arc::clone(config));
        }
        let config = tls.files.client()?;
        tls.client = Some(Arc::clone(&config));
        Ok(config)
    }

    /// The TLS settings of connections that are accepted now.
    pub(crate) fn server_tls(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let mut tls = self.tls.lock();
        if let Some(config) = &tls.server {
            return Ok(Arc::clone(config));
        }
        let config = tls.files.server()?;
        tls.server = Some(Arc::clone(&config));
        Ok(config)
    }

    /// Whether a connection or an adapter has used the TLS files.
    pub(crate) fn uses_tls(&self) -> bool {
        let tls = self.tls.lock();
        tls.client.is_some() || tls.server.is_some()
    }

    /// Reads other TLS files, or the same ones again, for the uses that there
    /// were. They take effect by [`LoadedTls::apply`].
    pub(crate) fn load_tls(self: &Arc<Self>, files: &TlsConfig) -> Result<LoadedTls, TlsError> {
        let (has_client, has_server) = {
            let tls = self.tls.lock();
            (tls.client.is_some(), tls.server.is_some())
        };
        let state = TlsState {
            files: files.clone(),
            client: has_client.then(|| files.client()).transpose()?,
            server: has_server.then(|| files.server()).transpose()?,
        };
        Ok(LoadedTls {
            options: Arc::clone(self),
            state,
        })
    }

    /// The files that are in use.
    pub(crate) fn tls_files(&self) -> TlsConfig {
        self.tls.lock().files.clone()
    }
}

/// TLS files that were read and are not in use yet.
#[derive(Debug)]
pub struct LoadedTls {
    options: Arc<SharedOptions>,
    state: TlsState,
}

impl LoadedTls {
    /// Uses the files for connections that are opened and accepted from now on.
    pub fn apply(self) {
        *self.options.tls.lock() = self.state;
    }
}
