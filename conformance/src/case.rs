//! Cases: what `cases/*.yaml` say.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{matrix::Transport, protocol::Interfaces};

/// A case that every pair of languages must pass.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Case {
    /// Unique among all cases.
    pub(crate) name: String,
    /// One sentence.
    pub(crate) about: String,
    /// Which side the driver plays itself, byte by byte.
    #[serde(default)]
    pub(crate) driver_is: Option<Role>,
    /// The transports on which the case makes sense; all by default.
    #[serde(default)]
    pub(crate) only: Option<Only>,
    #[serde(default)]
    pub(crate) serve: Interfaces,
    /// The credential of the client.
    #[serde(default)]
    pub(crate) token: Option<String>,
    /// Sent with the token.
    #[serde(default)]
    pub(crate) device_id: Option<String>,
    /// Whether the client asks for pushes that it has missed. Its gateway, if there is one,
    /// lets in only clients with a token, and keeps pushes.
    #[serde(default)]
    pub(crate) resume: bool,
    pub(crate) steps: Vec<Step>,
}

/// A restriction to some transports.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Only {
    pub(crate) transports: Vec<Transport>,
    /// For readers of `--list`.
    pub(crate) because: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Role {
    Client,
    Server,
}

/// One step of a case.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Step {
    /// The client calls, and waits for the outcome.
    Call(Call),
    /// The client calls oneway.
    Oneway(Call),
    /// The client sends a call, and goes on.
    Start(Call),
    /// The client waits for the outcome of a call that it has started.
    Finish(Finish),
    /// The client drops a call that it has started.
    Abandon(Handle),
    /// A side's servants have received these calls, and no other, in this order.
    Received(Arrivals),
    /// Changes what happens to the bytes between client and server.
    Network(Network),
    /// The gateway sends its clients to another one at the same address, and ends.
    Drain,
    /// The driver, as one of the sides, ends the connection.
    Close,
    /// The driver, as the server, accepts the client's next connection.
    Accept,
    /// The client makes no connection for a while.
    Quiet,
    /// The driver, as one of the sides, sends a message.
    Send(Message),
    /// The driver, as one of the sides, receives a message.
    Expect(Expectation),
}

/// A call of the client.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Call {
    /// `Probe.echo`
    pub(crate) operation: String,
    #[serde(default)]
    pub(crate) args: Vec<Value>,
    #[serde(default)]
    pub(crate) extra: Vec<(String, Value)>,
    #[serde(default)]
    pub(crate) timeout_ms: Option<u64>,
    /// The name of a started call.
    #[serde(default)]
    pub(crate) r#as: Option<String>,
    /// How often the step is repeated; `$n` in it counts from 0.
    #[serde(default = "once")]
    pub(crate) count: usize,
    /// Whether a call that fails is repeated for some seconds: until a connection is
    /// there again.
    #[serde(default)]
    pub(crate) eventually: bool,
    #[serde(default)]
    pub(crate) result: Option<Value>,
    #[serde(default)]
    pub(crate) error: Option<ExpectedError>,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            operation: String::new(),
            args: Vec::new(),
            extra: Vec::new(),
            timeout_ms: None,
            r#as: None,
            count: once(),
            eventually: false,
            result: None,
            error: None,
        }
    }
}

/// The end of a started call.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Finish {
    pub(crate) r#as: String,
    #[serde(default = "once")]
    pub(crate) count: usize,
    #[serde(default)]
    pub(crate) result: Option<Value>,
    #[serde(default)]
    pub(crate) error: Option<ExpectedError>,
    /// The last pairs of the RETURN's extra, in order; not compared by default.
    #[serde(default)]
    pub(crate) extra: Option<Vec<(String, String)>>,
}

/// The name of a started call.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handle {
    pub(crate) r#as: String,
}

fn once() -> usize {
    1
}

/// What is compared of an error; a field that is left out may have any value.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ExpectedError {
    pub(crate) code: u32,
    #[serde(default)]
    pub(crate) side: Option<String>,
    #[serde(default)]
    pub(crate) text: Option<Value>,
    #[serde(default)]
    pub(crate) operation: Option<String>,
    #[serde(default)]
    pub(crate) can_retry: Option<bool>,
    /// The exception of the IDL; null for a plain error.
    #[serde(default)]
    pub(crate) exception: Value,
}

/// Calls that have arrived at a side.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arrivals {
    pub(crate) by: Role,
    pub(crate) calls: Vec<Arrival>,
}

