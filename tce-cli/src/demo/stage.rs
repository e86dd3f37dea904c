//! One client of the demo, and what is shown of it.

use std::{fmt::Debug, io::Write};

use tce_runtime::{Communicator, TypedProxy, config::Options};
use tokio::{sync::mpsc, time::timeout};

use super::{
    servants::Told,
    surprise::{PATIENCE, Surprise},
};
use crate::{console::Console, test::ServerPrx};

/// Where everything happens that is shown.
pub(super) struct Stage<'a> {
    console: &'a mut Console,
    pub(super) told: Told,
    happened: mpsc::Receiver<String>,
}

/// A user at a gateway.
pub(super) struct Client {
    pub(super) user: &'static str,
    /// The name of the gateway.
    pub(super) gateway: String,
    /// The server, through the gateway.
    pub(super) server: ServerPrx,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
        console: &'a mut Console,
        told: Told,
        happened: mpsc::Receiver<String>,
    ) -> Self {
        Self {
            console,
            told,
            happened,
        }
    }

    /// Connects a client to a gateway.
    pub(super) async fn enter(
        &mut self,
        user: &'static str,
        gateway: &str,
        endpoint: &str,
    ) -> Result<Client, Surprise> {
        writeln!(self.console.out, "\n{user} at {gateway}, {endpoint}\n")?;
        let communicator = Communicator::with_options(Options {
            timeout: PATIENCE,
            ..Options::default()
        });
        let server = ServerPrx::connect(&communicator, endpoint).await?;
        Ok(Client {
            user,
            gateway: gateway.to_owned(),
            server: server.with_extra([("__token__", user)]),
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

    /// Shows that the server has heard a call of this client.
    pub(super) async fn heard(&mut self, client: &Client, call: &str) -> Result<(), Surprise> {
        self.tells(&format!("server: {call} of {}", client.user))
            .await
    }

    /// Shows what is told next, which has to be the expected words.
    pub(super) async fn tells(&mut self, expected: &str) -> Result<(), Surprise> {
        let next = timeout(PATIENCE, self.happened.recv()).await;
        let Ok(Some(got)) = next else {
            return Err(Surprise::NotInTime(expected.to_owned()));
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
