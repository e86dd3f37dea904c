//! Queues for RETURNs: the queues of this process, and those that the CALLs of
//! others name in `__mq_return__`.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use super::{MessageQueues, QueueReceiver, broker_of};
use crate::{
    config::{Address, MqEndpoint, NodeType, REPLY_QUEUE_PREFIX},
    connection::{
        Channel, Connection, ConnectionParts, PublishQueue, QueueChannel, ServantRegistry,
        max_message,
    },
    transport::broker::{Broker, Publisher},
    wire::Compression,
};

/// How many connections to callers are cached.
const MAX_CACHED: usize = 4096;
/// The pause before another attempt to open a reply exchange.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Connections to callers, opened when they are first needed.
#[derive(Debug, Default)]
pub(super) struct ReplyRoutes(Mutex<RouteCache>);

#[derive(Debug, Default)]
struct RouteCache {
    /// By broker: the publish queue for all queues that are not in the
    /// configuration.
    publish_queues: HashMap<(String, u16, String), Arc<PublishQueue>>,
    /// By the endpoint that a CALL came by, and its `__mq_return__`.
    connections: HashMap<(String, Option<String>), Connection>,
}

impl ReplyRoutes {
    /// Opens the connections to callers anew.
    pub(super) fn forget(&self) {
        self.0.lock().connections.clear();
    }
}

impl MessageQueues {
    /// The connection to the caller of a CALL that came by `endpoint` and names
    /// `queue` in `__mq_return__`: an endpoint of the configuration, or a queue
    /// at the same broker.
    pub(super) fn reply_connection(
        &self,
        queue: Option<&str>,
        endpoint: &str,
        receiver: &QueueReceiver,
    ) -> Connection {
        let mut routes = self.reply_routes.0.lock();
        let key = (endpoint.to_owned(), queue.map(str::to_owned));
        if let Some(connection) = routes.connections.get(&key) {
            return connection.clone();
        }
        let channel = queue.and_then(|queue| match self.channels.get(queue) {
            Some(channel) => Some(channel.clone()),
            None => self.reply_channel(queue, endpoint, &mut routes),
        });
        let connection = match channel {
            Some(channel) => {
                let peer = format!("mq:{}", key.1.as_deref().unwrap_or_default());
                let member = receiver.member.get().cloned();
                let channel = QueueChannel { member, ..channel };
                self.connection(peer, channel, Arc::clone(&receiver.servants))
            }
            None => self.unreachable_caller(),
        };
        if routes.connections.len() >= MAX_CACHED {
            routes.connections.clear();
        }
        routes.connections.insert(key, connection.clone());
        connection
    }

    /// The channel to a queue that is not in the configuration, at the broker of
    /// `endpoint`.
    fn reply_channel(
        &self,
        queue: &str,
        endpoint: &str,
        routes: &mut RouteCache,
    ) -> Option<QueueChannel> {
        let endpoint = self.endpoints.iter().find(|other| other.name == endpoint)?;
        let (host, port, vhost) = broker_of(endpoint);
        let broker = (host.to_owned(), port, vhost.to_owned());
        let publish_queue = routes.publish_queues.entry(broker).or_insert_with(|| {
            let exchange = default_exchange(endpoint);
            let opening = open_publisher(Arc::clone(&self.broker), exchange.clone());
            self.spawn_publisher(&exchange, opening)
        });
        Some(QueueChannel {
            publish_queue: Arc::clone(publish_queue),
            queue: Some(queue.into()),
            reply_to: self.own_reply_queue(endpoint),
            is_confirmed: false,
            is_topic: false,
            member: None,
            max_message: max_message(&self.settings),
        })
    }

    /// A closed connection: a CALL without `__mq_return__` can't be answered, and
    /// calls to its caller fail at once.
    fn unreachable_caller(&self) -> Connection {
        let peer = "mq:(no reply queue)".to_owned();
        let parts = ConnectionParts::stream(&self.settings, peer, Compression::None);
        let connection = Connection::new(&self.settings, parts);
        connection.close();
        connection
    }

    /// This process's own reply queue at the broker of `endpoint`, if there is
    /// one.
    pub(super) fn own_reply_queue(&self, endpoint: &MqEndpoint) -> Option<Arc<str>> {
        let own = self
            .endpoints
            .iter()
            .find(|own| is_own_name(&own.name) && broker_of(own) == broker_of(endpoint))?;
        Some(own.name.as_str().into())
    }

    /// A connection that calls through `channel`.
    pub(super) fn connection(
        &self,
        peer: String,
        channel: QueueChannel,
        servants: Arc<ServantRegistry>,
    ) -> Connection {
        let parts = ConnectionParts {
            peer,
            channel: Channel::Queue(channel),
            calls: Arc::clone(&self.calls),
            served: self.served.clone(),
            servants,
            listeners: Arc::default(),
            handler: None,
            login: None,
            move_request: None,
        };
        Connection::new(&self.settings, parts)
    }
}

/// Opens an endpoint for writing, however long its broker is away.
async fn open_publisher(broker: Arc<Broker>, endpoint: MqEndpoint) -> Publisher {
    loop {
        match broker.publisher(&endpoint).await {
            Ok(publisher) => return publisher,
            Err(error) => tracing::warn!("can't send RETURNs: {error}"),
        }
        tokio::time::sleep(REOPEN_PAUSE).await;
    }
}

/// Whether a queue belongs to this process.
pub(super) fn is_own_name(name: &str) -> bool {
    name.starts_with(REPLY_QUEUE_PREFIX)
}

/// A reply queue for this process, at the broker of `endpoint`.
pub(super) fn own_reply_endpoint(endpoint: &MqEndpoint) -> MqEndpoint {
    let name = format!("{REPLY_QUEUE_PREFIX}{:08x}{:08x}", random_32(), random_32());
    MqEndpoint {
        address: queue_address(name.clone()),
        name,
        reads: true,
        writes: false,
        batch: false,
        ..endpoint.clone()
    }
}

/// The default exchange of the broker of `endpoint`; each message names its
/// queue.
fn default_exchange(endpoint: &MqEndpoint) -> MqEndpoint {
    MqEndpoint {
        address: queue_address(String::new()),
        reads: false,
        writes: true,
        batch: false,
        ..endpoint.clone()
    }
}

fn queue_address(name: String) -> Address {
    Address {
        name,
        subject: None,
        node: NodeType::Queue,
        create: false,
        durable: false,
    }
}

/// A random number, so that the names and sequences of two processes, or of two
/// runs of one, hardly ever collide.
pub(super) fn random_32() -> u32 {
    let bytes = RandomState::new().build_hasher().finish().to_be_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
