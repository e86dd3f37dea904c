//! The properties of a gateway: one table, out of which come their types,
//! defaults, reading, names in the environment and documentation.

use std::{path::PathBuf, time::Duration};

use super::{
    Auth, Broker, Endpoint, EndpointId, HostPort, LogFilter, PollTime, SecondLogin, Secret, Sites,
    Source,
    value::{Find, Value},
};
use crate::{auth::JwtAlgorithm, log::Format};

/// A row of the table of properties.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// As in `<property name="max_connections" …/>` and `--set max_connections=…`.
    pub name: &'static str,
    /// What it does, its unit, and what holds unless it is set.
    pub doc: &'static str,
    /// What its values are.
    pub values: &'static str,
    pub(super) set: fn(&mut Properties, &str, Find<'_>) -> Result<(), String>,
    pub(super) show: fn(&Properties, &[Endpoint]) -> String,
}

impl Property {
    /// The variable of the environment that sets it.
    pub fn environment_name(&self) -> String {
        Source::Environment.says(self.name)
    }

    /// What holds unless it is set, as it would be written; empty for nothing.
    pub fn default_value(&self) -> String {
        (self.show)(&Properties::default(), &[])
    }
}

/// What `properties` says of the server's shape, and the file alone can.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) values: &'static str,
    pub(super) doc: &'static str,
}

/// In the order in which a server's settings have them.
pub(super) const SHAPE: [Shape; 2] = [
    Shape {
        name: "listen",
        values: "names of endpoints with commas between",
        doc: "The sockets and WebSockets that clients connect to; queues and topics in it are read.",
    },
    Shape {
        name: "loopback",
        values: "pairs of queues with commas between, as mq_server#mq_gateway",
        doc: "A CALL that goes to the first of a pair names the second for its RETURN.",
    },
];

macro_rules! properties {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty = $default:expr;)+) => {
        /// What the gateway does, beyond its routes: the `properties` of a
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
            values: <$kind as Value>::RIGHT,
            set: |properties, text, find| {
                properties.$name = if text.is_empty() {
                    $default
                } else {
                    <$kind as Value>::read(text, find)?
                };
                Ok(())
            },
            show: |properties, endpoints| properties.$name.show(endpoints),
        }),+];
    };
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

properties! {
    /// Whether a connection may call only once its user is known. Without it
    /// each connection gets a user id of its own.
    userid_check: bool = false;
    /// Who knows users by their token.
    auth: Auth = Auth::None;
    /// The PEM file with the public key that JWTs are signed for.
    auth_jwt_key: Option<PathBuf> = None;
    /// The secret that JWTs are signed with, where it is no key pair. It is
    /// better off in the environment than in the file.
    auth_jwt_secret: Option<Secret> = None;
    /// The only algorithm that a JWT may be signed by: HS256 with the secret,
    /// the others with the key.
    auth_jwt_algorithm: JwtAlgorithm = JwtAlgorithm::HS256;
    /// The claim that is the user id.
    auth_jwt_claim: String = "sub".to_owned();
    /// The issuer (`iss`) that a JWT must come from; any, unless set.
    auth_jwt_issuer: Option<String> = None;
    /// The audience (`aud`) that a JWT must be meant for; unless set, it must
    /// be meant for nobody in particular.
    auth_jwt_audience: Option<String> = None;
    /// The endpoint by which the authenticator's servant is called.
    auth_endpoint: Option<EndpointId> = None;
    /// How long an authenticator may take, in seconds.
    auth_time: Duration = secs(5);
    /// What the second login of a user does to the first connection.
    second_login: SecondLogin = SecondLogin::Replace;
    /// The queue or topic that hears of users who come and go; nobody does,
    /// unless set.
    user_events: Option<EndpointId> = None;
    /// The connections of clients at once; further ones are turned away.
    max_connections: usize = 16_384;
    /// The connections at once from one IP address; further ones are turned
    /// away.
    max_connections_per_address: Option<usize> = None;
    /// The frames a second that a connection may send; one that sends more is
    /// read more slowly.
    max_frames_per_second: Option<usize> = None;
    /// The twoway calls of a connection under way at once; further ones are
    /// read when others have ended.
    max_calls_in_flight: usize = 1024;
    /// How long a connection may take to say who it is, in seconds; then it is
    /// closed. It counts only with `userid_check`.
    first_message_time: Option<Duration> = Some(secs(30));
    /// How long a connection may be silent with no call under way, in seconds;
    /// then it is closed.
    idle_time: Option<Duration> = None;
    /// After how many seconds of silence TCP asks whether the peer still lives.
    keepalive_time: Option<Duration> = Some(secs(60));
    /// How long a call may take, in seconds; then the gateway answers TIMEOUT.
    call_time: Duration = secs(60);
    /// The bytes that may wait for a connection that reads too slowly. For a
    /// server or a queue it is never less than the default.
    send_buffer: usize = 1 << 20;
    /// How long bytes may wait for a connection that reads none, in seconds;
    /// then it is closed.
    stall_time: Duration = secs(30);
    /// The bytes that a frame may have.
    max_frame: usize = 4 << 20;
    /// How long calls under way have to end at a shutdown, in seconds.
    shutdown_time: Duration = secs(10);
    /// How long the gateway's thread looks for the next message before it
    /// sleeps, in seconds, while nearly all come within about that time; 0 to
    /// sleep at once. It makes answers faster and takes more of the processor.
    busy_poll_time: PollTime = PollTime::default();
    /// The sites whose pages may connect by WebSocket; any, unless set.
    origins: Sites = Sites::default();
    /// What carries the messages of MQ endpoints.
    mq: Broker = Broker::Broker;
    /// Where health, metrics and connections are shown by HTTP; nowhere,
    /// unless set.
    admin: Option<HostPort> = None;
    /// What is logged: a level, or a filter.
    log: LogFilter = LogFilter::default();
    /// What log lines look like: for people, or an object a line.
    log_format: Format = Format::Text;
    /// Whether a change of the file is taken over while the gateway runs.
    watch: bool = false;
}
