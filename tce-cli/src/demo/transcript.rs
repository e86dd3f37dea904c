//! Shows what happens in the demo, and checks that it is what should happen.

use std::{
    fmt::Debug,
    io::{self, Write},
    time::Duration,
};

use tce_gateway::GatewayError;
use tce_runtime::{Communicator, RpcError, TypedProxy, config::Options, config::problem::Problems};
use tokio::{sync::mpsc, time::timeout};

use super::{generated::test::ServerPrx, servants::EventSender};
use crate::console::Console;

/// Time limit of each step of the demo.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    #[error("the IDL does not compile:\n{0}")]
    Idl(String),
    #[error("can't generate code: {0}")]
    Codegen(#[from] tce_codegen::Error),
    #[error("{0}")]
    Config(#[from] Problems),
    #[error("{0:?}")]
    Gateway(#[from] GatewayError),
    #[error("{0}\nTry this: {advice}", advice = .0.advice())]
    Call(#[from] RpcError),
    #[error("expected {expected}, got {got}")]
    Different { expected: String, got: String },
    #[error("expected `{0}` within {STEP_TIMEOUT:?}")]
    NotInTime(String),
    #[error("can't write the output: {0}")]
    Console(#[from] io::Error),
}

/// Runs a step of the demo with its time limit; `expected` describes the step in the error.
pub(super) async fn in_time<T, E: Into<DemoError>>(
    expected: &str,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, DemoError> {
    match timeout(STEP_TIMEOUT, step).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(DemoError::NotInTime(expected.to_owned())),
    }
}

/// Writes calls, events and results in the order in which they should happen.
pub(super) struct Transcript<'a> {
    console: &'a mut Console,
    sender: EventSender,
    events: mpsc::Receiver<String>,
}

/// A user who is connected to a gateway.
pub(super) struct DemoClient {
    pub(super) user: &'static str,
    /// Name of the gateway.
    pub(super) gateway: String,
    /// The server, reached through the gateway.
    pub(super) server: ServerPrx,
}

impl<'a> Transcript<'a> {
    /// Shows the events of `sender` that arrive at `events`.
    pub(super) fn new(
        console: &'a mut Console,
        sender: EventSender,
        events: mpsc::Receiver<String>,
    ) -> Self {
        Self {
            console,
            sender,
            events,
        }
    }

    /// Where servants report their events.
    pub(super) fn sender(&self) -> EventSender {
        self.sender.clone()
    }

    /// Connects a client to a gateway.
    pub(super) async fn connect(
        &mut self,
        user: &'static str,
        gateway: &str,
        endpoint: &str,
    ) -> Result<DemoClient, DemoError> {
        writeln!(self.console.out, "\n{user} at {gateway}, {endpoint}\n")?;
        let communicator = Communicator::with_options(Options {
            timeout: STEP_TIMEOUT,
            ..Options::default()
        });
        let server = ServerPrx::connect(&communicator, endpoint).await?;
        Ok(DemoClient {
            user,
            gateway: gateway.to_owned(),
            server: server.with_extra([("__token__", user)]),
        })
    }

    /// Shows a call that is about to be made.
    pub(super) fn call(&mut self, mode: &str, call: &str) -> Result<(), DemoError> {
        writeln!(self.console.out, "{mode:13} {call}")?;
        Ok(())
    }

    /// Shows an event, a result or an error.
    pub(super) fn outcome(&mut self, text: &str) -> Result<(), DemoError> {
        writeln!(self.console.out, "{:13}   -> {text}", "")?;
        Ok(())
    }

    /// Shows a result, which has to be the expected one.
    pub(super) fn result(&mut self, got: &str, expected: &str) -> Result<(), DemoError> {
        self.outcome(&format!("{got:?}"))?;
        expect_same(got, expected)
    }

    /// Shows the next event, which has to be a call of this client at the server.
    pub(super) async fn server_call(
        &mut self,
        client: &DemoClient,
        call: &str,
    ) -> Result<(), DemoError> {
        self.event(&format!("server: {call} from {}", client.user))
            .await
    }

    /// Shows the next event, which has to be the expected one.
    pub(super) async fn event(&mut self, expected: &str) -> Result<(), DemoError> {
        let next = timeout(STEP_TIMEOUT, self.events.recv()).await;
        let Ok(Some(got)) = next else {
            return Err(DemoError::NotInTime(expected.to_owned()));
        };
        self.outcome(&got)?;
        expect_same(&got, expected)
    }
}

fn expect_same(got: &str, expected: &str) -> Result<(), DemoError> {
    if got == expected {
        return Ok(());
    }
    Err(DemoError::Different {
        expected: format!("{expected:?}"),
        got: format!("{got:?}"),
    })
}
