//! The properties of a gateway: one table, from which their types, defaults,
//! parsers, environment variables and documentation are made; and the options
//! of connections that follow from them.

use std::{path::PathBuf, time::Duration};

use tce_runtime::{
    config::{ConnectionLimits, MemoryBudget, Options, TlsConfig, WebSocketOptions},
    wire::Limits,
};

use super::{
    endpoint::{EndpointId, HostPort, ServiceEndpoint},
    overrides::OverrideSource,
    rate::InterfaceRates,
    redis_url::RedisUrl,
    value::{
        Auth, Broker, CollectorUrl, DescribeRight, DrainTime, EventTarget, Find, HostNames,
        JwtAlgorithm, KeepaliveTime, KeySetSource, LogFilter, PollTime, PresenceStore,
        PropertyValue, SecondLogin, Secret, Sites, Threads,
    },
};
use crate::log::LogFormat;

/// A row of the table of properties.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// The name, as in `<property name="max_connections" …/>` and
    /// `--set max_connections=…`.
    pub name: &'static str,
    /// What it does, and its unit.
    pub doc: &'static str,
    /// Its valid values.
    pub values: &'static str,
    pub(super) set: fn(&mut Properties, &str, Find<'_>) -> Result<(), String>,
    pub(super) show: fn(&Properties, &[ServiceEndpoint]) -> String,
    /// Whether two gateways have the same value.
    pub(crate) is_same: fn(&Properties, &Properties) -> bool,
}

impl Property {
    /// The environment variable that sets it.
    pub fn environment_name(&self) -> String {
        OverrideSource::Environment.name_of(self.name)
    }

    /// The default, as it would be written; empty if there is none.
    pub fn default_value(&self) -> String {
        (self.show)(&Properties::default(), &[])
    }
}

/// A property that only the file can set, since it names endpoints of it.
pub(super) struct FileProperty {
    pub(super) name: &'static str,
    pub(super) values: &'static str,
    pub(super) doc: &'static str,
}

/// In the order of `ServerSettings::of_file`.
pub(super) const FILE_PROPERTIES: [FileProperty; 2] = [
    FileProperty {
        name: "listen",
        values: "comma-separated names of endpoints",
        doc: "The sockets and WebSockets that clients connect to. Queues and topics in the list are read.",
    },
    FileProperty {
        name: "loopback",
        values: "comma-separated pairs of queues, for example mq_server#mq_gateway",
        doc: "The RETURN of a CALL that is sent to the first queue of a pair comes back by the second.",
    },
];

