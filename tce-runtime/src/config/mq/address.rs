//! Qpid addresses: `name[/subject][;{options}]`.

use std::{fmt, str::FromStr};

use super::address_parser::{self, Entry, Mistake, Term, TermKind};
use crate::config::problem::quoted;

/// What an AMQP 0-9-1 short string holds: names of queues, exchanges and
/// routing keys are such.
const NAME_BYTES: usize = 255;

/// What kind of node an address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NodeType {
    /// A queue, read by consumers that compete for its messages.
    #[default]
    Queue,
    /// A broadcast: an exchange of that name, to which each reader binds a
    /// queue of its own.
    Topic,
}

impl fmt::Display for NodeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "queue",
            Self::Topic => "topic",
        })
    }
}

/// Where messages go to or come from at a broker, written as a Qpid address
/// (`spec/gateway.md`): `name[/subject][;{create:always,node:{type:queue,durable:true}}]`.
///
/// It is read as leniently as Qpid does: spaces between the parts, quotes around
/// names and values, any order of the options. What Qpid knows and we have no
/// use for (`assert`, `delete`, `mode`, `link`, `x-declare`, …) is passed over;
/// [`Address::read`] names it. Shown, it is an address again.
///
/// ```
/// use tce_runtime::config::{Address, NodeType};
///
/// let address: Address = "mq_server;{create:always,node:{type:queue,durable:true}}".parse()?;
/// assert_eq!(address.name, "mq_server");
/// assert_eq!(address.node, NodeType::Queue);
/// assert!(address.create && address.durable);
///
/// let mistake = "mq_server;{create:alway}".parse::<Address>().unwrap_err();
/// assert_eq!(mistake.column(), 19);
/// # Ok::<(), tce_runtime::config::AddressError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The queue's or the topic's name: 1 to 255 bytes.
    pub name: String,
    /// The routing key, at most 255 bytes; never empty.
    pub subject: Option<String>,
    /// Queue, unless the address says topic.
    pub node: NodeType,
    /// Whether the node is declared before it is used (`create:always`, `sender`
    /// or `receiver`). Without it the node has to be there.
    pub create: bool,
    /// Whether the node outlives the broker's restart.
    pub durable: bool,
}

impl Address {
    /// Reads an address and names the options that were passed over, as
    /// `delete` or `node.x-declare`.
    ///
    /// # Errors
    /// What is no address, with its column.
    ///
    /// ```
    /// use tce_runtime::config::Address;
    ///
    /// let (_, ignored) = Address::read("mq; {create: always, delete: never}")?;
    /// assert_eq!(ignored, ["delete"]);
    /// # Ok::<(), tce_runtime::config::AddressError>(())
    /// ```
    pub fn read(text: &str) -> Result<(Self, Vec<String>), AddressError> {
        interpret(text).map_err(|Mistake { at, reason }| AddressError {
            text: text.to_owned(),
            column: text.get(..at).unwrap_or(text).chars().count() + 1,
            reason,
        })
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::read(text).map(|(address, _)| address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        address_parser::write_part(f, &self.name, &['/', ';'])?;
        if let Some(subject) = &self.subject {
            f.write_str("/")?;
            address_parser::write_part(f, subject, &[';'])?;
        }
        let create = if self.create { "create:always," } else { "" };
        let durable = if self.durable { ",durable:true" } else { "" };
        write!(f, ";{{{create}node:{{type:{}{durable}}}}}", self.node)
    }
}

/// Why a text is no [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is no address: column {column}: {reason}; write it like name;{{create:always,node:{{type:queue,durable:true}}}}",
    quoted(text)
)]
pub struct AddressError {
    text: String,
    column: usize,
    reason: String,
}

impl AddressError {
    /// Where it goes wrong, in characters from 1.
    pub fn column(&self) -> usize {
        self.column
    }
}

fn interpret(text: &str) -> Result<(Address, Vec<String>), Mistake> {
    let parts = address_parser::read(text)?;
    short(&parts.name, "the name")?;
    if parts.name.1.is_empty() {
        return Err(Mistake::new(parts.name.0, "there is no name"));
    }
    short(&parts.subject, "the subject")?;
    let mut address = Address {
        name: parts.name.1,
        subject: Some(parts.subject.1).filter(|subject| !subject.is_empty()),
        node: NodeType::default(),
        create: false,
        durable: false,
    };
    let mut ignored = Vec::new();
    for entry in &parts.options {
        match entry.key.as_str() {
            "create" => address.create = create(&entry.value)?,
            "node" => node(&entry.value, &mut address, &mut ignored)?,
            other => ignored.push(other.to_owned()),
        }
    }
    Ok((address, ignored))
}

fn short((at, name): &(usize, String), what: &str) -> Result<(), Mistake> {
    if name.len() <= NAME_BYTES {
        return Ok(());
    }
    let reason = format!("{what} has {} bytes; {NAME_BYTES} are allowed", name.len());
    Err(Mistake::new(*at, reason))
}

fn create(value: &Term) -> Result<bool, Mistake> {
    match word(value, "`create`")?.to_ascii_lowercase().as_str() {
        "always" | "sender" | "receiver" => Ok(true),
        "never" => Ok(false),
        _ => Err(none_of(value, "always, sender, receiver and never")),
    }
}

fn node(value: &Term, address: &mut Address, ignored: &mut Vec<String>) -> Result<(), Mistake> {
    let TermKind::Map(entries) = &value.kind else {
        return Err(Mistake::new(
            value.at,
            "`node` wants options in braces, `{type:queue,durable:true}`",
        ));
    };
    for Entry { key, value } in entries {
        match key.as_str() {
            "type" => address.node = node_type(value)?,
            "durable" => address.durable = truth(value)?,
            other => ignored.push(format!("node.{other}")),
        }
    }
    Ok(())
}

fn node_type(value: &Term) -> Result<NodeType, Mistake> {
    match word(value, "`type`")?.to_ascii_lowercase().as_str() {
        "queue" => Ok(NodeType::Queue),
        "topic" => Ok(NodeType::Topic),
        _ => Err(none_of(value, "queue and topic")),
    }
}

fn truth(value: &Term) -> Result<bool, Mistake> {
    match word(value, "`durable`")?.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(none_of(value, "true and false")),
    }
}

fn word<'a>(value: &'a Term, option: &str) -> Result<&'a str, Mistake> {
    match &value.kind {
        TermKind::Word(word) => Ok(word),
        TermKind::Map(_) | TermKind::List => {
            Err(Mistake::new(value.at, format!("{option} wants one word")))
        }
    }
}

fn none_of(value: &Term, allowed: &str) -> Mistake {
    let word = match &value.kind {
        TermKind::Word(word) => word,
        TermKind::Map(_) | TermKind::List => "this",
    };
    Mistake::new(value.at, format!("{} is none of {allowed}", quoted(word)))
}
