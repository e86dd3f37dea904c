//! Calls over message queues: the endpoints of a program's `config.yml`, and
//! who sends and reads there.
//!
//! A CALL leaves by one queue and its RETURN comes by another, named in the
//! CALL. So all endpoints share one table of calls in flight, whichever of them
//! brings a RETURN.

mod callers;
mod publish;
mod read;
mod replies;

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use callers::Callers;
use publish::Manner;
use read::Reader;
use replies::{random_32, reply_endpoint};

use crate::{
    config::{MqConfig, MqEndpoint, Settings},
    connection::{
        Acks, ByQueue, Calls, Connection, Outlet, Parts, QueueLink, Servants, Served, Serving,
    },
    error::{ErrorCode, RpcError},
    stop::{DRAIN_EVERY, Stop, reached},
    transport::mq::{Broker, BrokerError, Consumer, Publisher, Reading},
    wire::{Compression, Extra, Limits},
};

/// The message queues of a program.
#[derive(Debug)]
pub(crate) struct MessageQueues {
    settings: Arc<Settings>,
    broker: Arc<Broker>,
    endpoints: Vec<MqEndpoint>,
    links: BTreeMap<String, QueueLink>,
    /// By endpoint that is read: who answers there.
    servants: BTreeMap<String, Arc<Servants>>,
    calls: Arc<Calls>,
    /// The servants that have a RETURN to send.
    served: Served,
    /// The publishers that run.
    publishing: Served,
    /// Not a receiver: whoever holds one keeps the program from ending.
    stop: watch::Sender<Stop>,
    callers: Callers,
}