macro_rules! properties {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty = $default:expr;)+) => {
        /// The settings of a gateway besides its routes: the `properties` of a
        /// `server`, or their defaults.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Properties {
            $($(#[doc = $doc])+ pub $name: $kind,)+
        }

        impl Default for Properties {
            fn default() -> Self {
                Self {
                    $($name: $default,)+
                }
            }
        }

        /// All properties, in the order in which they are shown.
        pub const PROPERTIES: &[Property] = &[$(Property {
            name: stringify!($name),
            doc: concat!($($doc),+).trim_ascii(),
            values: <$kind as PropertyValue>::EXPECTED,
            set: |properties, text, find| {
                properties.$name = if text.is_empty() {
                    $default
                } else {
                    <$kind as PropertyValue>::parse(text, find)?
                };
                Ok(())
            },
            show: |properties, endpoints| properties.$name.show(endpoints),
            is_same: |one, other| one.$name == other.$name,
        }),+];
    };
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

properties! {
    /// Whether a connection must log in before it may call. If false, each
    /// connection gets a user id of its own.
    userid_check: bool = false;
    /// The authenticator: how a token becomes a user id.
    auth: Auth = Auth::None;
    /// The PEM file with the public key that verifies JWTs.
    auth_jwt_key: Option<PathBuf> = None;
    /// The public keys that verify JWTs: a JSON Web Key Set (RFC 7517), as a file or at an
    /// http:// or https:// URL. The `kid` of a token names its key; an unknown one
    /// causes a new attempt to fetch the set, at most every 10 seconds. The last good
    /// set stays in use while it can't be fetched. Over http://, everyone who can change
    /// the answer can log in as any user.
    auth_jwt_jwks: Option<KeySetSource> = None;
    /// Time between two attempts to fetch or read `auth_jwt_jwks` again, in seconds.
    auth_jwt_jwks_time: Duration = secs(300);
    /// The secret that verifies JWTs signed with HS256. Set it in the
    /// environment rather than in the file.
    auth_jwt_secret: Option<Secret> = None;
    /// The only signature algorithm that is accepted in a JWT: HS256 with the
    /// secret, the others with the key.
    auth_jwt_algorithm: JwtAlgorithm = JwtAlgorithm::HS256;
    /// The claim of a JWT that holds the user id.
    auth_jwt_claim: String = "sub".to_owned();
    /// The required issuer (`iss`) of a JWT. If not set, any issuer is accepted.
    auth_jwt_issuer: Option<String> = None;
    /// The required audience (`aud`) of a JWT. If not set, a JWT that names an
    /// audience is refused.
    auth_jwt_audience: Option<String> = None;
    /// The claim of a JWT that holds the roles of the user, for `allow` of routes: a
    /// list of texts, or one text with spaces or commas between them. The name of a
    /// claim within another one has a dot, for example realm_access.roles. If not
    /// set, users have no roles.
    auth_jwt_roles: Option<String> = None;
    /// The endpoint of the server that implements gateway.IAuthenticator.
    auth_endpoint: Option<EndpointId> = None;
    /// Time limit of the authenticator for one login, in seconds.
    auth_time: Duration = secs(5);
    /// Time after which a login ends, in seconds: the gateway then closes the
    /// connection, and the client has to log in again. The login of a JWT ends 30
    /// seconds after its `exp` at the latest.
    login_time: Option<Duration> = None;
    /// The maximum number of failed logins from one IP address per minute. Further
    /// logins from there are refused for the rest of the minute. Each failed one is
    /// answered later than the one before, by up to 2 s.
    max_failed_logins: Option<usize> = Some(100);
    /// The effect of a second login of the same user: replace closes the first
    /// connection, refuse closes the second unless it is one of the same device. With
    /// several both stay open, one for each device id (`__device_id__`): a login of the same device replaces its
    /// connection. Connections without a device id count as devices of their own.
    second_login: SecondLogin = SecondLogin::Replace;
    /// The maximum number of connections of one user, with `second_login` several. A
    /// further one closes the oldest.
    max_sessions_per_user: usize = 16;
    /// How long the gateway keeps the pushes of a client whose connection is lost, in
    /// seconds. A client that asks for it and comes back within this time gets what it
    /// missed. Applies only with `userid_check`.
    resume_time: Option<Duration> = None;
    /// The maximum number of bytes of pushes that are kept for one session. The oldest
    /// are dropped first; the client is then told that something is missing.
    resume_bytes: usize = 256 << 10;
    /// The maximum number of bytes of pushes that are kept for all sessions together,
    /// those that are connected included.
    resume_memory: usize = 64 << 20;
    /// The queue or topic that receives an event when a user logs in or
    /// disconnects, as a oneway call of gateway.IUserEventListener. With
    /// `/module.Interface` after it, operations 0 (logged in) and 1
    /// (disconnected) of that interface are called; both take the user id and
    /// the gateway's name. If not set, no events are sent.
    user_events: Option<EventTarget> = None;
    /// Where it is kept which users are on line: memory, for each gateway alone, or
    /// redis, for all gateways with the same `redis` and `redis_prefix`.
    presence: PresenceStore = PresenceStore::Memory;
    /// The URL of the Redis server, version 6 or later, for `presence` redis. Set a
    /// password in the environment rather than in the file.
    redis: Option<RedisUrl> = None;
    /// The beginning of all keys in Redis: gateways that share a server and are not to
    /// know of each other have different ones.
    redis_prefix: String = "tce".to_owned();
    /// Time between two refreshes of this gateway's keys in Redis, in seconds. The
    /// users of a gateway that has died are off line within three times as long.
    presence_refresh: Duration = secs(5);
    /// The maximum number of client connections. A further one closes the oldest
    /// that has sent no message yet. If there is none, it is refused: the first
    /// call of its client fails with CONNECT_REJECT, and a WebSocket handshake is
    /// answered with status 503.
    max_connections: usize = 16_384;
    /// The maximum number of connections from one IP address, or from one network
    /// of 64 bits for IPv6. Further ones are refused.
    max_connections_per_address: Option<usize> = None;
    /// The maximum number of frames that a connection may send per second. The
    /// gateway reads a connection that sends more at this rate.
    max_frames_per_second: Option<usize> = None;
    /// The maximum number of bytes that a connection may send per second; of a
    /// compressed frame the inflated bytes count. The gateway reads a connection
    /// that sends more at this rate.
    max_bytes_per_second: Option<usize> = None;
    /// How often each user, or without a login each address, may call interfaces,
    /// over all connections. A call beyond it is answered with CONNECT_REJECT, and
    /// dropped if it is oneway. The burst is what may come at once, by default the
    /// calls of one period.
    rate: InterfaceRates = InterfaceRates::default();
    /// Which clients may ask for the IDL of the servers behind the gateway, as `tce
    /// call` does without `--idl`: those that have one of the roles, all, or none. Each
    /// client may ask once a second, and 20 times at once.
    describe: DescribeRight = DescribeRight::Off;
    /// The maximum number of twoway calls of a connection that wait for their
    /// RETURN. At the limit the gateway stops reading from the connection.
    max_calls_in_flight: usize = 1024;
    /// The maximum number of twoway calls that wait for their RETURN at one
    /// server or queue. Each user, or without a login each address, may have as
    /// many as an eighth of those that are left; one that has more is read no
    /// further. Set it to what the servers serve at once, divided by the number
    /// of gateways at a queue.
    max_calls_per_upstream: usize = 2048;
    /// Time within which a connection must send its first message, in seconds;
    /// then it is closed. Applies only with `userid_check`.
    first_message_time: Option<Duration> = Some(secs(30));
    /// Time after which a connection that sends nothing and waits for no RETURN
    /// is closed, in seconds. WebSocket pings and pongs count as sent: a client
    /// that answers the pings of `ping_interval` is not idle.
    idle_time: Option<Duration> = None;
    /// Idle time before TCP keep-alive probes, in seconds.
    keepalive_time: KeepaliveTime = KeepaliveTime(Some(secs(60)));
    /// The longest time without a byte to a WebSocket client, in seconds, after which
    /// the gateway sends a ping. Proxies close silent connections.
    ping_interval: Option<Duration> = Some(secs(25));
    /// Time limit of a call, in seconds. Then the gateway answers TIMEOUT.
    call_time: Duration = secs(60);
    /// The maximum number of bytes that wait to be sent to a client. For a
    /// server or a queue it is never less than the default.
    send_buffer: usize = 1 << 20;
    /// Time after which a connection that accepts none of the bytes that wait
    /// for it is closed, in seconds.
    stall_time: Duration = secs(30);
    /// The maximum size of a frame, in bytes.
    max_frame: usize = 4 << 20;
    /// The maximum size of a frame of a connection that has not logged in, in
    /// bytes. Applies only with `userid_check`.
    max_frame_before_login: usize = 64 << 10;
    /// The maximum number of bytes that the gateway holds for all connections
    /// together, beyond 64 KiB for each buffer. A connection may hold an eighth of
    /// what is free; a message that exceeds it is answered with SENDFAILED, or
    /// ends the connection that sends it.
    max_memory: usize = 1 << 30;
    /// Time between two pings of a server, in seconds, if several servers share an
    /// endpoint of type socket. A server that misses two in a row gets no calls
    /// until it answers; a server that has never answered a ping, as one of TCE's
    /// own, is judged by its calls alone.
    upstream_ping_interval: Option<Duration> = Some(secs(2));
    /// Time over which a shutdown sends the clients elsewhere, in seconds: in no second do
    /// more of them connect to the other gateways than their number divided by this time.
    /// Meanwhile the gateway accepts no connection and serves on; it ends when all have gone,
    /// a tenth of this time and 5 seconds later at the latest. With auto it sends 250 clients
    /// a second, or all within 10 seconds, if one of them knows that it can be sent elsewhere.
    /// Else, and with 0, it closes all connections at once.
    drain_time: DrainTime = DrainTime::Auto;
    /// Time for calls in flight to end at a shutdown, in seconds.
    shutdown_time: Duration = secs(10);
    /// The number of threads that serve connections. With 1, the thread that
    /// accepts them also serves them. Otherwise it gives each connection to the
    /// thread with the fewest, and each thread has its own connection to each
    /// server that is connected directly; all limits hold for all threads together.
    threads: Threads = Threads::Count(1);
    /// How long a thread of the gateway polls for the next message before it
    /// sleeps, in seconds, while most messages arrive within about that time; 0
    /// to sleep at once. Polling shortens latency and uses processor time.
    busy_poll_time: PollTime = PollTime::default();
    /// The sites whose pages may connect by WebSocket. If not set, all may.
    origins: Sites = Sites::default();
    /// The broker of MQ endpoints: the one that each endpoint names, or one
    /// within the process.
    mq: Broker = Broker::Broker;
    /// The address of the admin page, the health checks and the metrics, by
    /// HTTP. If not set, there are none.
    admin: Option<HostPort> = None;
    /// The host names by which the admin page, the health checks and the metrics may
    /// be requested, beside IP addresses, localhost and the host of `admin`: the name of
    /// the service in an orchestrator.
    admin_hosts: HostNames = HostNames::default();
    /// The token without which nothing can be changed by the admin page and by `tce
    /// gateway ctl`: disconnecting users, reloading the file. If not set, nothing can.
    /// Set it in the environment rather than in the file.
    admin_token: Option<Secret> = None;
    /// The URL of an OpenTelemetry collector, to which the spans of forwarded calls are
    /// exported by OTLP over HTTP, if their callers record them. If not set, the one of
    /// OTEL_EXPORTER_OTLP_ENDPOINT, if any.
    otlp_endpoint: Option<CollectorUrl> = None;
    /// The log level, or a filter.
    log: LogFilter = LogFilter::default();
    /// The format of log lines: text, or one JSON object per line.
    log_format: LogFormat = LogFormat::Text;
    /// Whether the gateway reloads the file when it, a certificate or a key
    /// changes.
    watch: bool = false;
}

/// The connections of a listener beside `max_connections`: those in their
/// handshake, and those that are being closed. Past this the oldest handshake
/// ends.
const HANDSHAKES: usize = 256;

impl Properties {
    /// The options of client connections.
    pub(crate) fn client_options(&self, tls: Option<&TlsConfig>, memory: &MemoryBudget) -> Options {
        let default = Limits::default();
        Options {
            timeout: self.call_time,
            limits: Limits {
                max_frame: self.max_frame,
                // A larger message can't be forwarded.
                max_inflated: default.max_inflated.min(self.max_frame),
                ..default
            },
            memory: memory.clone(),
            connection: ConnectionLimits {
                send_buffer: self.send_buffer,
                stall_time: self.stall_time,
                connections: self.max_connections.saturating_add(HANDSHAKES),
                served_calls: self.max_calls_in_flight,
                keepalive_time: self.keepalive_time.0,
                ping_interval: self.ping_interval,
                ..ConnectionLimits::default()
            },
            tls: tls.cloned().unwrap_or_default(),
            websocket: WebSocketOptions {
                origins: self.origins.0.clone(),
            },
            busy_poll_time: self.busy_poll_time.0,
            ..Options::default()
        }
    }

    /// The options of connections to servers and brokers. These carry the
    /// messages of all clients: an answer that is too large for a client must
    /// fail its call, not the connection, and the send buffer of one client is
    /// no limit for all.
    pub(crate) fn upstream_options(
        &self,
        tls: Option<&TlsConfig>,
        memory: &MemoryBudget,
    ) -> Options {
        let mut options = self.client_options(tls, memory);
        let default = Options::default();
        let (limits, connection) = (&mut options.limits, &mut options.connection);
        limits.max_frame = limits.max_frame.max(default.limits.max_frame);
        limits.max_inflated = default.limits.max_inflated;
        connection.send_buffer = connection.send_buffer.max(default.connection.send_buffer);
        options
    }
}
