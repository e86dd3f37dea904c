//! Long texts from the server.

use tce_runtime::RpcError;

use super::link::Link;

/// `show` of a node in a style, all parts together.
///
/// # Errors
/// The call fails, or there is no such node.
pub async fn show(link: &Link, path: &str, style: &str) -> Result<String, RpcError> {
    let first = link.query().show(path, style, 0).await?;
    let mut text = first.text;
    for part in 1..first.parts {
        text += &link.query().show(path, style, part).await?.text;
    }
    Ok(text)
}
