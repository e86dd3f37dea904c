//! A connection to a broker, re-established when it is lost, and what is
//! declared over it.

use std::{fmt, io, ops::Deref, sync::Arc, time::Duration};

use lapin::{
    AsyncTcpStream, BasicProperties, Connection, ConnectionProperties, ErrorKind, ExchangeKind,
    options::{BasicPublishOptions, ExchangeDeclareOptions, QueueDeclareOptions},
    protocol::AMQPErrorKind,
    types::{FieldTable, ShortString, ShortStringError},
    uri::{AMQPAuthority, AMQPQueryString, AMQPUri, AMQPUserInfo},
};
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{
    BrokerError, ConnectionRole,
    control::StreamControl,
    filter::FRAME_MAX,
    pace::AttemptPace,
    stream::{BrokerRuntime, BrokerStream},
};
use crate::{
    config::{Address, Endpoint, MqEndpoint, NodeType, Scheme, SharedOptions},
    transport::{delivery::PublishError, socket},
};

/// The most time that one request to a broker may take, and one attempt to open
/// an endpoint.
pub(super) const ATTEMPT_TIME: Duration = Duration::from_secs(5);
/// How often a connection that publishes asks whether the broker accepts messages.
const PROBE_PERIOD: Duration = Duration::from_millis(500);
/// The queue that a probe names; it does not exist.
const PROBE_QUEUE: &str = "tce.probe";
/// The heartbeat interval that is proposed, in seconds. The connection is lost
/// after twice the interval without a byte from the broker.
const HEARTBEAT: u16 = 10;
const CHANNEL_MAX: u16 = 2047;
/// AMQP's reply codes: a node exists with other properties; an argument is
/// malformed.
pub(super) const PRECONDITION_FAILED: u16 = 406;
const SYNTAX_ERROR: u16 = 502;

/// A broker, and the user that connects to it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct BrokerAddress {
    host: String,
    port: u16,
    vhost: String,
    user: String,
    password: String,
    tls: bool,
}

impl BrokerAddress {
    pub(super) fn of(endpoint: &MqEndpoint) -> Self {
        Self {
            host: endpoint.host.clone(),
            port: endpoint.port,
            vhost: endpoint.vhost.clone(),
            user: endpoint.user.clone(),
            password: endpoint.password.clone(),
            tls: endpoint.tls,
        }
    }

    fn socket(&self) -> Endpoint {
        Endpoint {
            scheme: if self.tls { Scheme::Ssl } else { Scheme::Tcp },
            host: self.host.clone(),
            port: self.port,
            path: String::new(),
            compress: false,
        }
    }

    fn uri(&self) -> AMQPUri {
        AMQPUri {
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.user.clone(),
                    password: self.password.clone(),
                },
                host: self.host.clone(),
                port: self.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString {
                heartbeat: Some(HEARTBEAT),
                channel_max: Some(CHANNEL_MAX),
                frame_max: Some(FRAME_MAX),
                ..AMQPQueryString::default()
            },
            ..AMQPUri::default()
        }
    }
}

impl fmt::Debug for BrokerAddress {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            vhost,
            user,
            ..
        } = self;
        write!(f, "{user}@{host}:{port}, {vhost}")
    }
}

/// Why a request to a broker failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum AmqpError {
    /// The broker refuses it, and closes the channel.
    #[error("{text}")]
    Refused {
        /// AMQP's reply code.
        code: u16,
        /// The broker's words.
        text: String,
    },
    /// The channel or the connection is lost.
    #[error("{0}")]
    Lost(String),
}

impl From<lapin::Error> for AmqpError {
    fn from(error: lapin::Error) -> Self {
        match error.kind() {
            ErrorKind::ProtocolError(refusal) => {
                let text = refusal.get_message().to_string();
                match refusal.kind() {
                    AMQPErrorKind::Soft(_) => Self::Refused {
                        code: refusal.get_id(),
                        text,
                    },
                    AMQPErrorKind::Hard(_) => Self::Lost(text),
                }
            }
            ErrorKind::IOError(error) => Self::Lost(error.to_string()),
            ErrorKind::InvalidProtocolVersion(version) => Self::Lost(format!(
                "the broker speaks another version of AMQP: {version}"
            )),
            ErrorKind::ParsingError(_) => {
                Self::Lost("the broker sends malformed frames".to_owned())
            }
            _ => Self::Lost(error.to_string()),
        }
    }
}