impl MessageQueues {
    /// Opens the endpoints that the program writes to, and those by which it
    /// gets its RETURNs. Those that adapters read are opened by them.
    pub(crate) async fn open(
        settings: &Arc<Settings>,
        config: MqConfig,
        broker: Broker,
        stop: watch::Sender<Stop>,
    ) -> Result<Arc<Self>, RpcError> {
        let limit = settings.options.connection.calls_in_flight;
        let mut queues = Self {
            settings: Arc::clone(settings),
            broker: Arc::new(broker),
            endpoints: config.endpoints,
            links: BTreeMap::new(),
            servants: BTreeMap::new(),
            calls: Arc::new(Calls::new(limit, random_32())),
            served: Served::default(),
            publishing: Served::default(),
            stop,
            callers: Callers::default(),
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
            let opening = self.broker.consumer(&endpoint, Reading::Exclusive);
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
            let outlet = self.publish(&endpoint, std::future::ready(publisher));
            let pair = pairs.iter().find(|(call, _)| *call == endpoint.name);
            let link = QueueLink {
                outlet,
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
    fn own_replies_at(&self, endpoint: &MqEndpoint) -> Option<Arc<str>> {
        let at_broker = |own: &&MqEndpoint| broker_of(own) == broker_of(endpoint);
        let own = self.endpoints.iter().filter(|own| replies::is_own(own));
        Some(own.into_iter().find(at_broker)?.name.as_str().into())
    }

    /// Publishes what comes through the outlet that it returns, once the
    /// endpoint is open.
    fn publish(
        &self,
        endpoint: &MqEndpoint,
        opening: impl Future<Output = Publisher> + Send + 'static,
    ) -> Arc<Outlet> {
        let limit = self.settings.options.connection.send_buffer;
        let outlet = Arc::new(Outlet::new(limit));
        let manner = Manner {
            is_persistent: endpoint.address.durable,
            in_batches: endpoint.batch,
        };
        let publishing = Publishing {
            outlet: Arc::clone(&outlet),
            calls: Arc::clone(&self.calls),
            served: self.served.clone(),
            _running: self.publishing.begin(),
        };
        tokio::spawn(publishing.run(opening, manner, self.stop.subscribe()));
        outlet
    }

    fn endpoint(&self, name: &str) -> Result<&MqEndpoint, RpcError> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.name == name)
            .ok_or_else(|| {
                let known: Vec<_> = self
                    .endpoints
                    .iter()
                    .map(|endpoint| endpoint.name.as_str())
                    .collect();
                let text = format!(
                    "there is no endpoint `{name}`; the configuration has {}",
                    known.join(", ")
                );
                RpcError::new(ErrorCode::ConnectFailed, text)
            })
    }

    /// Opens an endpoint for reading.
    pub(crate) async fn consumer(&self, name: &str) -> Result<Consumer, RpcError> {
        self.broker
            .consumer(self.endpoint(name)?, Reading::Shared)
            .await
            .map_err(unreachable)
    }

    /// Begins to read an endpoint that was opened.
    pub(crate) fn read(
        self: &Arc<Self>,
        name: &str,
        consumer: Consumer,
        stop: watch::Receiver<Stop>,
    ) {
        let reader = Reader {
            queues: Arc::clone(self),
            endpoint: name.to_owned(),
            servants: self.servants.get(name).cloned().unwrap_or_default(),
            brings_returns: self.is_read(name) || replies::is_own_name(name),
            handling: Served::default(),
            acks: Arc::new(Acks::new(consumer.prefetch())),
        };
        tokio::spawn(reader.run(consumer, stop));
    }

    /// Whether an endpoint is read already, for the RETURNs that it brings.
    pub(crate) fn is_read(&self, name: &str) -> bool {
        self.links
            .values()
            .any(|link| link.returns_by.as_deref() == Some(name))
    }

    /// Who answers calls that come by an endpoint.
    pub(crate) fn servants(&self, name: &str) -> Result<&Arc<Servants>, RpcError> {
        let endpoint = self.endpoint(name)?;
        self.servants
            .get(&endpoint.name)
            .ok_or_else(|| RpcError::new(ErrorCode::ConnectFailed, "it is not read"))
    }

    /// A connection that calls by an endpoint.
    pub(crate) fn connect(&self, name: &str) -> Result<Connection, RpcError> {
        let endpoint = self.endpoint(name)?;
        let link = self.links.get(&endpoint.name).ok_or_else(|| {
            let text = format!(
                "the endpoint `{name}` is not opened for writing: give it `af_mode: AF_WRITE`"
            );
            RpcError::new(ErrorCode::ConnectFailed, text)
        })?;
        // Who is called back is found where the RETURNs come.
        let returns = link
            .returns_by
            .as_deref()
            .and_then(|name| self.servants.get(name));
        Ok(self.connection(
            format!("mq:{name}"),
            Some(link.clone()),
            returns.cloned().unwrap_or_default(),
        ))
    }

    fn connection(
        &self,
        peer: String,
        link: Option<QueueLink>,
        servants: Arc<Servants>,
    ) -> Connection {
        let parts = Parts {
            peer,
            compression: Compression::None,
            servants,
            listeners: Arc::default(),
            relay: None,
            credentials: Extra::new(),
            queue: link.map(|link| ByQueue {
                link,
                calls: Arc::clone(&self.calls),
                served: self.served.clone(),
            }),
        };
        Connection::new(&self.settings, parts)
    }

    fn limits(&self) -> &Limits {
        &self.settings.options.limits
    }

    fn calls(&self) -> &Calls {
        &self.calls
    }
}

/// A publisher's task.
struct Publishing {
    outlet: Arc<Outlet>,
    calls: Arc<Calls>,
    served: Served,
    _running: Serving,
}

impl Publishing {
    /// Publishes until the program ends.
    async fn run(
        self,
        opening: impl Future<Output = Publisher>,
        manner: Manner,
        stop: watch::Receiver<Stop>,
    ) {
        let outlet = &self.outlet;
        let mut publishing = std::pin::pin!(async {
            publish::run(outlet, opening.await, &self.calls, manner).await;
        });
        // A servant that is still at work has a RETURN to send.
        let is_done = || self.served.count() == 0 && outlet.is_empty();
        tokio::select! {
            () = &mut publishing => {}
            () = until_ended(stop, is_done) => {}
        }
        outlet.leave();
    }
}

/// Fails calls at their deadlines, until the program ends and nobody can call
/// any more.
async fn watch_deadlines(calls: Arc<Calls>, publishing: Served, stop: watch::Receiver<Stop>) {
    let watching = async {
        loop {
            calls.watch_once(None).await;
        }
    };
    let is_done = || calls.waiting() == 0 && publishing.count() == 0;
    tokio::select! {
        () = watching => {}
        () = until_ended(stop, is_done) => {}
    }
    publishing.fewer_than(1).await;
    calls.lose_all("the message queues of this communicator were closed");
}

/// Waits until the program ends, and `is_done` then.
async fn until_ended(stop: watch::Receiver<Stop>, is_done: impl Fn() -> bool) {
    let mut drain = stop.clone();
    let done = async {
        reached(&mut drain, Stop::Drain).await;
        while !is_done() {
            tokio::time::sleep(DRAIN_EVERY).await;
        }
    };
    let mut now = stop;
    tokio::select! {
        () = done => {}
        () = reached(&mut now, Stop::Now) => {}
    }
}

fn broker_of(endpoint: &MqEndpoint) -> (&str, u16, &str) {
    (&endpoint.host, endpoint.port, &endpoint.vhost)
}

fn unreachable(error: BrokerError) -> RpcError {
    RpcError::new(ErrorCode::ConnectFailed, error.to_string()).caused_by(error)
}
