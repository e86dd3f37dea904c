//! A connection to a broker, made anew when it is lost, and what is declared
//! over it.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::Mutex;

use super::{
    BrokerError, address::AmqpAddress, channel::Channel, connect::connect, error::AmqpError,
    request::Owner, session::Session,
};
use crate::{
    config::{MqEndpoint, NodeType, Settings},
    transport::socket,
};

/// How long one attempt to open an endpoint may take.
const ATTEMPT_TIME: Duration = Duration::from_secs(5);
/// The pauses between attempts to reach a broker that is away.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(3);

/// A connection that is made anew when it is lost.
#[derive(Debug)]
pub(super) struct Link {
    address: AmqpAddress,
    settings: Arc<Settings>,
    current: Mutex<Option<Current>>,
}

/// The connection of a link, closed when it is dropped.
#[derive(Debug)]
struct Current(Arc<Session>);

impl Drop for Current {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Link {
    pub(super) fn new(address: AmqpAddress, settings: &Arc<Settings>) -> Self {
        Self {
            address,
            settings: Arc::clone(settings),
            current: Mutex::new(None),
        }
    }

    /// A new channel, on a new connection where the old one is lost.
    pub(super) async fn channel(&self) -> Result<Channel, AmqpError> {
        let mut current = self.current.lock().await;
        if let Some(Current(session)) = &*current {
            match Channel::open(session).await {
                Err(_) if session.has_ended() => {}
                opened => return opened,
            }
        }
        // Large, and rarely needed: it must not lie in all futures that may come here.
        let new = Current(Box::pin(self.connect()).await?);
        Channel::open(&current.insert(new).0).await
    }

    async fn connect(&self) -> Result<Arc<Session>, AmqpError> {
        let connected = socket::connect(&self.address.endpoint(), &self.settings).await;
        let stream = connected.map_err(|error| AmqpError::lost(error.text()))?;
        connect(stream, &self.address).await
    }

    /// Declares what an address names, as durable; what exists with other
    /// properties is used as it is.
    ///
    /// A failed declaration costs its channel, so it has one of its own.
    pub(super) async fn declare(&self, endpoint: &MqEndpoint) -> Result<(), AmqpError> {
        let address = &endpoint.address;
        if !address.create {
            return Ok(());
        }
        let channel = self.channel().await?;
        let name = address.name.as_str();
        let declared = match address.node {
            NodeType::Queue => channel.declare_queue(name, Owner::All).await.map(drop),
            NodeType::Topic => channel.declare_topic(name).await,
        };
        match declared {
            Err(error) if error.is_precondition_failed() => {
                tracing::warn!(
                    endpoint = endpoint.name,
                    "`{name}` exists with other properties and is used as it is"
                );
                Ok(())
            }
            declared => declared,
        }
    }
}

/// One attempt to open an endpoint. A broker that takes a connection and says
/// nothing must not stop us for ever.
pub(super) async fn attempt<T>(
    endpoint: &MqEndpoint,
    opening: impl Future<Output = Result<T, AmqpError>>,
) -> Result<T, BrokerError> {
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
pub(super) async fn reopen<T, F: Future<Output = Result<T, AmqpError>>>(
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
