//! How the endpoints of a program are opened.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use super::{
    MessageQueues, broker_of,
    callers::ReplyRoutes,
    replies::{is_own, random_32, reply_endpoint},
    running::watch_deadlines,
};
use crate::{
    config::{MqConfig, MqEndpoint, Settings},
    connection::{InFlightCounter, PendingCalls, QueueChannel},
    error::{ErrorCode, RpcError},
    stop::ShutdownPhase,
    transport::{
        broker::{Broker, Consumer},
        delivery::{BrokerError, ConsumeMode},
    },
};

impl MessageQueues {
    /// Opens the endpoints that the program writes to, and those by which it
    /// gets its RETURNs. Those that adapters read are opened by them.
    pub(crate) async fn open(
        settings: &Arc<Settings>,
        config: MqConfig,
        broker: Broker,
        stop: watch::Sender<ShutdownPhase>,
    ) -> Result<Arc<Self>, RpcError> {
        let limit = settings.options.connection.calls_in_flight;
        let mut queues = Self {
            settings: Arc::clone(settings),
            broker: Arc::new(broker),
            endpoints: config.endpoints,
            links: BTreeMap::new(),
            servants: BTreeMap::new(),
            calls: Arc::new(PendingCalls::new(limit, random_32())),
            served: InFlightCounter::default(),
            publishing: InFlightCounter::default(),
            stop,
            callers: ReplyRoutes::default(),
        };
        let readers = queues.open_returns(&config.pairs).await?;
        queues.open_links(&config.pairs).await?;
        let queues = Arc::new(queues);
        for (endpoint, consumer) in readers {
            queues.read(&endpoint, consumer, queues.stop.subscribe());
        }
        tokio::spawn(watch_deadlines(
            Arc::clone(&queues.calls),
            queues.publishing.clone(),
            queues.stop.subscribe(),
        ));
        Ok(queues)
    }

    /// Opens what brings RETURNs: the endpoints of `endpoint_pairs`, and a
    /// queue of our own for each broker that an endpoint without a pair is at.
    async fn open_returns(
        &mut self,
        pairs: &[(String, String)],
    ) -> Result<Vec<(String, Consumer)>, RpcError> {
        for endpoint in &self.endpoints {
            self.servants.insert(endpoint.name.clone(), Arc::default());
        }
        let mut readers: Vec<(String, Consumer)> = Vec::new();
        for (_, returns) in pairs {
            if readers.iter().all(|(name, _)| name != returns) {
                let consumer = self.consumer(returns).await?;
                readers.push((returns.clone(), consumer));
            }
        }
        for endpoint in self.unanswered(pairs) {
            let opening = self.broker.consumer(&endpoint, ConsumeMode::Exclusive);
            let consumer = opening.await.map_err(unreachable)?;
            self.servants.insert(endpoint.name.clone(), Arc::default());
            readers.push((endpoint.name.clone(), consumer));
            self.endpoints.push(endpoint);
        }
        Ok(readers)
    }

    /// Queues for the RETURNs of endpoints that have no pair, one a broker.
    fn unanswered(&self, pairs: &[(String, String)]) -> Vec<MqEndpoint> {
        let mut own: Vec<MqEndpoint> = Vec::new();
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.writes) {
            let has_pair = pairs.iter().any(|(call, _)| *call == endpoint.name);
            let has_queue = |other: &MqEndpoint| broker_of(other) == broker_of(endpoint);
            if !has_pair && !own.iter().any(has_queue) {
                own.push(reply_endpoint(endpoint));
            }
        }
        own
    }

    async fn open_links(&mut self, pairs: &[(String, String)]) -> Result<(), RpcError> {
        let writable = self.endpoints.iter().filter(|endpoint| endpoint.writes);
        for endpoint in writable.cloned().collect::<Vec<_>>() {
            let opening = self.broker.publisher(&endpoint);
            let publisher = opening.await.map_err(unreachable)?;
            let publish_queue = self.publish(&endpoint, std::future::ready(publisher));
            let pair = pairs.iter().find(|(call, _)| *call == endpoint.name);
            let link = QueueChannel {
                publish_queue,
                queue: None,
                returns_by: match pair {
                    Some((_, returns)) => Some(returns.as_str().into()),
                    None => self.own_replies_at(&endpoint),
                },
                is_confirmed: endpoint.address.durable,
            };
            self.links.insert(endpoint.name, link);
        }
        Ok(())
    }

    /// The queue of our own by which RETURNs come from the broker of `endpoint`,
    /// if there is one.
    pub(super) fn own_replies_at(&self, endpoint: &MqEndpoint) -> Option<Arc<str>> {
        let at_broker = |own: &&MqEndpoint| broker_of(own) == broker_of(endpoint);
        let own = self.endpoints.iter().filter(|own| is_own(own));
        Some(own.into_iter().find(at_broker)?.name.as_str().into())
    }

    /// Opens an endpoint for reading.
    pub(crate) async fn consumer(&self, name: &str) -> Result<Consumer, RpcError> {
        self.broker
            .consumer(self.endpoint(name)?, ConsumeMode::Shared)
            .await
            .map_err(unreachable)
    }
}

fn unreachable(error: BrokerError) -> RpcError {
    RpcError::new(ErrorCode::ConnectFailed, error.to_string()).caused_by(error)
}
