//! Clients of a gateway.

use std::path::Path;

use tce_runtime::{
    Communicator, RpcError, TypedProxy,
    config::{Options, TlsConfig},
};
use tce_tests::test::{ITerminalServant, ServerPrx};
use tokio::sync::mpsc;

use super::{
    raw::{Message, Raw, string},
    seed::Terminal,
    watching::within,
};

/// The capacity for pushes, more than any test leaves unread.
const PUSHES: usize = 1024;

/// A client, and the pushes that it receives.
pub(crate) struct Client {
    pub(crate) server: ServerPrx,
    pub(crate) pushed: mpsc::Receiver<String>,
}

impl Client {
    /// A client that trusts the certificate in `folder`.
    pub(crate) async fn connect(
        address: &str,
        folder: &Path,
        options: Options,
    ) -> Result<Self, RpcError> {
        let communicator = Communicator::with_options(Options {
            tls: TlsConfig {
                authority: Some(folder.join("server.pem")),
                ..TlsConfig::default()
            },
            ..options
        });
        let server = within(ServerPrx::connect(&communicator, address)).await?;
        let (sender, pushed) = mpsc::channel(PUSHES);
        let terminal = ITerminalServant::new(Terminal(sender));
        server.connection().add_servant(terminal);
        Ok(Self { server, pushed })
    }

    /// Asserts that its calls are answered.
    pub(crate) async fn works(&self) {
        let answer = within(self.server.echo("works")).await;
        assert_eq!(answer.expect("the server answers"), "Yah! works");
    }

    /// Its user id, as servers see it.
    pub(crate) async fn who(&self) -> String {
        within(self.server.echo("who"))
            .await
            .expect("the server answers")
    }

    /// The next push.
    pub(crate) async fn next_push(&mut self) -> String {
        within(self.pushed.recv())
            .await
            .expect("the connection lives")
    }
}

/// A call of `echo`, byte for byte.
pub(crate) fn echo(sequence: u32, text: &str) -> Message {
    Message::call(sequence, 0, string(text))
}

/// Asserts that a client's calls are answered, byte for byte.
pub(crate) async fn works(client: &mut Raw) {
    let answer = client.call(&echo(77, "works")).await;
    assert_eq!((answer.sequence, answer.params), (77, string("Yah! works")));
}
