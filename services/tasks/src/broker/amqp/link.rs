//! Connections to RabbitMQ, which are made again when they are lost.
//!
//! Publishing and consuming use separate connections: a broker that blocks publishers reads nothing
//! from a connection that has published, acknowledgements included.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use lapin::{
    Channel, Confirmation, Connection, ConnectionProperties, ErrorKind,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    protocol::AMQPErrorKind,
    uri::AMQPUri,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    message::Message,
    topology::{Address, GroupQueue, Topology, short},
};

/// The most time that one request to the broker may take.
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(5);
/// The heartbeat interval that is proposed, in seconds: a connection is lost after twice the interval
/// without a byte of the peer. The URI may set another one.
const HEARTBEAT: u16 = 10;
/// How long a message is published again with the same id before the sender is told.
const SEND_TIME: Duration = Duration::from_secs(5);
/// The longest pause between attempts; each is random.
const PAUSE_MS: u64 = 400;

/// Why the broker did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BrokerError {
    /// The broker does not answer, or the connection is lost.
    #[error("RabbitMQ can't be reached: {0}")]
    Away(Arc<str>),
    /// The broker was lost after a message was sent: it may have it. Sending the id again is safe.
    #[error(
        "RabbitMQ has not confirmed the task: its outcome is unknown, and sending its id again is safe"
    )]
    Unknown,
    /// The broker refuses it.
    #[error("RabbitMQ refuses it: {0}")]
    Refused(Arc<str>),
    /// No queue receives the message.
    #[error("no queue of RabbitMQ receives the task: {0}")]
    NoRoute(Arc<str>),
}

impl From<lapin::Error> for BrokerError {
    fn from(error: lapin::Error) -> Self {
        let text = error.to_string().into();
        match error.kind() {
            ErrorKind::ProtocolError(refusal)
                if matches!(refusal.kind(), AMQPErrorKind::Soft(_)) =>
            {
                Self::Refused(text)
            }
            _ => Self::Away(text),
        }
    }
}

/// Runs a request within [`REQUEST_TIME`].
pub(super) async fn request<T>(
    running: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    match timeout(REQUEST_TIME, running).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(BrokerError::Away("it does not answer".into())),
    }
}

/// A pause of a random time, so that clients do not come back all at once.
pub(super) async fn pause() {
    sleep(Duration::from_millis(fastrand::u64(
        PAUSE_MS / 4..=PAUSE_MS,
    )))
    .await;
}

/// A connection that is made when it is needed.
pub(super) struct Link {
    uri: AMQPUri,
    topology: Topology,
    open: tokio::sync::Mutex<Option<Arc<OpenLink>>>,
}

/// One connection, with a channel that publishes.
struct OpenLink {
    connection: Connection,
    channel: Channel,
    /// The queues of groups and, as `None`, the levels that were declared over it: a broker may have
    /// lost them before.
    declared: Mutex<HashSet<Option<GroupQueue>>>,
}

