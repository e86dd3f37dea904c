//! Calls over message queues: the endpoints of a program's `config.yml`, and the
//! tasks that publish and consume there.
//!
//! A CALL leaves by one queue and its RETURN arrives by another, which the CALL
//! names. So all endpoints share one table of pending calls, whichever of them a
//! RETURN arrives by.
//!
//! The modules extend [`MessageQueues`], each by one concern.
mod reply_routes;
mod publisher;
mod consumer;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use tokio::sync::watch;

use crate::{
    advice::{BROKER_ADVICE, CONFIG_ADVICE, TOPIC_ADVICE},
    config::{MqConfig, MqEndpoint, NodeType, Options, SharedOptions},
    connection::{
        Connection, MessageHandler, PendingCalls, QueueChannel, ServantRegistry, max_message,
    },
    error::{ErrorCode, RpcError},
    in_flight::InFlightCounter,
    roster::Roster,
    shutdown::ShutdownPhase,
    transport::{
        broker::{Broker, Consumer},
        delivery::{AckBatcher, BrokerError, ConsumeMode},
    },
};
use consumer::ConsumerTask;
use publisher::DeadlineTask;
use reply_routes::{ReplyRoutes, is_own_name, own_reply_endpoint, random_32};

/// The message queues of a program.
#[derive(Debug)]
pub(crate) struct MessageQueues {
    settings: Arc<SharedOptions>,
    broker: Arc<Broker>,
    endpoints: Vec<MqEndpoint>,
    /// By the name of an endpoint that is written.
    channels: BTreeMap<String, QueueChannel>,
    /// By the name of an endpoint that is read.
    receivers: BTreeMap<String, Arc<QueueReceiver>>,
    calls: Arc<PendingCalls>,
    /// The servants that have a RETURN to send.
    served: InFlightCounter,
    /// The publisher tasks that run.
    publishers: InFlightCounter,
    /// A sender, since a shutdown waits for all receivers.
    phase: watch::Sender<ShutdownPhase>,
    reply_routes: ReplyRoutes,
}

/// What receives the messages of one endpoint.
pub(crate) struct QueueReceiver {
    pub(crate) servants: Arc<ServantRegistry>,
    /// Decides first, in a gateway.
    pub(crate) handler: OnceLock<Arc<dyn MessageHandler>>,
    /// This program as a member of the topic.
    pub(crate) member: OnceLock<Arc<Roster>>,
}

impl QueueReceiver {
    pub(crate) fn new(options: &Options) -> Arc<Self> {
        Arc::new(Self {
            servants: Arc::new(ServantRegistry::new(&options.server_interceptors)),
            handler: OnceLock::new(),
            member: OnceLock::new(),
        })
    }
}

impl MessageQueues {
    /// Opens the endpoints that the program writes to, and those by which its
    /// RETURNs arrive. Adapters open those that they read.
    pub(crate) async fn open(
        settings: &Arc<SharedOptions>,
        config: MqConfig,
        broker: Broker,
        phase: watch::Sender<ShutdownPhase>,
    ) -> Result<Arc<Self>, RpcError> {
        let limit = settings.options.connection.calls_in_flight;
        let mut queues = Self {
            settings: Arc::clone(settings),
            broker: Arc::new(broker),
            endpoints: config.endpoints,
            channels: BTreeMap::new(),
            receivers: BTreeMap::new(),
            calls: Arc::new(PendingCalls::new(limit, random_32())),
            served: InFlightCounter::default(),
            publishers: InFlightCounter::default(),
            phase,
            reply_routes: ReplyRoutes::default(),
        };
        let consumers = queues.open_returns(&config.pairs).await?;
        queues.open_channels(&config.pairs).await?;
        let queues = Arc::new(queues);
        for (endpoint, consumer) in consumers {
            queues.consume(&endpoint, consumer, queues.phase.subscribe());
        }
        let deadlines = DeadlineTask {
            calls: Arc::clone(&queues.calls),
            publishers: queues.publishers.clone(),
        };
        tokio::spawn(deadlines.run(queues.phase.subscribe()));
        Ok(queues)
    }

