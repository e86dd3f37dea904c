//! What holds for every connection of a communicator.

use std::time::Duration;

use super::TlsConfig;
use crate::wire::Limits;

/// What one connection may take, beside what a message may
/// ([`Limits`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How long a connection may take to be made, the handshakes of TLS and
    /// WebSocket included. 5 s unless set.
    pub connect_time: Duration,
    /// How long a frame may take from its first byte to its last. 30 s unless
    /// set.
    pub frame_time: Duration,
    /// How long bytes may wait for a peer that reads none. 30 s unless set;
    /// then the connection is closed.
    pub stall_time: Duration,
    /// After how much silence the system asks whether the peer still lives; one
    /// that does not answer is lost after about half a minute more. 60 s unless
    /// set; never, where it is nothing.
    pub keepalive_time: Option<Duration>,
    /// The bytes that may wait to be sent. 1 MiB unless set; past it a caller
    /// waits, and a connection whose replies wait reads no more calls.
    pub send_buffer: usize,
    /// The calls of a peer that may be under way at once. 1,024 unless set;
    /// past it nothing more is read from this peer until one ends.
    pub served_calls: usize,
    /// Our own calls that may be in flight at once. 65,536 unless set; past it
    /// a caller waits.
    pub calls_in_flight: usize,
    /// The connections that an adapter has at once. 16,384 unless set; further
    /// ones wait in the system's queue.
    pub connections: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connect_time: Duration::from_secs(5),
            frame_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(30),
            keepalive_time: Some(Duration::from_secs(60)),
            send_buffer: 1 << 20,
            served_calls: 1024,
            calls_in_flight: 1 << 16,
            connections: 1 << 14,
        }
    }
}

/// What holds for adapters on `ws://` and `wss://`.
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
    /// The sites whose pages may connect, as a browser names them in `Origin`:
    /// scheme, host, and a port that is not the scheme's own
    /// (`https://chat.example.org`). None, as unless set, lets any page in.
    ///
    /// Another site's page runs with its visitor's network and cookies: name
    /// the sites wherever those open a door. A client that is no browser sends
    /// no `Origin`, could send any, and is always let in.
    pub origins: Vec<String>,
}

/// What a communicator is made with.
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
    /// How long a twoway call waits for its RETURN where its proxy does not
    /// say. 30 s unless set.
    pub timeout: Duration,
    /// What a message may ask of our memory.
    pub limits: Limits,
    /// What a connection may.
    pub connection: ConnectionLimits,
    /// The credential that the first message of each connection carries
    /// (`__token__`).
    pub token: Option<String>,
    /// The device that goes with the token (`__device_id__`).
    pub device_id: Option<String>,
    /// Certificates and keys for `ssl://` and `wss://`.
    pub tls: TlsConfig,
    /// Whether adapters tell who asks which interfaces they serve, by the
    /// built-in interface 65535. They do unless set.
    pub describes: bool,
    /// Whom an adapter on `ws://` or `wss://` lets in.
    pub websocket: WebSocketOptions,
    /// For how long a thread that has connected to a socket or WebSocket looks
    /// for the next message before it sleeps, while nearly all come within
    /// about that time ([`BusyPoll`](crate::BusyPoll)). 50 µs unless set; the
    /// connection does not ask for it, where it is nothing. Threads of a
    /// runtime that has several never do.
    pub busy_poll_time: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            limits: Limits::default(),
            connection: ConnectionLimits::default(),
            token: None,
            device_id: None,
            describes: true,
            tls: TlsConfig::default(),
            websocket: WebSocketOptions::default(),
            busy_poll_time: Some(Duration::from_micros(50)),
        }
    }
}
