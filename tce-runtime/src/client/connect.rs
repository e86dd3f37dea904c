//! Connections that a client opens, and reconnects.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, sleep_until},
};

use crate::{
    advice::ENDPOINT_ADVICE,
    busy_poll::BusyPoll,
    communicator::Communicator,
    config::{Endpoint, Scheme, SharedOptions},
    connection::{
        ClientLogin, Connection, ConnectionParts, MessageHandler, Reconnect, RunningStream, Status,
        run_next_stream, run_stream,
    },
    error::{ErrorCode, RpcError},
    in_flight::now,
    shutdown::{ShutdownPhase, reached},
    transport::{
        ByteStream,
        pipe::{self, PipeDialer},
        socket,
    },
    wire::Compression,
};

/// The shortest pause between two attempts to connect, also where calls ask for one.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest pause, jitter included. Pauses start from the shortest again only after
/// a connection that has lasted longer than this.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

impl Communicator {
    /// Connects to an endpoint: `tcp://host:port`, `ssl://host:port`,
    /// `ws://host:port/path`, `wss://host:port/path`, or `mq:name` for a message
    /// queue of [`Communicator::open_mq`].
    ///
    /// A lost connection is reconnected after a pause of 50 ms to 5 s, growing
    /// and jittered, which is short again after a connection that has lasted 5 s. A
    /// call on a lost connection asks for an attempt at once, at most every 50 ms, and
    /// fails if it is awaited and that attempt fails. If the peer has
    /// refused the connection, for example since its login has expired, only a call
    /// connects again.
    ///
    /// # Errors
    /// CONNECT_UNREACHABLE or CONNECT_FAILED if the first attempt fails.
    pub async fn connect(&self, endpoint: &str) -> Result<Connection, RpcError> {
        self.connect_with(endpoint, None).await
    }

    /// As [`Communicator::connect`], with a handler that decides first about the
    /// messages that arrive by a socket. It is not used over a message queue,
    /// where messages arrive by another queue than they leave by.
    ///
    /// # Errors
    /// As [`Communicator::connect`].
    #[doc(hidden)]
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
        let endpoint: Endpoint = endpoint.parse().map_err(|error| {
            RpcError::new(ErrorCode::ConnectFailed, format!("{error}")).advised(ENDPOINT_ADVICE)
        })?;
        if endpoint.scheme == Scheme::Mq {
            return self.queues()?.connect(&endpoint.host);
        }
        self.connect_by(Dialer::Socket(endpoint), handler).await
    }

    /// Connects by a pipe to an adapter of this process.
    pub(crate) async fn connect_by_pipe(&self, dialer: PipeDialer) -> Result<Connection, RpcError> {
        self.connect_by(Dialer::Pipe(dialer), None).await
    }

    async fn connect_by(
        &self,
        dialer: Dialer,
        handler: Option<Arc<dyn MessageHandler>>,
    ) -> Result<Connection, RpcError> {
        // Subscribed first, so that a shutdown from now on waits for this connection.
        let phase = self.subscribe();
        let stream = dialer.dial(self.settings()).await?;
        let login = ClientLogin::new(self.options());
        if let Some(login) = &login {
            login.renew().await?;
        }
        let parts = ConnectionParts {
            // A handler counts what each stream carries.
            move_request: handler.is_none().then(Box::default),
            handler,
            login,
            ..dialer.parts(self.settings())
        };
        let connection = Connection::new(self.settings(), parts).closing_on_drop();
        let (_, seen) = connection.inner.status.seen();
        tokio::spawn(supervise(connection.weak_clone(), dialer, stream, phase));
        // The task sets the status before it reads or writes. A peer that closes
        // at once may have changed it again.
        connection.inner.status.changed_since(seen).await;
        Ok(connection)
    }
}

/// Opens the streams of a connection.
enum Dialer {
    Socket(Endpoint),
    Pipe(PipeDialer),
}

impl Dialer {
    async fn dial(&self, settings: &SharedOptions) -> Result<ByteStream, RpcError> {
        match self {
            Self::Socket(endpoint) => socket::connect(endpoint, settings).await,
            Self::Pipe(dial) => dial(),
        }
    }

    fn parts(&self, settings: &SharedOptions) -> ConnectionParts {
        let (peer, compression) = match self {
            Self::Socket(endpoint) => (endpoint.to_string(), endpoint.compression()),
            Self::Pipe(_) => (pipe::PEER.to_owned(), Compression::None),
        };
        ConnectionParts::stream(settings, peer, compression)
    }
}

/// Reconnects until the connection is closed or the communicator shuts down.
async fn supervise(
    connection: Connection,
    dialer: Dialer,
    first: ByteStream,
    phase: watch::Receiver<ShutdownPhase>,
) {
    let inner = &connection.inner;
    // Declared first, so that it is dropped last.
    let mut abandon = AbandonOnDrop(Some(&connection));
    let poll_time = inner.settings.options.busy_poll_time;
    let _busy_poll = poll_time.and_then(BusyPoll::begin);
    let mut attempts = Attempts::new();
    let mut stream = first;
    loop {
        let policy = run(&connection, &dialer, stream, &mut attempts, &phase).await;
        stream = tokio::select! {
            stream = async {
                if policy == Reconnect::WhenCalled {
                    // The same login would be refused again.
                    tokio::select! {
                        () = inner.reconnect_now.notified() => inner.reconnect_now.notify_one(),
                        () = another_token(inner.login.as_deref()) => {}
                    }
                }
                reconnect(&connection, &dialer, &mut attempts).await
            } => stream,
            () = ended(&connection, phase.clone()) => break,
        };
    }
    abandon.0 = None;
    inner.status.set_unless_closed(Status::Closed);
}

