//! Connections that a client makes, and makes again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::watch;

use crate::{
    busy_poll::BusyPoll,
    communicator::Communicator,
    config::{Endpoint, Scheme},
    connection::{CloseOnDrop, Connection, MessageHandler, Parts, Status, drive},
    error::{ErrorCode, RpcError},
    shutdown::{ShutdownPhase, reached},
    transport::{ByteStream, socket},
    wire::{Extra, reserved},
};

/// The pauses between attempts to connect again.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

impl Communicator {
    /// Connects to an endpoint (`tcp://host:port`, `ssl://host:port`,
    /// `ws://host:port/path`, `wss://host:port/path`), or to one of the message
    /// queues that were opened (`mq:name`).
    ///
    /// The connection is made again whenever it is lost, after a growing,
    /// jittered pause; a call that finds it down asks for an attempt at once,
    /// and fails with that attempt.
    ///
    /// # Errors
    /// CONNECT_UNREACHABLE or CONNECT_FAILED, where the first attempt fails.
    pub async fn connect(&self, endpoint: &str) -> Result<Connection, RpcError> {
        self.connect_with(endpoint, None).await
    }

    /// The same, with `handler` to decide about the messages that come by sockets.
    /// Over a message queue none come by the way by which they leave.
    ///
    /// # Errors
    /// As [`Communicator::connect`].
    pub async fn connect_with_handler(
        &self,
        endpoint: &str,
        handler: Arc<dyn MessageHandler>,
    ) -> Result<Connection, RpcError> {
        self.connect_with(endpoint, Some(handler)).await
    }

    async fn connect_with(
        &self,
        endpoint: &str,
        handler: Option<Arc<dyn MessageHandler>>,
    ) -> Result<Connection, RpcError> {
        let endpoint: Endpoint = endpoint
            .parse()
            .map_err(|error| RpcError::new(ErrorCode::ConnectFailed, format!("{error}")))?;
        if endpoint.scheme == Scheme::Mq {
            return self.queues()?.connect(&endpoint.host);
        }
        // Subscribed first: a shutdown from here on waits for this connection.
        let stop = self.subscribe();
        let stream = socket::connect(&endpoint, self.settings()).await?;
        let parts = Parts {
            peer: endpoint.to_string(),
            compression: endpoint.compression(),
            servants: Arc::default(),
            listeners: Arc::default(),
            handler,
            credentials: credentials(self),
            queue: None,
        };
        let mut connection = Connection::new(self.settings(), parts);
        connection.keep = Some(Arc::new(CloseOnDrop(Arc::clone(&connection.inner))));
        let mut up = connection.inner.status.subscribe();
        tokio::spawn(supervise(connection.without_keep(), endpoint, stream, stop));
        // The task sets the status before it reads or writes; a peer that closes
        // at once may have changed it again by now.
        let _ = up.changed().await;
        Ok(connection)
    }
}

fn credentials(communicator: &Communicator) -> Extra {
    let options = communicator.options();
    let pairs = [
        (reserved::TOKEN, &options.token),
        (reserved::DEVICE_ID, &options.device_id),
    ];
    pairs
        .into_iter()
        .filter_map(|(key, value)| Some((key, value.clone()?)))
        .collect()
}

/// Keeps a connection up until it is closed or the communicator ends.
async fn supervise(
    connection: Connection,
    endpoint: Endpoint,
    first: ByteStream,
    stop: watch::Receiver<ShutdownPhase>,
) {
    let inner = &connection.inner;
    let longest = inner.settings.options.busy_poll_time;
    let _polls = longest.and_then(BusyPoll::begin);
    let mut failures = 0;
    let mut stream = first;
    loop {
        let down = Status::Down {
            attempts: failures,
            failure: None,
        };
        drive(&connection, stream, down, stop.clone()).await;
        let again = tokio::select! {
            stream = reconnect(&connection, &endpoint, &mut failures) => Some(stream),
            () = ending(&connection, stop.clone()) => None,
        };
        match again {
            Some(again) => stream = again,
            None => break,
        }
    }
    inner.status.send_replace(Status::Closed);
}

/// Ready when a connection must not be made any more.
async fn ending(connection: &Connection, mut stop: watch::Receiver<ShutdownPhase>) {
    let mut status = connection.inner.status.subscribe();
    tokio::select! {
        _ = status.wait_for(|status| matches!(status, Status::Closed)) => {}
        () = reached(&mut stop, ShutdownPhase::Draining) => {}
    }
}

async fn reconnect(connection: &Connection, endpoint: &Endpoint, failures: &mut u64) -> ByteStream {
    let inner = &connection.inner;
    let builder = ExponentialBuilder::default()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(BACKOFF_MAX);
    let mut pauses = builder.with_jitter().without_max_times().build();
    loop {
        // A caller that waits is worth an attempt; otherwise there is time.
        tokio::select! {
            () = inner.demand.notified() => {}
            () = tokio::time::sleep(pauses.next().unwrap_or(BACKOFF_MAX)) => {}
        }
        match socket::connect(endpoint, &inner.settings).await {
            Ok(stream) => return stream,
            Err(error) => {
                *failures += 1;
                tracing::debug!(peer = connection.peer(), "can't connect: {error}");
                let failure = Some((error.code(), error.text().into()));
                inner.set_status(Status::Down {
                    attempts: *failures,
                    failure,
                });
            }
        }
    }
}

/// Waits until the connection is up; fails with the next attempt that fails.
pub(super) async fn ensure_up(connection: &Connection, deadline: Instant) -> Result<(), RpcError> {
    let inner = &connection.inner;
    let mut status = inner.status.subscribe();
    let mut seen = None;
    loop {
        match &*status.borrow_and_update() {
            Status::Up => return Ok(()),
            Status::Closed => {
                return Err(RpcError::new(
                    ErrorCode::ConnectionLost,
                    "the connection is closed",
                ));
            }
            Status::Down { attempts, failure } => match (seen, failure) {
                (Some(seen), Some((code, text))) if *attempts > seen => {
                    return Err(RpcError::new(*code, &**text));
                }
                _ => seen = seen.or(Some(*attempts)),
            },
        }
        inner.demand.notify_one();
        if tokio::time::timeout_at(deadline.into(), status.changed())
            .await
            .is_err()
        {
            return Err(RpcError::new(
                ErrorCode::Timeout,
                "the connection was not made in time",
            ));
        }
    }
}