    /// Opens the queues by which RETURNs arrive: the endpoints of
    /// `endpoint_pairs`, and an own queue at each broker of an endpoint without a
    /// pair.
    async fn open_returns(
        &mut self,
        pairs: &[(String, String)],
    ) -> Result<Vec<(String, Consumer)>, RpcError> {
        for endpoint in &self.endpoints {
            let receiver = QueueReceiver::new(&self.settings.options);
            self.receivers.insert(endpoint.name.clone(), receiver);
        }
        let mut consumers: Vec<(String, Consumer)> = Vec::new();
        for (_, returns) in pairs {
            if consumers.iter().all(|(name, _)| name != returns) {
                let consumer = self.consumer(returns).await?;
                consumers.push((returns.clone(), consumer));
            }
        }
        for endpoint in self.missing_reply_queues(pairs) {
            let opening = self.broker.consumer(&endpoint, ConsumeMode::Exclusive);
            let consumer = opening.await.map_err(broker_failed)?;
            let receiver = QueueReceiver::new(&self.settings.options);
            self.receivers.insert(endpoint.name.clone(), receiver);
            consumers.push((endpoint.name.clone(), consumer));
            self.endpoints.push(endpoint);
        }
        Ok(consumers)
    }

    /// Reply queues for the endpoints that have no pair, one for each broker.
    fn missing_reply_queues(&self, pairs: &[(String, String)]) -> Vec<MqEndpoint> {
        let mut own: Vec<MqEndpoint> = Vec::new();
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.writes) {
            let has_pair = pairs.iter().any(|(call, _)| *call == endpoint.name);
            let is_at_broker = |other: &MqEndpoint| broker_of(other) == broker_of(endpoint);
            if !has_pair && !own.iter().any(is_at_broker) {
                own.push(own_reply_endpoint(endpoint));
            }
        }
        own
    }

    async fn open_channels(&mut self, pairs: &[(String, String)]) -> Result<(), RpcError> {
        let writable = self.endpoints.iter().filter(|endpoint| endpoint.writes);
        for endpoint in writable.cloned().collect::<Vec<_>>() {
            let opening = self.broker.publisher(&endpoint);
            let publisher = opening.await.map_err(broker_failed)?;
            let publish_queue = self.spawn_publisher(&endpoint, std::future::ready(publisher));
            let pair = pairs.iter().find(|(call, _)| *call == endpoint.name);
            let channel = QueueChannel {
                publish_queue,
                queue: None,
                reply_to: match pair {
                    Some((_, returns)) => Some(returns.as_str().into()),
                    None => self.own_reply_queue(&endpoint),
                },
                is_confirmed: endpoint.address.durable,
                is_topic: endpoint.address.node == NodeType::Topic,
                member: None,
                max_message: max_message(&self.settings),
            };
            self.channels.insert(endpoint.name, channel);
        }
        Ok(())
    }

    /// Opens an endpoint for reading.
    pub(crate) async fn consumer(&self, name: &str) -> Result<Consumer, RpcError> {
        self.broker
            .consumer(self.endpoint(name)?, ConsumeMode::Shared)
            .await
            .map_err(broker_failed)
    }

    /// Spawns the consumer task of an endpoint that was opened.
    pub(crate) fn consume(
        self: &Arc<Self>,
        name: &str,
        consumer: Consumer,
        phase: watch::Receiver<ShutdownPhase>,
    ) {
        let receiver = self.receivers.get(name).cloned();
        let new_receiver = || QueueReceiver::new(&self.settings.options);
        let task = ConsumerTask {
            queues: Arc::clone(self),
            endpoint: name.to_owned(),
            receiver: receiver.unwrap_or_else(new_receiver),
            brings_returns: self.is_consumed(name) || is_own_name(name),
            unfinished: InFlightCounter::default(),
            acks: Arc::new(AckBatcher::new(consumer.prefetch())),
            is_prefetch_fixed: self
                .endpoint(name)
                .is_ok_and(|endpoint| endpoint.is_prefetch_fixed),
        };
        tokio::spawn(task.run(consumer, phase));
    }

    /// Whether an endpoint is read already, for the RETURNs that arrive by it.
    pub(crate) fn is_consumed(&self, name: &str) -> bool {
        self.channels
            .values()
            .any(|channel| channel.reply_to.as_deref() == Some(name))
    }

    /// What receives the messages of an endpoint.
    pub(crate) fn receiver(&self, name: &str) -> Result<&Arc<QueueReceiver>, RpcError> {
        let endpoint = self.endpoint(name)?;
        self.receivers.get(&endpoint.name).ok_or_else(|| {
            let text = format!(
                "the endpoint `{name}` is not opened for reading: give it `af_mode: AF_READ`"
            );
            RpcError::new(ErrorCode::ConnectFailed, text).advised(CONFIG_ADVICE)
        })
    }

    /// A connection that calls by an endpoint.
    pub(crate) fn connect(&self, name: &str) -> Result<Connection, RpcError> {
        let endpoint = self.endpoint(name)?;
        let channel = self.channels.get(&endpoint.name).ok_or_else(|| {
            let text = format!(
                "the endpoint `{name}` is not opened for writing: give it `af_mode: AF_WRITE`"
            );
            RpcError::new(ErrorCode::ConnectFailed, text).advised(CONFIG_ADVICE)
        })?;
        // The peer's calls to us arrive where its RETURNs do.
        let reply_to = channel.reply_to.as_deref();
        let receiver = reply_to.and_then(|name| self.receivers.get(name));
        let servants = receiver.map(|receiver| Arc::clone(&receiver.servants));
        Ok(self.connection(
            format!("mq:{name}"),
            channel.clone(),
            servants.unwrap_or_else(|| {
                Arc::new(ServantRegistry::new(
                    &self.settings.options.server_interceptors,
                ))
            }),
        ))
    }

    /// Makes this program a member of the topic of an endpoint: its RETURNs name it from now
    /// on.
    pub(crate) fn join(&self, name: &str, member: &Arc<Roster>) -> Result<(), RpcError> {
        let endpoint = self.endpoint(name)?;
        if endpoint.address.node != NodeType::Topic {
            let text = format!("the endpoint `{name}` is a queue, which has no members");
            return Err(RpcError::new(ErrorCode::ConnectFailed, text).advised(TOPIC_ADVICE));
        }
        let receiver = self.receiver(name)?;
        receiver.member.set(Arc::clone(member)).map_err(|_| {
            let text = format!("this program is a member of the topic `{name}` already");
            RpcError::new(ErrorCode::ConnectFailed, text).advised(TOPIC_ADVICE)
        })?;
        self.reply_routes.forget();
        Ok(())
    }

    fn endpoint(&self, name: &str) -> Result<&MqEndpoint, RpcError> {
        let mut endpoints = self.endpoints.iter();
        endpoints
            .find(|endpoint| endpoint.name == name)
            .ok_or_else(|| {
                let names = self.endpoints.iter().map(|it| it.name.as_str());
                let names: Vec<_> = names.filter(|name| !is_own_name(name)).collect();
                let text = format!(
                    "there is no endpoint `{name}`; the configuration has {}",
                    names.join(", ")
                );
                RpcError::new(ErrorCode::ConnectFailed, text).advised(CONFIG_ADVICE)
            })
    }
}

impl std::fmt::Debug for QueueReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueReceiver")
            .field("servants", &self.servants)
            .finish_non_exhaustive()
    }
}

fn broker_failed(error: BrokerError) -> RpcError {
    RpcError::new(ErrorCode::ConnectFailed, error.to_string())
        .advised(BROKER_ADVICE)
        .caused_by(error)
}

/// Host, port and virtual host: endpoints with the same share a broker.
fn broker_of(endpoint: &MqEndpoint) -> (&str, u16, &str) {
    (&endpoint.host, endpoint.port, &endpoint.vhost)
}