/// Waits until the provider gives another token than the one that was refused; without a
/// provider forever.
async fn another_token(login: Option<&ClientLogin>) {
    match login {
        Some(login) => login.another_token().await,
        None => std::future::pending().await,
    }
}

/// Runs the connection over `first`, and over those that replace it when the peer asks
/// for it, until one is lost. Returns whether this side connects again.
async fn run(
    connection: &Connection,
    dialer: &Dialer,
    first: ByteStream,
    attempts: &mut Attempts,
    phase: &watch::Receiver<ShutdownPhase>,
) -> Reconnect {
    let down = |attempts: &Attempts| Status::Down {
        attempts: attempts.failed,
        failure: None,
    };
    let weak = || connection.weak_clone();
    if let Some(request) = &connection.inner.move_request {
        request.reset();
    }
    let mut connected_at = now();
    let first = run_stream(weak(), first, down(attempts), phase.clone());
    let mut running: RunningStream = Box::pin(first);
    let policy = loop {
        let after = down(attempts);
        let next = async {
            let stream = next_stream(connection, dialer, connected_at, attempts).await;
            run_next_stream(weak(), stream, after, phase.clone()).await
        };
        tokio::select! {
            policy = &mut running => break policy,
            next = next => if let Some(next) = next {
                // The one before ends with the calls that it carries.
                tokio::spawn(std::mem::replace(&mut running, next));
                attempts.connected_since(connected_at);
                connected_at = now();
            }
        }
    };
    attempts.connected_since(connected_at);
    policy
}

/// Tells later calls that nothing reconnects any more: the task is dropped with
/// its runtime.
struct AbandonOnDrop<'a>(Option<&'a Connection>);

impl Drop for AbandonOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.inner.status.set_unless_closed(Status::Abandoned);
        }
    }
}

/// Waits until the connection is closed or the communicator shuts down.
async fn ended(connection: &Connection, mut phase: watch::Receiver<ShutdownPhase>) {
    tokio::select! {
        () = connection.inner.status.closed() => {}
        () = reached(&mut phase, ShutdownPhase::Draining) => {}
    }
}

/// The attempts to reconnect.
struct Attempts {
    pauses: ExponentialBackoff,
    /// When the last attempt began.
    last_at: Instant,
    /// How many have failed.
    failed: u64,
}

fn pauses() -> ExponentialBackoff {
    // Jitter adds up to the pause itself.
    ExponentialBuilder::default()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(BACKOFF_MAX / 2)
        .with_jitter()
        .without_max_times()
        .build()
}

impl Attempts {
    fn new() -> Self {
        Self {
            pauses: pauses(),
            last_at: now(),
            failed: 0,
        }
    }

    /// Begins with the shortest pause again if the connection has lasted.
    fn connected_since(&mut self, connected_at: Instant) {
        if now() - connected_at > BACKOFF_MAX {
            self.pauses = pauses();
        }
    }

    /// Waits until the next attempt is due, or a call asks for one.
    async fn next(&mut self, asked: &Notify) {
        let earliest = self.last_at + BACKOFF_MIN;
        let asked = async {
            asked.notified().await;
            sleep_until(earliest.into()).await;
        };
        tokio::select! {
            () = asked => {}
            () = sleep(self.pauses.next().unwrap_or(BACKOFF_MAX)) => {}
        }
        self.last_at = now();
    }
}

/// Opens a stream, and asks for its token.
async fn connect(connection: &Connection, dialer: &Dialer) -> Result<ByteStream, RpcError> {
    let inner = &connection.inner;
    let stream = dialer.dial(&inner.settings).await?;
    if let Some(login) = &inner.login {
        login.renew().await?;
    }
    Ok(stream)
}

async fn reconnect(
    connection: &Connection,
    dialer: &Dialer,
    attempts: &mut Attempts,
) -> ByteStream {
    let inner = &connection.inner;
    loop {
        attempts.next(&inner.reconnect_now).await;
        match connect(connection, dialer).await {
            Ok(stream) => return stream,
            Err(error) => {
                attempts.failed += 1;
                tracing::debug!(peer = connection.peer(), "can't connect: {error}");
                let failure = Some((error.code(), error.text().into()));
                inner.status.set_unless_closed(Status::Down {
                    attempts: attempts.failed,
                    failure,
                });
            }
        }
    }
}

/// The stream that replaces one whose peer has asked this side to go elsewhere. While no
/// address accepts it, the present one is used on.
async fn next_stream(
    connection: &Connection,
    dialer: &Dialer,
    connected_at: Instant,
    attempts: &mut Attempts,
) -> ByteStream {
    let inner = &connection.inner;
    let Some(request) = &inner.move_request else {
        return std::future::pending().await;
    };
    request.due().await;
    let never = Notify::new();
    if now() - connected_at <= BACKOFF_MAX {
        // A peer that asks on each connection causes no more attempts than one that ends
        // each.
        attempts.next(&never).await;
    }
    loop {
        match connect(connection, dialer).await {
            Ok(stream) => {
                request.reset();
                return stream;
            }
            Err(error) => {
                tracing::debug!(peer = connection.peer(), "can't connect elsewhere: {error}");
            }
        }
        attempts.next(&never).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The feature `std` of backon seeds its jitter; without it, all clients of a
    /// server that restarts would reconnect at the same instants.
    #[test]
    fn two_clients_pause_differently_and_never_longer_than_the_maximum() {
        let first: Vec<_> = pauses().take(20).collect();
        let second: Vec<_> = pauses().take(20).collect();
        assert_ne!(first, second);
        assert!(first.iter().all(|pause| *pause <= BACKOFF_MAX));
        assert!(first.iter().all(|pause| *pause >= BACKOFF_MIN));
    }
}
