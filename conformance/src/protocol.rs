//! What the driver and the testees say to each other: a command is a line of JSON on
//! a testee's standard input, its answer a line on the standard output. A testee
//! carries out one command after another.
//!
//! Values of the IDL's types are JSON as each language would write it, except for
//! what JSON or JavaScript can't hold (README.md lists these forms).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a testee is told to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Command {
    /// Serves at an endpoint until the testee ends. Answer: the endpoint, with its port.
    Listen {
        endpoint: String,
        serve: Interfaces,
        options: Options,
    },
    /// Connects; further calls go by this connection, on which the same interfaces
    /// are served for the peer.
    Connect { endpoint: String, options: Options },
    /// Calls an operation. Answer: an [`Outcome`], or null if the call is only started.
    Call {
        /// `Probe.echo`
        operation: String,
        args: Vec<Value>,
        mode: Mode,
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout_ms: Option<u64>,
        /// In this order.
        extra: Vec<(String, String)>,
    },
    /// Waits for a call that was started. Answer: its [`Outcome`].
    Finish { handle: String },
    /// Drops a call that was started.
    Abandon { handle: String },
    /// Answer: the calls that this testee's servants have received, in order.
    Received,
    /// Empties the record of received calls.
    Forget,
    /// Closes the connection.
    Close,
}

/// Which interfaces an adapter serves; some have the same index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Interfaces {
    /// `conformance::Probe` and `zoo::Keeper`.
    #[default]
    Conformance,
    /// `test::Server`.
    Test,
}

/// How a call is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Mode {
    /// Awaits the result.
    Twoway,
    /// Sends it without an answer.
    Oneway,
    /// Sends it; the result is awaited later, under this name.
    Start(String),
}

/// The options of a communicator. Without a field, the language's default holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device_id: Option<String>,
    /// Whether pushes that were missed are asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) resume: bool,
    /// PEM files: for a server its certificate and key, for a client the authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authority: Option<PathBuf>,
    /// The message queues to open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queues: Option<Queues>,
}

/// A `config.yml`, and the process in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Queues {
    pub(crate) file: PathBuf,
    pub(crate) process: String,
}

/// The answer to a command.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    /// It was carried out.
    Ok(Value),
    /// It could not be carried out, which a case never expects.
    Failed(String),
}

/// How a call ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outcome {
    /// The result; null for `void` and oneway calls.
    Result {
        value: Value,
        /// The extra of the RETURN, of calls that were started.
        #[serde(default)]
        extra: Vec<(String, String)>,
    },
    /// The error, as the language's API tells it.
    Error(CallError),
}

/// An error of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallError {
    /// As on the wire.
    pub(crate) code: u32,
    /// `local` or `remote`
    pub(crate) side: String,
    pub(crate) text: String,
    /// `conformance::Probe::echo`
    pub(crate) operation: String,
    pub(crate) can_retry: bool,
    /// The exception of the IDL: `name` and `members`; null for a plain error.
    #[serde(default)]
    pub(crate) exception: Value,
}

/// A call that a testee's servant has received.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Received {
    /// `Probe.echo`
    pub(crate) operation: String,
    pub(crate) args: Vec<Value>,
    /// Without the keys that the wire format reserves, in the order of the wire.
    pub(crate) extra: Vec<(String, String)>,
    pub(crate) is_oneway: bool,
}
