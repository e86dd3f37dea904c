//! The server and the client of the demo, and what is shown of them.

use std::{
    fmt::Debug,
    io::{self, Write},
    time::Duration,
};

use tce_runtime::{Adapter, Communicator, RpcError, config::Options};
use tokio::sync::mpsc;

use super::servants::{Gateway, Server, Told};
use crate::{
    console::Console,
    test::{ITerminalGatewayServerServant, ServerPrx, ServerServant},
};

/// How long anything may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the demo did not go as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Surprise {
    #[error("the IDL does not compile:\n{0}")]
    Idl(String),
    #[error("there is no code: {0}")]
    Codegen(#[from] tce_codegen::Error),
    #[error("{0}\nTry this: {advice}", advice = .0.advice())]
    Call(#[from] RpcError),
    #[error("expected {expected}, got {got}")]
    Different { expected: String, got: String },
    #[error("expected `{0}`, and it did not happen within {PATIENCE:?}")]
    NotTold(&'static str),
    #[error("can't write: {0}")]
    Console(#[from] io::Error),
}

/// The server that runs, a proxy to it, and what its servants tell.
pub(super) struct Stage<'a> {
    pub(super) server: ServerPrx,
    pub(super) told: Told,
    happened: mpsc::Receiver<String>,
    console: &'a mut Console,
}

impl<'a> Stage<'a> {
    /// Starts the server on a free port, and connects to it.
    pub(super) async fn set(console: &'a mut Console) -> Result<Self, Surprise> {
        let communicator = Communicator::with_options(Options {
            timeout: PATIENCE,
            ..Options::default()
        });
        let (told, happened) = mpsc::channel(16);
        let adapter = Adapter::listen(&communicator, "tcp://127.0.0.1:0").await?;
        adapter
            .add_servant(ServerServant::new(Server(told.clone())))
            .add_servant(ITerminalGatewayServerServant::new(Gateway(told.clone())))
            .start();
        let endpoint = adapter.endpoint().to_string();
        writeln!(
            console.out,
            "serve    {endpoint}: Server, ITerminalGatewayServer\n"
        )?;
        Ok(Self {
            server: ServerPrx::connect(&communicator, &endpoint).await?,
            told,
            happened,
            console,
        })
    }

    /// Shows a call that is about to be made.
    pub(super) fn call(&mut self, mode: &str, call: &str) -> Result<(), Surprise> {
        writeln!(self.console.out, "{mode:13} {call}")?;
        Ok(())
    }

    /// Shows what came of a call.
    pub(super) fn came(&mut self, what: &str) -> Result<(), Surprise> {
        writeln!(self.console.out, "{:13}   -> {what}", "")?;
        Ok(())
    }

    /// Shows a result, which has to be the expected one.
    pub(super) fn result<T: Debug + PartialEq>(
        &mut self,
        got: &T,
        expected: &T,
    ) -> Result<(), Surprise> {
        self.came(&format!("{got:?}"))?;
        same(got, expected)
    }

    /// Shows what a servant tells next, which has to be the expected words.
    pub(super) async fn tells(&mut self, expected: &'static str) -> Result<(), Surprise> {
        let next = tokio::time::timeout(PATIENCE, self.happened.recv()).await;
        let Ok(Some(got)) = next else {
            return Err(Surprise::NotTold(expected));
        };
        self.came(&got)?;
        same(got.as_str(), expected)
    }
}

fn same<T: Debug + PartialEq + ?Sized>(got: &T, expected: &T) -> Result<(), Surprise> {
    if got == expected {
        return Ok(());
    }
    Err(Surprise::Different {
        expected: format!("{expected:?}"),
        got: format!("{got:?}"),
    })
}