/// A call that has arrived.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Arrival {
    pub(crate) operation: String,
    #[serde(default)]
    pub(crate) args: Vec<Value>,
    /// In order; not compared by default.
    #[serde(default)]
    pub(crate) extra: Option<Vec<(String, String)>>,
    #[serde(default)]
    pub(crate) is_oneway: Option<bool>,
    #[serde(default = "once")]
    pub(crate) count: usize,
}

/// A fault of the network.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Network {
    /// At most this many bytes are passed on at once.
    Pieces(usize),
    /// Nothing passes until [`Network::Pass`]; what was sent then arrives together.
    Hold,
    /// Nothing passes to the client, as [`Network::Hold`].
    HoldAnswers,
    /// Ends [`Network::Hold`] and [`Network::HoldAnswers`].
    Pass,
    /// Resets the connection.
    Cut,
}

/// What the driver sends as one of the sides.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Message {
    /// A CALL.
    Call(WireMessage),
    /// A RETURN.
    Return(WireMessage),
    /// Bytes without a frame of their own, each part in a write of its own.
    Bytes(Vec<Vec<Part>>),
}

/// A message, with defaults for what a case does not say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct WireMessage {
    /// By default that of the CALL which the driver has received last, or 1.
    #[serde(default)]
    pub(crate) sequence: Option<u32>,
    #[serde(default)]
    pub(crate) interface: u16,
    #[serde(default)]
    pub(crate) operation: u16,
    #[serde(default)]
    pub(crate) is_oneway: bool,
    /// Instead of the bits of a CALL or RETURN.
    #[serde(default)]
    pub(crate) calltype: Option<u8>,
    #[serde(default)]
    pub(crate) error: u32,
    #[serde(default)]
    pub(crate) call_id: u16,
    #[serde(default)]
    pub(crate) extra: Vec<(Text, Text)>,
    /// The number of further pairs: `key0`, `key1` and so on.
    #[serde(default)]
    pub(crate) extra_pairs: usize,
    #[serde(default)]
    pub(crate) params: Vec<Part>,
    /// Compresses the payload.
    #[serde(default)]
    pub(crate) zlib: bool,
    /// Zero bytes after the zlib stream.
    #[serde(default)]
    pub(crate) padding: usize,
}

/// Text in extra, which need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Text {
    Utf8(String),
    Hex { hex: String },
}

/// Bytes of a message.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Part {
    U8(u8),
    U32(u32),
    /// A length and UTF-8.
    Text(String),
    Hex(String),
    Zeros(usize),
    /// The same bytes, several times.
    Repeat {
        hex: String,
        times: usize,
    },
}

/// What the driver receives as one of the sides.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Expectation {
    Call(ExpectedMessage),
    Return(ExpectedMessage),
    /// The testee closes the connection.
    Closed,
}

/// What is compared of a message; a field that is left out may have any value.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ExpectedMessage {
    #[serde(default)]
    pub(crate) sequence: Option<u32>,
    #[serde(default)]
    pub(crate) interface: Option<u16>,
    #[serde(default)]
    pub(crate) operation: Option<u16>,
    #[serde(default)]
    pub(crate) error: u32,
    #[serde(default)]
    pub(crate) call_id: Option<u16>,
    /// All pairs, in order.
    #[serde(default)]
    pub(crate) extra: Option<Vec<(Text, Text)>>,
    #[serde(default)]
    pub(crate) params: Option<Vec<Part>>,
}

impl Case {
    /// Whether bytes pass through a proxy with faults.
    pub(crate) fn has_network(&self) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| matches!(step, Step::Network(_)))
    }
}

/// Why a case file can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub(crate) struct CaseError {
    path: PathBuf,
    reason: String,
}

/// The cases of all files in a folder, in the order of the files' names.
pub(crate) fn load(folder: &Path) -> Result<Vec<Case>, CaseError> {
    let error = |path: &Path, reason: String| CaseError {
        path: path.to_owned(),
        reason,
    };
    let listed = fs::read_dir(folder).map_err(|cause| error(folder, cause.to_string()))?;
    let mut paths: Vec<_> = listed.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let mut cases: Vec<Case> = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|cause| error(&path, cause.to_string()))?;
        let found: Vec<Case> =
            serde_saphyr::from_str(&text).map_err(|cause| error(&path, cause.to_string()))?;
        for case in found {
            if cases.iter().any(|other| other.name == case.name) {
                return Err(error(&path, format!("two cases are named {}", case.name)));
            }
            cases.push(case);
        }
    }
    Ok(cases)
}
