//! Servants and their callers in one process, for tests: without a port, with the real
//! marshalling, in both directions.
//!
//! A [`TestServer`] serves within the process. Between it and its clients a relay
//! [records](Calls) each call, and can [disturb](Disturbance) some of them: answer with an
//! error, delay, lose, end the connection.
//!
//! All timeouts follow tokio's clock, which a test may pause
//! (`#[tokio::test(start_paused = true)]`): then waiting takes no time. Only
//! [`Context::deadline`](crate::Context::deadline) is a time of day, and goes on.
//!
//! ```
//! # use tce_runtime::{IncomingCall, Pending, Proxy, Servant, prelude::*, wire::Operation};
//! # struct ServerPrx(Proxy);
//! # impl TypedProxy for ServerPrx {
//! #     fn from_proxy(proxy: Proxy) -> Self { Self(proxy) }
//! #     fn as_proxy(&self) -> &Proxy { &self.0 }
//! # }
//! # impl ServerPrx {
//! #     const ECHO: Operation = Operation::new("test::Server::echo", 2, 0);
//! #     fn echo(&self, text: &str) -> Pending<String> { self.0.call(&Self::ECHO, (text,)) }
//! # }
//! # struct Echo;
//! # impl Servant for Echo {
//! #     fn interfaces(&self) -> &[u16] { &[2] }
//! #     fn dispatch(&self, call: IncomingCall<'_>) {
//! #         call.run(&std::sync::Arc::new(()), |_, (text,): (String,), ctx| async { (ctx, Ok(text)) });
//! #     }
//! # }
//! use tce_runtime::testing::{Disturbance, TestServer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), RpcError> {
//! # let servant = Echo;
//! let server = TestServer::new();
//! server.add_servant(servant);
//! let client: ServerPrx = server.connect().await?;
//! assert_eq!(client.echo("hello").await?, "hello");
//!
//! let sold_out = Fault::new(ErrorCode::Other(1001), "sold out");
//! server.calls().disturb(ServerPrx::ECHO, 1..=1, Disturbance::Answer(sold_out));
//! assert_eq!(client.echo("again").await.unwrap_err().text(), "sold out");
//! assert_eq!(server.calls().of(ServerPrx::ECHO).len(), 2);
//! # Ok(())
//! # }
//! ```

mod calls;

mod relay;

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::mpsc;

pub use calls::{Calls, Disturbance, RecordedCall};

use crate::{
    client::TypedProxy,
    communicator::Communicator,
    connection::Servant,
    error::{ErrorCode, RpcError},
    server::Adapter,
    transport::{ByteStream, pipe::pipe},
};
use relay::Relay;

/// A server within a test, which clients of the same process connect to.
///
/// It must be made within a tokio runtime.
pub struct TestServer {
    communicator: Communicator,
    adapter: Adapter,
    streams: mpsc::Sender<ByteStream>,
    relay: Arc<Relay>,
}

impl TestServer {
    /// A server without servants, with the default options.
    #[must_use]
    pub fn new() -> Self {
        Self::with(&Communicator::new())
    }

    /// A server without servants, with the options of a communicator.
    #[must_use]
    pub fn with(communicator: &Communicator) -> Self {
        let (adapter, streams) = Adapter::on_pipes(communicator);
        adapter.start();
        Self {
            communicator: communicator.clone(),
            adapter,
            streams,
            relay: Arc::new(Relay::new(communicator.options().limits)),
        }
    }

    /// Adds a servant: see [`Adapter::add_servant`].
    pub fn add_servant(&self, servant: impl Servant) -> &Self {
        self.adapter.add_servant(servant);
        self
    }

    /// Connects a client with the options of the server's communicator. Each client has a
    /// connection of its own, and connects again when that is lost.
    ///
    /// # Errors
    /// CONNECT_FAILED once the server is shut down.
    pub async fn connect<P: TypedProxy>(&self) -> Result<P, RpcError> {
        self.connect_from(&self.communicator).await
    }

    /// Connects a client of another communicator.
    ///
    /// # Errors
    /// CONNECT_FAILED once the server is shut down.
    pub async fn connect_from<P: TypedProxy>(
        &self,
        communicator: &Communicator,
    ) -> Result<P, RpcError> {
        let (streams, relay) = (self.streams.clone(), Arc::clone(&self.relay));
        let dialer = Arc::new(move || {
            let (client, client_peer) = pipe();
            let (server, server_peer) = pipe();
            streams.try_send(server).map_err(|_| {
                RpcError::new(ErrorCode::ConnectFailed, "the test server does not accept")
            })?;
            tokio::spawn(Arc::clone(&relay).run(client_peer, server_peer));
            Ok(client)
        });
        Ok(P::new(&communicator.connect_by_pipe(dialer).await?))
    }

    /// The calls of clients.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.relay.to_server
    }

    /// The calls of the server to clients.
    #[must_use]
    pub fn pushes(&self) -> &Calls {
        &self.relay.to_client
    }

    /// Ends all connections, as a broken network does. Clients connect again.
    pub fn disconnect(&self) {
        self.relay.cut_all();
    }

    /// Shuts the server down: see [`Adapter::shutdown`]. Clients can't connect again.
    pub async fn shutdown(&self, timeout: Duration) -> bool {
        self.adapter.shutdown(timeout).await
    }
}

impl Default for TestServer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer")
            .field("calls", &self.calls())
            .field("pushes", &self.pushes())
            .finish_non_exhaustive()
    }
}
