//! Qpid addresses: `name[/subject][;{options}]`.

use std::{fmt, str::FromStr};

use super::address_parser::{self, AddressOption, OptionValue, OptionValueKind, SyntaxError};
use crate::config::problem::quoted;

/// The most bytes of an AMQP 0-9-1 short string, as which names of queues and
/// exchanges and routing keys are sent.
const MAX_NAME_SIZE: usize = 255;

/// The kind of node that an address names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NodeType {
    /// A queue, whose consumers compete for its messages.
    #[default]
    Queue,
    /// A broadcast: an exchange of that name, to which each consumer binds its
    /// own queue.
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

/// A queue or topic at a broker, written as a Qpid address (`spec/gateway.md`):
/// `name[/subject][;{create:always,node:{type:queue,durable:true}}]`.
///
/// It is parsed as leniently as by Qpid: with spaces between the parts, quotes
/// around names and values, and options in any order. Options that Qpid defines
/// and TCE does not use (`assert`, `delete`, `mode`, `link`, `x-declare`, …) are
/// ignored; [`Address::read`] returns their names. Displayed, it can be parsed
/// again.
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
    /// The name of the queue or topic: 1 to 255 bytes.
    pub name: String,
    /// The routing key, at most 255 bytes; never empty.
    pub subject: Option<String>,
    /// The kind of node. Default: queue.
    pub node: NodeType,
    /// Whether the node is declared before it is used (`create:always`, `sender`
    /// or `receiver`). Otherwise the node has to exist. Default: false.
    pub create: bool,
    /// Whether the node survives a restart of the broker. Default: false.
    pub durable: bool,
}

impl Address {
    /// Parses an address; returns the names of the options that were ignored,
    /// too, such as `delete` or `node.x-declare`.
    ///
    /// # Errors
    /// Where the text is not an address, with the column of the mistake.
    ///
    /// ```
    /// use tce_runtime::config::Address;
    ///
    /// let (_, ignored) = Address::read("mq; {create: always, delete: never}")?;
    /// assert_eq!(ignored, ["delete"]);
    /// # Ok::<(), tce_runtime::config::AddressError>(())
    /// ```
    pub fn read(text: &str) -> Result<(Self, Vec<String>), AddressError> {
        interpret(text).map_err(|SyntaxError { at, reason }| AddressError {
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

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not an address: column {column}: {reason}; write it like name;{{create:always,node:{{type:queue,durable:true}}}}",
    quoted(text)
)]
pub struct AddressError {
    text: String,
    column: usize,
    reason: String,
}

impl AddressError {
    /// The column of the mistake, in characters from 1.
    pub fn column(&self) -> usize {
        self.column
    }
}

fn interpret(text: &str) -> Result<(Address, Vec<String>), SyntaxError> {
    let parts = address_parser::parse(text)?;
    check_size(&parts.name, "the name")?;
    if parts.name.1.is_empty() {
        return Err(SyntaxError::new(parts.name.0, "the name is missing"));
    }
    check_size(&parts.subject, "the subject")?;
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

fn check_size((at, name): &(usize, String), what: &str) -> Result<(), SyntaxError> {
    if name.len() <= MAX_NAME_SIZE {
        return Ok(());
    }
    let reason = format!(
        "{what} has {} bytes; {MAX_NAME_SIZE} are allowed",
        name.len()
    );
    Err(SyntaxError::new(*at, reason))
}

fn create(value: &OptionValue) -> Result<bool, SyntaxError> {
    match word(value, "`create`")?.to_ascii_lowercase().as_str() {
        "always" | "sender" | "receiver" => Ok(true),
        "never" => Ok(false),
        _ => Err(not_one_of(value, "always, sender, receiver and never")),
    }
}

fn node(
    value: &OptionValue,
    address: &mut Address,
    ignored: &mut Vec<String>,
) -> Result<(), SyntaxError> {
    let OptionValueKind::Map(entries) = &value.kind else {
        return Err(SyntaxError::new(
            value.at,
            "`node` takes options in braces, `{type:queue,durable:true}`",
        ));
    };
    for AddressOption { key, value } in entries {
        match key.as_str() {
            "type" => address.node = node_type(value)?,
            "durable" => address.durable = boolean(value)?,
            other => ignored.push(format!("node.{other}")),
        }
    }
    Ok(())
}

fn node_type(value: &OptionValue) -> Result<NodeType, SyntaxError> {
    match word(value, "`type`")?.to_ascii_lowercase().as_str() {
        "queue" => Ok(NodeType::Queue),
        "topic" => Ok(NodeType::Topic),
        _ => Err(not_one_of(value, "queue and topic")),
    }
}

fn boolean(value: &OptionValue) -> Result<bool, SyntaxError> {
    match word(value, "`durable`")?.to_ascii_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(not_one_of(value, "true and false")),
    }
}

fn word<'a>(value: &'a OptionValue, option: &str) -> Result<&'a str, SyntaxError> {
    match &value.kind {
        OptionValueKind::Word(word) => Ok(word),
        OptionValueKind::Map(_) | OptionValueKind::List => Err(SyntaxError::new(
            value.at,
            format!("{option} takes one word"),
        )),
    }
}

fn not_one_of(value: &OptionValue, allowed: &str) -> SyntaxError {
    let word = match &value.kind {
        OptionValueKind::Word(word) => word,
        OptionValueKind::Map(_) | OptionValueKind::List => "this",
    };
    SyntaxError::new(
        value.at,
        format!("{} is not one of {allowed}", quoted(word)),
    )
}
