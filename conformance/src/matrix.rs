//! Who calls whom, over what: the cells, and which of them can't be.

use std::{fmt, str::FromStr};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A program of the matrix: a testee, or the driver itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub(crate) enum Peer {
    Rust,
    Python,
    TypeScript,
    /// The client for TypeScript in headless Chromium.
    Browser,
    /// The driver, which sends and compares bytes.
    Wire,
}

/// How client and server are connected.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Transport {
    Tcp,
    Ssl,
    Ws,
    Wss,
    /// Queues of RabbitMQ.
    Mq,
    /// A gateway that connects to the server.
    Gateway,
    /// A gateway, and queues of RabbitMQ between it and the server.
    GatewayMq,
}

/// The name on the command line and in the table.
fn name_of(value: &impl ValueEnum) -> String {
    let name = value.to_possible_value();
    name.map_or_else(String::new, |name| name.get_name().to_owned())
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&name_of(self))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&name_of(self))
    }
}

/// A client and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(crate) struct Pair {
    pub(crate) client: Peer,
    pub(crate) server: Peer,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} → {}", self.client, self.server))
    }
}

/// A client, a server, and what is between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(crate) struct Cell {
    #[serde(flatten)]
    pub(crate) pair: Pair,
    pub(crate) transport: Transport,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pair { client, server } = self.pair;
        write!(f, "{client}:{server}:{}", self.transport)
    }
}

/// Which cells to run: `python:typescript:ws`, with `*` or nothing for any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Selection {
    client: Option<Peer>,
    server: Option<Peer>,
    transport: Option<Transport>,
}

impl FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        fn part<T: ValueEnum>(text: Option<&str>) -> Result<Option<T>, String> {
            let text = text.unwrap_or("*");
            if text == "*" || text.is_empty() {
                return Ok(None);
            }
            let known: Vec<_> = T::value_variants().iter().map(name_of).collect();
            let found = T::from_str(text, false);
            found
                .map(Some)
                .map_err(|_| format!("`{text}` is none of {}", known.join(", ")))
        }
        let mut parts = text.split(':');
        let selection = Self {
            client: part(parts.next())?,
            server: part(parts.next())?,
            transport: part(parts.next())?,
        };
        match parts.next() {
            Some(_) => Err("give CLIENT:SERVER:TRANSPORT".to_owned()),
            None => Ok(selection),
        }
    }
}

impl Selection {
    pub(crate) fn has(&self, cell: Cell) -> bool {
        self.client.is_none_or(|it| it == cell.pair.client)
            && self.server.is_none_or(|it| it == cell.pair.server)
            && self.transport.is_none_or(|it| it == cell.transport)
    }
}

/// All clients and servers, in the order of the table.
pub(crate) fn pairs() -> Vec<Pair> {
    let clients = [Peer::Rust, Peer::Python, Peer::TypeScript, Peer::Browser];
    let servers = [Peer::Rust, Peer::Python, Peer::TypeScript];
    let calls = clients
        .iter()
        .flat_map(|&client| servers.map(|server| Pair { client, server }));
    let to_wire = clients.iter().map(|&client| Pair {
        client,
        server: Peer::Wire,
    });
    let from_wire = servers.iter().map(|&server| Pair {
        client: Peer::Wire,
        server,
    });
    calls.chain(to_wire).chain(from_wire).collect()
}

/// Why a cell can't be, if it can't.
pub(crate) fn obstacle(cell: Cell) -> Option<&'static str> {
    use Transport::{GatewayMq, Mq, Ssl, Tcp, Wss};
    let Cell {
        pair: Pair { client, server },
        transport,
    } = cell;
    let is_wire = client == Peer::Wire || server == Peer::Wire;
    match transport {
        Ssl | Wss | Mq | Transport::Gateway | GatewayMq if is_wire => {
            Some("the driver sends its bytes over tcp and ws")
        }
        Tcp | Ssl | Mq if client == Peer::Browser => {
            Some("a page has WebSocket, and no other socket")
        }
        Mq if client == Peer::TypeScript || server == Peer::TypeScript => {
            Some("the runtime for TypeScript has no message queues")
        }
        GatewayMq if server == Peer::TypeScript => {
            Some("the runtime for TypeScript has no message queues")
        }
        _ => None,
    }
}