impl From<ShortStringError> for AmqpError {
    fn from(_: ShortStringError) -> Self {
        Self::Refused {
            code: SYNTAX_ERROR,
            text: "a name has more than 255 bytes".to_owned(),
        }
    }
}

/// A connection that is re-established when it is lost.
#[derive(Debug)]
pub(super) struct BrokerConnection {
    address: BrokerAddress,
    role: ConnectionRole,
    settings: Arc<SharedOptions>,
    pace: AttemptPace,
    current: tokio::sync::Mutex<Option<OpenConnection>>,
}

/// One connection, from the handshake to its end.
struct OpenConnection {
    connection: Connection,
    control: Arc<StreamControl>,
    runtime: Handle,
    /// Ends the task that finds out whether the broker accepts messages.
    probe: Option<AbortHandle>,
}

impl fmt::Debug for OpenConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}

impl Drop for OpenConnection {
    /// lapin closes the connection once its last channel is dropped; a broker
    /// that does not answer must not keep lapin's thread.
    fn drop(&mut self) {
        if let Some(probe) = &self.probe {
            probe.abort();
        }
        let control = Arc::clone(&self.control);
        self.runtime.spawn(async move {
            let _ = timeout(ATTEMPT_TIME, control.lost()).await;
            control.end("the connection to the broker was closed");
        });
    }
}

/// Ends a connection whose handshake is given up.
struct Handshake(Option<Arc<StreamControl>>);

impl Drop for Handshake {
    fn drop(&mut self) {
        if let Some(control) = &self.0 {
            control.end("the broker did not complete the handshake");
        }
    }
}

impl BrokerConnection {
    pub(super) fn new(
        address: BrokerAddress,
        role: ConnectionRole,
        settings: &Arc<SharedOptions>,
    ) -> Self {
        Self {
            address,
            role,
            pace: AttemptPace::default(),
            settings: Arc::clone(settings),
            current: tokio::sync::Mutex::new(None),
        }
    }

    /// Opens a channel, on a new connection if the old one is lost.
    pub(super) async fn channel(&self) -> Result<BrokerChannel, AmqpError> {
        let mut current = self.current.lock().await;
        if let Some(open) = &*current
            && open.control.lost_reason().is_none()
        {
            if let Some(reason) = open.control.blocked_reason() {
                // It reads nothing from this connection either.
                let blocked = PublishError::Blocked(reason);
                return Err(AmqpError::Lost(blocked.to_string()));
            }
            match open.channel().await {
                Err(AmqpError::Lost(_)) if !open.connection.status().connected() => {}
                opened => return opened,
            }
        }
        self.pace.pause().await;
        // Boxed: the future is large, and every request would contain it.
        let new = Box::pin(self.connect()).await?;
        current.insert(new).channel().await
    }

    async fn connect(&self) -> Result<OpenConnection, AmqpError> {
        let stream = socket::connect(&self.address.socket(), &self.settings)
            .await
            .map_err(|error| AmqpError::Lost(error.text().to_owned()))?;
        let control = StreamControl::new();
        let mut handshake = Handshake(Some(Arc::clone(&control)));
        let stream = Mutex::new(Some(BrokerStream::new(stream, Arc::clone(&control))));
        // lapin asks once: its own recovery is off.
        let take = async move |_, _| {
            let stream = stream.lock().take().map(AsyncTcpStream::Plain);
            stream.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected).into())
        };
        let properties = ConnectionProperties::default().with_connection_name("tce".into());
        let runtime = BrokerRuntime::current();
        let connection = Connection::connector(self.address.uri(), runtime, take, properties).await;
        let connection = connection.map_err(|error| match control.lost_reason() {
            Some(reason) if error.is_io_error() => AmqpError::Lost(reason),
            _ => error.into(),
        })?;
        handshake.0 = None;
        let mut open = OpenConnection {
            connection,
            control,
            runtime: Handle::current(),
            probe: None,
        };
        if self.role == ConnectionRole::Publish {
            let channel = open.channel().await?;
            open.probe = Some(tokio::spawn(probe(channel)).abort_handle());
        }
        Ok(open)
    }

    /// Declares a node; one that exists with other properties is used as it is.
    pub(super) async fn declare(&self, declaration: &Declaration<'_>) -> Result<(), AmqpError> {
        // A refusal closes the channel, so this one serves nothing else.
        let channel = self.channel().await?;
        match channel.declare(declaration).await {
            Err(AmqpError::Refused { code, .. }) if code == PRECONDITION_FAILED => {
                let name = declaration.name;
                tracing::warn!("`{name}` exists with other properties and is used as it is");
                Ok(())
            }
            declared => declared,
        }
    }
}

