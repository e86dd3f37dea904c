//! Connections to RabbitMQ, the names there, and the queues that agents share.
//!
//! What consumes and what publishes has connections of its own: a broker that blocks publishers reads
//! nothing from a connection that has published, acknowledgements included.

use std::{fmt, sync::Arc, time::Duration};

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::{AMQPValue, LongString, ShortString},
    uri::{AMQPScheme, AMQPUri},
};
use tce_runtime::config::{Address, MqConfig, MqEndpoint, NodeType};
use tokio::time::{sleep, timeout};

/// The most time that one request to the broker may take.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(5);
/// The pause before a lost connection is made again.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a connection of calls may be silent: twice this, in seconds.
const HEARTBEAT: u16 = 10;
/// Deliveries to an agent of commands that are not answered.
const COMMANDS_PREFETCH: u16 = 64;
/// The name of the topic in the configuration of the runtime.
pub(crate) const COMMANDS: &str = "commands";

/// Why the broker did not do what it was asked. Without the URI, which may hold a password.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokerError {
    /// The URI is wrong.
    #[error("the URI of the broker: {0}")]
    Uri(String),
    /// The broker can't be reached, or refuses.
    #[error("RabbitMQ: {0}")]
    Refused(Arc<str>),
    /// It does not answer.
    #[error("RabbitMQ does not answer within {} s", REQUEST_TIME.as_secs())]
    Silent,
    /// No queue receives a message.
    #[error("no queue receives the message")]
    NoQueue,
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        Self::Refused(error.to_string().into())
    }
}

/// Runs a request within [`REQUEST_TIME`].
pub(crate) async fn request<T>(
    running: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    match timeout(REQUEST_TIME, running).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(BrokerError::Silent),
    }
}

/// Waits before something is tried again.
pub(crate) async fn pause() {
    sleep(PAUSE).await;
}

/// A name or key. Those of a namespace have at most 150 bytes.
pub(crate) fn short(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap_or_default()
}

pub(crate) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

/// The broker and the namespace.
#[derive(Clone)]
pub(crate) struct Broker {
    uri: AMQPUri,
    pub(crate) namespace: String,
}

impl fmt::Debug for Broker {
    /// Without the URI.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Broker {
    pub(crate) fn new(uri: &str, namespace: &str) -> Result<Self, BrokerError> {
        let uri: AMQPUri = uri
            .parse()
            .map_err(|error: String| BrokerError::Uri(error))?;
        if matches!(uri.scheme, AMQPScheme::AMQPS) {
            let text = "`amqps` is not supported yet: use a tunnel, such as stunnel, and `amqp`";
            return Err(BrokerError::Uri(text.to_owned()));
        }
        Ok(Self {
            uri,
            namespace: namespace.to_owned(),
        })
    }

    /// The user of the login.
    pub(crate) fn user(&self) -> &str {
        &self.uri.authority.userinfo.username
    }

    fn name(&self, rest: &str) -> String {
        format!("tce.frame.{}.{rest}", self.namespace)
    }

    /// The queue for calls of a service.
    pub(crate) fn service_queue(&self, base: &str) -> String {
        self.name(&format!("service.{base}"))
    }

    /// The queue of the lease of a crontab.
    pub(crate) fn cron_queue(&self, crontab: &str) -> String {
        self.name(&format!("cron.{crontab}"))
    }

    /// The topic of commands, for the runtime.
    pub(crate) fn commands(&self) -> MqConfig {
        let authority = &self.uri.authority;
        let address = Address {
            name: self.name("commands"),
            subject: None,
            node: NodeType::Topic,
            create: true,
            durable: true,
        };
        let endpoint = MqEndpoint {
            name: COMMANDS.to_owned(),
            host: authority.host.clone(),
            port: authority.port,
            address,
            user: authority.userinfo.username.clone(),
            password: authority.userinfo.password.clone(),
            vhost: self.uri.vhost.clone(),
            batch: false,
            prefetch: COMMANDS_PREFETCH,
            is_prefetch_fixed: false,
            delivery_limit: 0,
            exclusive: false,
            reads: true,
            writes: true,
            tls: false,
        };
        MqConfig {
            endpoints: vec![endpoint],
            ..MqConfig::default()
        }
    }

    /// Another connection; `heartbeat` in seconds.
    pub(crate) async fn connect(
        &self,
        purpose: &str,
        heartbeat: u16,
    ) -> Result<Connection, BrokerError> {
        let mut uri = self.uri.clone();
        uri.query.heartbeat = Some(heartbeat);
        let name = format!("tce-frame {} {purpose}", self.namespace);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        request(Connection::connect_uri(uri, properties)).await
    }
}

/// A channel that is opened when it is needed, over a connection of its own that others may share.
#[derive(Debug)]
pub(crate) struct Link {
    broker: Broker,
    purpose: &'static str,
    connection: tokio::sync::Mutex<Option<Arc<Connection>>>,
}

impl Link {
    pub(crate) fn new(broker: &Broker, purpose: &'static str) -> Self {
        Self {
            broker: broker.clone(),
            purpose,
            connection: tokio::sync::Mutex::new(None),
        }
    }

    /// A channel of its own.
    pub(crate) async fn channel(&self) -> Result<Channel, BrokerError> {
        let mut connection = self.connection.lock().await;
        let open = match connection.as_ref().filter(|open| open.status().connected()) {
            Some(open) => Arc::clone(open),
            None => {
                let new = Arc::new(self.broker.connect(self.purpose, HEARTBEAT).await?);
                Arc::clone(connection.insert(new))
            }
        };
        drop(connection);
        request(open.create_channel()).await
    }
}

/// Publishes, each message with the user of the login.
#[derive(Debug)]
pub(crate) struct Publisher {
    link: Link,
    user: ShortString,
    channel: tokio::sync::Mutex<Option<Channel>>,
}

impl Publisher {
    pub(crate) fn new(broker: &Broker) -> Self {
        Self {
            link: Link::new(broker, "publish"),
            user: short(broker.user()),
            channel: tokio::sync::Mutex::new(None),
        }
    }

    async fn channel(&self) -> Result<Channel, BrokerError> {
        let mut channel = self.channel.lock().await;
        if let Some(open) = channel.as_ref().filter(|open| open.status().connected()) {
            return Ok(open.clone());
        }
        let new = self.link.channel().await?;
        request(new.confirm_select(ConfirmSelectOptions::default())).await?;
        Ok(channel.insert(new).clone())
    }

    /// Publishes to a queue, and waits until the broker has the message.
    pub(crate) async fn publish(
        &self,
        queue: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), BrokerError> {
        let channel = self.channel().await?;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = properties.with_user_id(self.user.clone());
        let publishing = async {
            let sent = channel.basic_publish(
                ShortString::default(),
                short(queue),
                options,
                body,
                properties,
            );
            sent.await?.await
        };
        match request(publishing).await {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(_))) => Err(BrokerError::NoQueue),
            Ok(_) => Err(BrokerError::Refused(
                "the queue does not take the message".into(),
            )),
            Err(error) => {
                // What waits on this channel is of no use any more: it might be confirmed later.
                *self.channel.lock().await = None;
                Err(error)
            }
        }
    }
}
