//! The ways back to callers, by what their CALLs name in `__mq_return__`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{MessageQueues, broker_of, replies::default_exchange};
use crate::{
    config::MqEndpoint,
    connection::{Connection, PublishQueue, QueueChannel, ServantRegistry},
    transport::broker::{Broker, Publisher},
};

/// How many callers' queues are remembered; past it they are looked up anew.
const MAX_CALLERS: usize = 4096;
/// How long to wait for a broker that refuses the way back to callers.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Ways back to callers, opened when they are first needed.
#[derive(Debug, Default)]
pub(super) struct ReplyRoutes(Mutex<Ways>);

#[derive(Debug, Default)]
struct Ways {
    /// By broker: the publish_queue to all queues that are no endpoints of ours.
    publish_queues: HashMap<(String, u16, String), Arc<PublishQueue>>,
    /// By the endpoint that a call came by, and what it named.
    connections: HashMap<(String, Option<String>), Connection>,
}

impl MessageQueues {
    /// The way back to the caller of a CALL that came by `endpoint` and names
    /// `queue` in `__mq_return__`: an endpoint of ours, or a queue at the same
    /// broker.
    pub(super) fn connection_back(
        &self,
        queue: Option<&str>,
        endpoint: &str,
        servants: &Arc<ServantRegistry>,
    ) -> Connection {
        let mut ways = self
            .callers
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let key = (endpoint.to_owned(), queue.map(str::to_owned));
        if let Some(connection) = ways.connections.get(&key) {
            return connection.clone();
        }
        let link = queue.and_then(|queue| match self.links.get(queue) {
            Some(link) => Some(link.clone()),
            None => self.link_to(queue, endpoint, &mut ways),
        });
        let peer = format!("mq:{}", queue.unwrap_or("(no reply queue)"));
        let connection = self.connection(peer, link, Arc::clone(servants));
        if queue.is_none() {
            // Who calls such a caller back hears at once that nothing leads
            // there.
            connection.close();
        }
        if ways.connections.len() >= MAX_CALLERS {
            ways.connections.clear();
        }
        ways.connections.insert(key, connection.clone());
        connection
    }

    /// A way to a queue that is no endpoint of ours, at the broker of
    /// `endpoint`.
    fn link_to(&self, queue: &str, endpoint: &str, ways: &mut Ways) -> Option<QueueChannel> {
        let endpoint = self.endpoints.iter().find(|other| other.name == endpoint)?;
        let (host, port, vhost) = broker_of(endpoint);
        let broker = (host.to_owned(), port, vhost.to_owned());
        let publish_queue = ways.publish_queues.entry(broker).or_insert_with(|| {
            let exchange = default_exchange(endpoint);
            let opening = open_in_time(Arc::clone(&self.broker), exchange.clone());
            self.publish(&exchange, opening)
        });
        Some(QueueChannel {
            publish_queue: Arc::clone(publish_queue),
            queue: Some(queue.into()),
            returns_by: self.own_replies_at(endpoint),
            is_confirmed: false,
        })
    }
}

/// Opens an endpoint for writing, however long its broker is away.
async fn open_in_time(broker: Arc<Broker>, endpoint: MqEndpoint) -> Publisher {
    loop {
        match broker.publisher(&endpoint).await {
            Ok(publisher) => return publisher,
            Err(error) => tracing::warn!("can't send replies: {error}"),
        }
        tokio::time::sleep(REOPEN_PAUSE).await;
    }
}