impl OpenConnection {
    async fn channel(&self) -> Result<BrokerChannel, AmqpError> {
        Ok(BrokerChannel {
            channel: self.connection.create_channel().await?,
            control: Arc::clone(&self.control),
        })
    }
}

/// Makes the broker say when it accepts no messages. It says so only in answer to a
/// message, which it then neither takes nor refuses until it accepts messages again:
/// so that this is not the message of a call, an empty one that no queue receives is
/// sent from time to time.
async fn probe(channel: BrokerChannel) {
    loop {
        sleep(PROBE_PERIOD).await;
        if channel.control.blocked_reason().is_some() {
            channel.control.unblocked().await;
        }
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default();
        let queue = PROBE_QUEUE.into();
        let probing = channel.basic_publish("".into(), queue, options, &[], properties);
        if let Err(error) = probing.await {
            // For example since the user may not write to the default exchange.
            return tracing::debug!("can't ask whether the broker accepts messages: {error}");
        }
    }
}

/// A queue or topic that is to exist and to survive a restart of the broker.
#[derive(Debug)]
pub(super) struct Declaration<'a> {
    pub(super) name: &'a str,
    pub(super) node: NodeType,
    /// RabbitMQ's optional arguments, such as `x-message-ttl` of a queue or
    /// `alternate-exchange` of a topic.
    pub(super) arguments: FieldTable,
}

impl<'a> Declaration<'a> {
    /// The node of an address, if the address says `create`.
    pub(super) fn of(address: &'a Address) -> Option<Self> {
        address.create.then(|| Self {
            name: &address.name,
            node: address.node,
            arguments: FieldTable::default(),
        })
    }
}

/// A channel; closed when it is dropped.
#[derive(Debug)]
pub(super) struct BrokerChannel {
    channel: lapin::Channel,
    pub(super) control: Arc<StreamControl>,
}

impl BrokerChannel {
    async fn declare(&self, declaration: &Declaration<'_>) -> Result<(), AmqpError> {
        let name = ShortString::try_new(declaration.name)?;
        let arguments = declaration.arguments.clone();
        match declaration.node {
            NodeType::Queue => {
                let options = QueueDeclareOptions::durable();
                self.queue_declare(name, options, arguments).await?;
            }
            NodeType::Topic => {
                let options = ExchangeDeclareOptions {
                    durable: true,
                    ..ExchangeDeclareOptions::default()
                };
                self.exchange_declare(name, ExchangeKind::Topic, options, arguments)
                    .await?;
            }
        }
        Ok(())
    }
}

impl Deref for BrokerChannel {
    type Target = lapin::Channel;

    fn deref(&self) -> &lapin::Channel {
        &self.channel
    }
}

impl Drop for BrokerChannel {
    fn drop(&mut self) {
        self.control.forget(self.channel.id());
    }
}

/// Opens an endpoint, within [`ATTEMPT_TIME`].
pub(super) async fn attempt<T>(
    endpoint: &MqEndpoint,
    opening: impl Future<Output = Result<T, AmqpError>>,
) -> Result<T, BrokerError> {
    match timeout(ATTEMPT_TIME, opening).await {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(error)) => Err(BrokerError(format!("{}: {error}", endpoint.broker()))),
        Err(_) => Err(BrokerError(format!(
            "{} did not answer within {ATTEMPT_TIME:?}",
            endpoint.broker()
        ))),
    }
}

/// Opens an endpoint again, however many attempts it takes.
pub(super) async fn reopen<T, F: Future<Output = Result<T, AmqpError>>>(
    endpoint: &MqEndpoint,
    pace: &AttemptPace,
    open: impl Fn() -> F,
) -> T {
    loop {
        pace.pause().await;
        match attempt(endpoint, open()).await {
            Ok(opened) => return opened,
            Err(error) => tracing::warn!("can't reopen: {error}"),
        }
    }
}
