//! Calls over message queues: the endpoints of a program's `config.yml`, and
//! who sends and reads there.
//!
//! A CALL leaves by one queue and its RETURN comes by another, named in the
//! CALL. So all endpoints share one table of calls in flight, whichever of them
//! brings a RETURN.

mod publish;
mod read;

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use publish::Manner;
use read::Reader;

use crate::{
    config::{Address, MqConfig, MqEndpoint, NodeType, Settings},
    connection::{Acks, Calls, Connection, Outlet, Parts, QueueLink, Servants, Served},
    error::{ErrorCode, RpcError},
    stop::Stop,
    transport::mq::{Broker, BrokerError, Consumer, Publisher, Reading},
    wire::{Compression, Extra, Limits},
};

/// How many reply queues of strangers are remembered; past it they are looked
/// up anew.
const MAX_STRANGERS: usize = 4096;
/// How long to wait for a broker that refuses the way back to callers.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);
/// How often an ending publisher looks whether it is done.
const DRAIN_EVERY: Duration = Duration::from_millis(5);

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
    served: Served,
    /// Not a receiver: whoever holds one keeps the program from ending.
    stop: watch::Sender<Stop>,
    strangers: Mutex<Strangers>,
}

/// Ways back to callers whose reply queue is no endpoint of ours.
#[derive(Debug, Default)]
struct Strangers {
    /// By broker: the outlet that all of them share.
    outlets: HashMap<(String, u16, String), Arc<Outlet>>,
    /// By the endpoint that a call came by, and what it named.
    connections: HashMap<(String, Option<String>), Connection>,
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
            stop,
            strangers: Mutex::default(),
        };
        let readers = queues.open_returns(&config.pairs).await?;
        queues.open_links(&config.pairs).await?;
        let queues = Arc::new(queues);
        for (endpoint, consumer) in readers {
            queues.read(&endpoint, consumer, queues.stop.subscribe());
        }
        tokio::spawn(watch_deadlines(
            Arc::clone(&queues.calls),
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
        let mut own: Vec<MqEndpoint> = Vec::new();
        for endpoint in self.endpoints.iter().filter(|endpoint| endpoint.writes) {
            let is_paired = pairs.iter().any(|(call, _)| *call == endpoint.name);
            if !is_paired
                && own
                    .iter()
                    .all(|other| broker_of(other) != broker_of(endpoint))
            {
                own.push(reply_endpoint(endpoint));
            }
        }
        for endpoint in own {
            let consumer = self
                .broker
                .consumer(&endpoint, Reading::Exclusive)
                .await
                .map_err(unreachable)?;
            self.servants.insert(endpoint.name.clone(), Arc::default());
            readers.push((endpoint.name.clone(), consumer));
            self.endpoints.push(endpoint);
        }
        Ok(readers)
    }

    async fn open_links(&mut self, pairs: &[(String, String)]) -> Result<(), RpcError> {
        let writable: Vec<_> = self
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.writes)
            .cloned()
            .collect();
        for endpoint in writable {
            let publisher = self
                .broker
                .publisher(&endpoint)
                .await
                .map_err(unreachable)?;
            let outlet = self.outlet();
            outlet.set_up(true);
            self.publish(&outlet, std::future::ready(publisher), &endpoint);
            let paired = pairs
                .iter()
                .find(|(call, _)| *call == endpoint.name)
                .map(|(_, returns)| returns.as_str());
            let own = || {
                self.endpoints
                    .iter()
                    .find(|own| is_reply(own) && broker_of(own) == broker_of(&endpoint))
            };
            let returns_by = paired
                .or_else(|| own().map(|own| own.name.as_str()))
                .map(Arc::from);
            let is_confirmed = endpoint.address.durable;
            let link = QueueLink {
                outlet,
                queue: None,
                returns_by,
                is_confirmed,
            };
            self.links.insert(endpoint.name, link);
        }
        Ok(())
    }

    fn outlet(&self) -> Arc<Outlet> {
        Arc::new(Outlet::new(self.settings.options.connection.send_buffer))
    }

    /// Publishes what comes through `outlet`, once the endpoint is open.
    fn publish(
        &self,
        outlet: &Arc<Outlet>,
        opening: impl Future<Output = Publisher> + Send + 'static,
        endpoint: &MqEndpoint,
    ) {
        let manner = Manner {
            is_persistent: endpoint.address.durable,
            in_batches: endpoint.batch,
        };
        let (outlet, calls) = (Arc::clone(outlet), Arc::clone(&self.calls));
        let (served, stop) = (self.served.clone(), self.stop.subscribe());
        tokio::spawn(async move {
            let publishing = async {
                publish::run(&outlet, opening.await, &calls, manner).await;
            };
            // A servant that is still at work has a RETURN to send.
            let ended = until_ended(stop, || served.count() == 0 && outlet.is_empty());
            tokio::select! {
                () = publishing => {}
                () = ended => {}
            }
        });
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
            served: self.served.clone(),
            acks: Arc::<Acks>::default(),
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
            credentials: Extra::new(),
            queue: link.map(|link| (link, Arc::clone(&self.calls))),
        };
        Connection::new(&self.settings, parts)
    }

    /// The way back to the caller of a CALL that came by `endpoint` and names
    /// `queue` in `__mq_return__`: an endpoint of ours, or a queue at the same
    /// broker.
    pub(super) fn connection_back(
        &self,
        queue: Option<&str>,
        endpoint: &str,
        servants: &Arc<Servants>,
    ) -> Connection {
        let mut strangers = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let key = (endpoint.to_owned(), queue.map(str::to_owned));
        if let Some(connection) = strangers.connections.get(&key) {
            return connection.clone();
        }
        let link = queue.and_then(|queue| match self.links.get(queue) {
            Some(link) => Some(link.clone()),
            None => {
                let outlet = self.stranger_outlet(&mut strangers, endpoint)?;
                Some(QueueLink {
                    outlet,
                    queue: Some(queue.into()),
                    returns_by: None,
                    is_confirmed: false,
                })
            }
        });
        let peer = format!(
            "mq:{}",
            queue.unwrap_or("(a caller that named no reply queue)")
        );
        let connection = self.connection(peer, link, Arc::clone(servants));
        if strangers.connections.len() >= MAX_STRANGERS {
            strangers.connections.clear();
        }
        strangers.connections.insert(key, connection.clone());
        connection
    }

    /// The outlet to the broker of `endpoint` whose messages name their queue.
    fn stranger_outlet(&self, strangers: &mut Strangers, endpoint: &str) -> Option<Arc<Outlet>> {
        let endpoint = self.endpoints.iter().find(|other| other.name == endpoint)?;
        let (host, port, vhost) = broker_of(endpoint);
        let outlet = strangers
            .outlets
            .entry((host.to_owned(), port, vhost.to_owned()))
            .or_insert_with(|| {
                let outlet = self.outlet();
                let default_exchange = MqEndpoint {
                    batch: false,
                    address: nowhere(),
                    ..endpoint.clone()
                };
                let opening = open_in_time(Arc::clone(&self.broker), default_exchange.clone());
                self.publish(&outlet, opening, &default_exchange);
                outlet
            });
        Some(Arc::clone(outlet))
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.settings.options.limits
    }

    pub(super) fn calls(&self) -> &Calls {
        &self.calls
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

/// Fails calls at their deadlines, until the program ends.
async fn watch_deadlines(calls: Arc<Calls>, stop: watch::Receiver<Stop>) {
    let watching = async {
        loop {
            calls.watch_once(None).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = until_ended(stop, || calls.waiting() == 0) => {}
    }
}

/// Waits until the program ends, and `is_done` then.
async fn until_ended(mut stop: watch::Receiver<Stop>, is_done: impl Fn() -> bool) {
    if stop.wait_for(|stop| *stop != Stop::Not).await.is_err() {
        return;
    }
    while *stop.borrow() == Stop::Drain && !is_done() {
        tokio::time::sleep(DRAIN_EVERY).await;
    }
}

fn broker_of(endpoint: &MqEndpoint) -> (&str, u16, &str) {
    (&endpoint.host, endpoint.port, &endpoint.vhost)
}

const REPLY_PREFIX: &str = "tce.reply.";

fn is_reply(endpoint: &MqEndpoint) -> bool {
    endpoint.name.starts_with(REPLY_PREFIX)
}

/// A queue of this process alone, at the broker of `endpoint`.
fn reply_endpoint(endpoint: &MqEndpoint) -> MqEndpoint {
    let name = format!("{REPLY_PREFIX}{:08x}{:08x}", random_32(), random_32());
    let address = Address {
        name: name.clone(),
        ..nowhere()
    };
    MqEndpoint {
        name,
        address,
        reads: true,
        writes: false,
        batch: false,
        ..endpoint.clone()
    }
}

fn nowhere() -> Address {
    Address {
        name: String::new(),
        subject: None,
        node: NodeType::Queue,
        create: false,
        durable: false,
    }
}

/// A number that another process, or this one's next life, hardly has.
fn random_32() -> u32 {
    let bytes = RandomState::new().build_hasher().finish().to_be_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn unreachable(error: BrokerError) -> RpcError {
    RpcError::new(ErrorCode::ConnectFailed, error.to_string()).caused_by(error)
}
