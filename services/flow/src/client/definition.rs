//! Definitions to the server, in parts where they are long.

use tce_runtime::RpcError;

use crate::idl::flow::{FlowControlPrx, Reply};

/// The longest text of one call, in bytes: old clients and servers take messages of 1 MiB.
const PART: usize = 512 * 1024;

/// `load` of a definition, or of a flow in Takler's JSON.
///
/// # Errors
/// The call fails; a refusal is in the reply.
pub async fn load(
    control: &FlowControlPrx,
    text: &str,
    format: &str,
    force: bool,
) -> Result<Reply, RpcError> {
    match upload(control, text).await? {
        Upload::Refused(reply) => Ok(reply),
        Upload::Text(text) => control.load(text, format, force).await,
    }
}

/// `replace` of a node by that of a definition.
///
/// # Errors
/// The call fails; a refusal is in the reply.
pub async fn replace(
    control: &FlowControlPrx,
    path: &str,
    text: &str,
    parents: bool,
    force: bool,
) -> Result<Reply, RpcError> {
    match upload(control, text).await? {
        Upload::Refused(reply) => Ok(reply),
        Upload::Text(text) => control.replace(path, text, parents, force).await,
    }
}

enum Upload<'a> {
    /// What the command itself sends: nothing if the text was uploaded.
    Text(&'a str),
    Refused(Reply),
}

async fn upload<'a>(control: &FlowControlPrx, text: &'a str) -> Result<Upload<'a>, RpcError> {
    if text.len() <= PART {
        return Ok(Upload::Text(text));
    }
    let mut rest = text;
    while !rest.is_empty() {
        let end = PART.min(rest.len());
        let end = (0..=end).rev().find(|at| rest.is_char_boundary(*at));
        let (part, next) = rest.split_at(end.unwrap_or(rest.len()));
        let reply = control.upload(part).await?;
        if reply.code != 0 {
            return Ok(Upload::Refused(reply));
        }
        rest = next;
    }
    Ok(Upload::Text(""))
}
