//! The queues of one measurement.

use std::{
    fmt::{Display, Formatter},
    net::SocketAddr,
    process,
    str::FromStr,
};

use anyhow::{Context, Error, Result};

use crate::peers::Stand;

/// A queue for calls and one for answers, of names that no other measurement uses; shown and read
/// as the endpoint that a server announces.
pub(crate) struct Queues {
    pub(crate) broker: SocketAddr,
    name: String,
}

impl Queues {
    pub(crate) fn new(stand: &Stand) -> Result<Self> {
        Ok(Self {
            broker: stand.broker.context("no broker was started")?,
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

impl Display for Queues {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.broker, self.name)
    }
}

impl FromStr for Queues {
    type Err = Error;

    fn from_str(endpoint: &str) -> Result<Self> {
        let (broker, name) = endpoint.split_once('/').context("no name of queues")?;
        Ok(Self {
            broker: broker.parse()?,
            name: name.to_owned(),
        })
    }
}