impl fmt::Debug for Link {
    /// Without the URI, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    pub(super) fn new(uri: &str, topology: &Topology) -> Result<Self, BrokerError> {
        let mut uri: AMQPUri = uri.parse().map_err(|error: String| {
            // The URI itself may hold a password.
            BrokerError::Refused(format!("the URI of the broker: {error}").into())
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        Ok(Self {
            uri,
            topology: topology.clone(),
            open: tokio::sync::Mutex::new(None),
        })
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    async fn open(&self) -> Result<Arc<OpenLink>, BrokerError> {
        let mut open = self.open.lock().await;
        if let Some(open) = &*open
            && open.connection.status().connected()
            && open.channel.status().connected()
        {
            return Ok(Arc::clone(open));
        }
        *open = None;
        let new = Arc::new(request(self.connect()).await?);
        Ok(Arc::clone(open.insert(new)))
    }

    async fn connect(&self) -> lapin::Result<OpenLink> {
        let properties = ConnectionProperties::default().with_connection_name("tce-tasks".into());
        let connection = Connection::connect_uri(self.uri.clone(), properties).await?;
        let channel = connection.create_channel().await?;
        self.topology.declare(&channel).await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(OpenLink {
            connection,
            channel,
            declared: Mutex::default(),
        })
    }

    /// A channel of its own.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        let open = self.open().await?;
        request(open.connection.create_channel()).await
    }

    /// Declares a queue of a group, once a connection.
    pub(super) async fn declare_group(&self, queue: &GroupQueue) -> Result<(), BrokerError> {
        let open = self.open().await?;
        let declared = Some(queue.clone());
        if open.declared.lock().contains(&declared) {
            return Ok(());
        }
        // A refusal closes the channel, so this one serves nothing else.
        let channel = request(open.connection.create_channel()).await?;
        request(self.topology.declare_group(&channel, queue)).await?;
        open.declared.lock().insert(declared);
        Ok(())
    }

    async fn declare_levels(&self, open: &OpenLink) -> Result<(), BrokerError> {
        if open.declared.lock().contains(&None) {
            return Ok(());
        }
        let channel = request(open.connection.create_channel()).await?;
        // 28 queues, each of which the nodes of a cluster agree on.
        let declaring = timeout(4 * REQUEST_TIME, self.topology.declare_levels(&channel)).await;
        declaring.map_err(|_| BrokerError::Away("it does not answer".into()))??;
        open.declared.lock().insert(None);
        Ok(())
    }

    /// Publishes a task to its group, after a delay; confirmed when this returns. It is published again
    /// when the connection is lost, with the same id.
    pub(super) async fn send(&self, message: &Message, delay_ms: u64) -> Result<(), BrokerError> {
        let queue = message.queue();
        let address = self.topology.address(&queue, delay_ms);
        let properties = message.properties();
        let properties = properties.ok_or_else(|| {
            BrokerError::Refused(
                "the id, the operation or an option has more than 255 bytes".into(),
            )
        })?;
        if !address.exchange.is_empty() {
            // For the first time 28 queues, which takes seconds on a slow broker.
            let declaring = async { self.declare_levels(&*self.open().await?).await };
            if let Err(error) = declaring.await {
                tracing::debug!("can't declare the levels of delays: {error}");
            }
        }
        self.publish_repeatedly(Some(&queue), &address, &properties, &message.task.body)
            .await
    }

    /// Publishes to a queue that all groups share.
    pub(super) async fn send_to(
        &self,
        queue: String,
        properties: lapin::BasicProperties,
        body: &[u8],
    ) -> Result<(), BrokerError> {
        let address = Address {
            exchange: String::new(),
            key: queue,
        };
        self.publish_repeatedly(None, &address, &properties, body)
            .await
    }

    /// Repeats a publication while the broker is away, up to [`SEND_TIME`].
    async fn publish_repeatedly(
        &self,
        queue: Option<&GroupQueue>,
        address: &Address,
        properties: &lapin::BasicProperties,
        body: &[u8],
    ) -> Result<(), BrokerError> {
        let deadline = Instant::now() + SEND_TIME;
        let mut last = BrokerError::Away("it does not answer".into());
        let mut was_unroutable = false;
        loop {
            let publishing = async {
                if let Some(queue) = queue {
                    self.declare_group(queue).await?;
                }
                self.publish(address, properties.clone(), body).await
            };
            match timeout_at(deadline, publishing).await {
                Ok(Err(error @ (BrokerError::Away(_) | BrokerError::Unknown))) => last = error,
                // The queue was deleted after this connection had declared it.
                Ok(Err(error @ BrokerError::NoRoute(_))) if queue.is_some() && !was_unroutable => {
                    was_unroutable = true;
                    self.forget_declarations().await;
                    last = error;
                }
                Ok(result) => return result,
                Err(_) => return Err(last),
            }
            if timeout_at(deadline, pause()).await.is_err() {
                return Err(last);
            }
        }
    }

    async fn forget_declarations(&self) {
        if let Some(open) = &*self.open.lock().await {
            open.declared.lock().clear();
        }
    }

    async fn publish(
        &self,
        address: &Address,
        properties: lapin::BasicProperties,
        body: &[u8],
    ) -> Result<(), BrokerError> {
        let open = self.open().await?;
        if !address.exchange.is_empty() {
            self.declare_levels(&open).await?;
        }
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let (exchange, key) = (short(&address.exchange), short(&address.key));
        let sent = open
            .channel
            .basic_publish(exchange, key, options, body, properties);
        let confirm = request(sent).await?;
        match timeout(REQUEST_TIME, confirm).await {
            Ok(Ok(Confirmation::Ack(None))) => Ok(()),
            // The queue has no limit of its length: it has no leader at the moment.
            Ok(Ok(Confirmation::Nack(_))) => {
                Err(BrokerError::Away("the queue does not take the task".into()))
            }
            Ok(Ok(_)) => Err(BrokerError::NoRoute(address.key.as_str().into())),
            Ok(Err(_)) => Err(BrokerError::Unknown),
            Err(_) => {
                // A channel whose confirmations hang is not used again.
                *self.open.lock().await = None;
                Err(BrokerError::Unknown)
            }
        }
    }
}
