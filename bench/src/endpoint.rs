//! The addresses of a server, and how a server announces them.

use std::{
    fmt::{Display, Formatter},
    io::Write,
    net::SocketAddr,
    process,
    str::FromStr,
    sync::Arc,
};

use anyhow::{Context, Error, Result};
use serde::{Deserialize, Serialize};

use crate::{case::Case, control::ReceiveCounter};

/// The addresses of a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerAddress {
    /// In the notation of the peer's clients.
    pub(crate) endpoint: String,
    /// For control connections, which read the server's count of received messages.
    pub(crate) control: SocketAddr,
}

/// What a server needs to run and to announce itself.
pub(crate) struct ServerSetup {
    pub(crate) case: Case,
    /// The broker's address, in cases with a broker.
    pub(crate) broker: Option<SocketAddr>,
    /// Counts each oneway message that the server receives.
    pub(crate) received: Arc<ReceiveCounter>,
    pub(crate) ready: ReadyNotifier,
}

/// Announces that a server listens.
pub(crate) struct ReadyNotifier {
    control: SocketAddr,
}

impl ReadyNotifier {
    pub(crate) fn new(control: SocketAddr) -> Self {
        Self { control }
    }

    /// Prints the [`ServerAddress`], which the process that started the server reads.
    pub(crate) fn announce(&self, endpoint: &str) -> Result<()> {
        print_line(&ServerAddress {
            endpoint: endpoint.to_owned(),
            control: self.control,
        })
    }
}

/// Prints `value` as a line of JSON.
pub(crate) fn print_line(value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string(value)?;
    Ok(writeln!(std::io::stdout(), "{json}")?)
}

/// A queue for calls and one for answers, with names that are unique to a measurement. `Display`
/// and `FromStr` use the notation of [`ServerAddress::endpoint`].
pub(crate) struct QueuePair {
    pub(crate) broker: SocketAddr,
    name: String,
}

impl QueuePair {
    /// The queues of the server that runs in this process.
    ///
    /// # Errors
    /// The case has no broker.
    pub(crate) fn new(setup: &ServerSetup) -> Result<Self> {
        Ok(Self {
            broker: setup.broker.context("no broker was started")?,
            name: format!("bench-{}", process::id()),
        })
    }

    pub(crate) fn calls(&self) -> String {
        format!("{}-calls", self.name)
    }

    pub(crate) fn answers(&self) -> String {
        format!("{}-answers", self.name)
    }
}

impl Display for QueuePair {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.broker, self.name)
    }
}

impl FromStr for QueuePair {
    type Err = Error;

    fn from_str(endpoint: &str) -> Result<Self> {
        let (broker, name) = endpoint
            .split_once('/')
            .context("the endpoint has no name of queues")?;
        Ok(Self {
            broker: broker.parse()?,
            name: name.to_owned(),
        })
    }
}
