//! PendingCalls over message queues: the endpoints of a program's `config.yml`, and
//! who sends and reads there.
//!
//! A CALL leaves by one queue and its RETURN comes by another, named in the
//! CALL. So all endpoints share one table of calls in flight, whichever of them
//! brings a RETURN.

mod callers;
mod open;
mod publish;
mod read;
mod replies;
mod running;

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use callers::ReplyRoutes;
use read::Reader;

use crate::{
    config::{MqEndpoint, Settings},
    connection::{
        ByQueue, Connection, InFlightCounter, Parts, PendingCalls, QueueChannel, ServantRegistry,
    },
    error::{ErrorCode, RpcError},
    stop::ShutdownPhase,
    transport::{
        broker::{Broker, Consumer},
        delivery::AckBatcher,
    },
    wire::{Compression, Extra, Limits},
};

/// The message queues of a program.
#[derive(Debug)]
pub(crate) struct MessageQueues {
    settings: Arc<Settings>,
    broker: Arc<Broker>,
    endpoints: Vec<MqEndpoint>,
    links: BTreeMap<String, QueueChannel>,
    /// By endpoint that is read: who answers there.
    servants: BTreeMap<String, Arc<ServantRegistry>>,
    calls: Arc<PendingCalls>,
    /// The servants that have a RETURN to send.
    served: InFlightCounter,
    /// The publishers that run.
    publishing: InFlightCounter,
    /// Not a receiver: whoever holds one keeps the program from ending.
    stop: watch::Sender<ShutdownPhase>,
    callers: ReplyRoutes,
}

impl MessageQueues {
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

    /// Begins to read an endpoint that was opened.
    pub(crate) fn read(
        self: &Arc<Self>,
        name: &str,
        consumer: Consumer,
        stop: watch::Receiver<ShutdownPhase>,
    ) {
        let reader = Reader {
            queues: Arc::clone(self),
            endpoint: name.to_owned(),
            servants: self.servants.get(name).cloned().unwrap_or_default(),
            brings_returns: self.is_read(name) || replies::is_own_name(name),
            handling: InFlightCounter::default(),
            acks: Arc::new(AckBatcher::new(consumer.prefetch())),
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
    pub(crate) fn servants(&self, name: &str) -> Result<&Arc<ServantRegistry>, RpcError> {
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
        link: Option<QueueChannel>,
        servants: Arc<ServantRegistry>,
    ) -> Connection {
        let parts = Parts {
            peer,
            compression: Compression::None,
            servants,
            listeners: Arc::default(),
            handler: None,
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

    fn calls(&self) -> &PendingCalls {
        &self.calls
    }
}

fn broker_of(endpoint: &MqEndpoint) -> (&str, u16, &str) {
    (&endpoint.host, endpoint.port, &endpoint.vhost)
}
