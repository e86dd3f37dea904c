//! A connection to a broker, made anew when it is lost, and what is declared
//! over it.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::StreamExt;
use lapin::{
    Channel, Connection, ConnectionProperties, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::FieldTable,
    uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use tokio::sync::{Mutex, watch};

use super::BrokerError;
use crate::config::{MqEndpoint, NodeType};

const HEARTBEAT_SECONDS: u16 = 10;
/// How long one attempt to open an endpoint may take.
const ATTEMPT_TIME: Duration = Duration::from_secs(5);
/// The pauses between attempts to reach a broker that is away.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// AMQP's reply code for a queue that exists with other properties.
const PRECONDITION_FAILED: u16 = 406;

/// Where a broker is, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AmqpAddress {
    host: String,
    port: u16,
    vhost: String,
    user: String,
    password: String,
    tls: bool,
}

impl AmqpAddress {
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

    fn uri(&self) -> AMQPUri {
        AMQPUri {
            scheme: if self.tls {
                AMQPScheme::AMQPS
            } else {
                AMQPScheme::AMQP
            },
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
                heartbeat: Some(HEARTBEAT_SECONDS),
                ..AMQPQueryString::default()
            },
        }
    }
}

/// A connection that is made anew when it is lost.
#[derive(Debug)]
pub(super) struct Link {
    uri: AMQPUri,
    session: Mutex<Option<Session>>,
}

/// One connection, while it lasts.
#[derive(Debug)]
struct Session {
    connection: Connection,
    life: Life,
}

/// Hears of the end of the connection that a channel is on.
#[derive(Debug, Clone)]
pub(super) struct Life(watch::Receiver<()>);

impl Life {
    /// Watches a connection, in a task that ends with it.
    fn of(connection: &Connection) -> Self {
        let (ended, life) = watch::channel(());
        let events = connection.events_listener();
        let status = connection.status().clone();
        tokio::spawn(async move {
            let mut events = std::pin::pin!(events);
            // A channel's errors come here too.
            while status.connected() && events.next().await.is_some() {}
            drop(ended);
        });
        Self(life)
    }

    /// Waits until the connection is lost.
    pub(super) async fn end(mut self) {
        while self.0.changed().await.is_ok() {}
    }
}

impl Link {
    pub(super) fn new(address: &AmqpAddress) -> Self {
        Self {
            uri: address.uri(),
            session: Mutex::new(None),
        }
    }

    /// A new channel, on a new connection where the old one is lost.
    pub(super) async fn channel(&self) -> lapin::Result<(Channel, Life)> {
        let mut session = self.session.lock().await;
        if let Some(session) = &*session
            && let Ok(channel) = session.connection.create_channel().await
        {
            return Ok((channel, session.life.clone()));
        }
        let properties = ConnectionProperties::default().with_connection_name("tce".into());
        let connection = Connection::connect_uri(self.uri.clone(), properties).await?;
        let channel = connection.create_channel().await?;
        let life = Life::of(&connection);
        *session = Some(Session {
            connection,
            life: life.clone(),
        });
        Ok((channel, life))
    }

    /// Declares what an address names, as durable; what exists with other
    /// properties is used as it is.
    ///
    /// A failed declaration costs its channel, so it has one of its own.
    pub(super) async fn declare(&self, endpoint: &MqEndpoint) -> lapin::Result<()> {
        let address = &endpoint.address;
        if !address.create {
            return Ok(());
        }
        let (channel, _) = self.channel().await?;
        let name = address.name.as_str();
        match declare_on(&channel, name, address.node).await {
            Err(error) if is_precondition_failed(&error) => {
                tracing::warn!(
                    endpoint = endpoint.name,
                    "`{name}` exists with other properties and is used as it is"
                );
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => channel.close(200, "declared".into()).await,
        }
    }
}

async fn declare_on(channel: &Channel, name: &str, node: NodeType) -> lapin::Result<()> {
    let arguments = FieldTable::default();
    match node {
        NodeType::Queue => channel
            .queue_declare(name.into(), QueueDeclareOptions::durable(), arguments)
            .await
            .map(drop),
        NodeType::Topic => {
            let options = ExchangeDeclareOptions {
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            channel
                .exchange_declare(name.into(), ExchangeKind::Topic, options, arguments)
                .await
        }
    }
}

fn is_precondition_failed(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == PRECONDITION_FAILED)
}

/// One attempt to open an endpoint. A broker that takes a connection and says
/// nothing must not stop us for ever.
pub(super) async fn attempt<T>(
    endpoint: &MqEndpoint,
    opening: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    if endpoint.tls && !cfg!(feature = "amqp-tls") {
        let text = "this program is built without TLS to brokers: enable the feature `amqp-tls` of tce-runtime";
        return Err(BrokerError(format!("endpoint `{}`: {text}", endpoint.name)));
    }
    let MqEndpoint {
        name, host, port, ..
    } = endpoint;
    match tokio::time::timeout(ATTEMPT_TIME, opening).await {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(error)) => Err(BrokerError(format!(
            "endpoint `{name}`: the broker at {host}:{port}: {error}"
        ))),
        Err(_) => Err(BrokerError(format!(
            "endpoint `{name}`: the broker at {host}:{port} did not answer within {ATTEMPT_TIME:?}"
        ))),
    }
}

/// Attempts until one succeeds, with pauses that grow.
pub(super) async fn reopen<T, F: Future<Output = lapin::Result<T>>>(
    endpoint: &MqEndpoint,
    open: impl Fn() -> F,
) -> T {
    let backoff = ExponentialBuilder::default()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(BACKOFF_MAX);
    let mut pauses = backoff.with_jitter().without_max_times().build();
    loop {
        match attempt(endpoint, open()).await {
            Ok(opened) => return opened,
            Err(error) => tracing::warn!("can't reopen: {error}"),
        }
        tokio::time::sleep(pauses.next().unwrap_or(BACKOFF_MAX)).await;
    }
}
