//! `ws://` and `wss://`: the same bytes as over a socket, inside binary
//! messages (`spec/wire.md`, section 1).
//!
//! Compression of whole messages (permessage-deflate) is never agreed on: a
//! buffer of it for each connection costs more memory than the connection.

mod handshake;
mod halves;
mod sink;
mod source;
mod watched;

use std::{io, net::SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error,
        error::ProtocolError,
        http::Response,
        protocol::{Role, WebSocketConfig},
    },
};

use self::watched::Watched;
use super::ByteStream;
use crate::{
    config::{Endpoint, Options},
    error::{ErrorCode, RpcError},
    wire::Limits,
};

pub(crate) use handshake::UpgradePolicy;

/// What the library keeps for each connection, also an idle one, and clears
/// before each read; larger reads are [`Watched`]'s.
const READ_BUFFER: usize = 4 << 10;
/// What gathers before it leaves without being flushed.
const WRITE_BUFFER: usize = 64 << 10;
/// What a message may have beyond the largest frame: it may hold several.
const MESSAGE_SLACK: usize = 64 << 10;
/// How much of a server's refusal is worth telling.
const REFUSAL_SIZE: usize = 200;

fn config(limits: &Limits) -> WebSocketConfig {
    let largest = Some(limits.max_frame.saturating_add(MESSAGE_SLACK));
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(largest)
        .max_frame_size(largest)
}

/// Shakes hands as a client over a connected socket.
pub(super) async fn connect<S>(
    socket: S,
    peer: SocketAddr,
    endpoint: &Endpoint,
    options: &Options,
) -> Result<ByteStream, RpcError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let url = Endpoint {
        compress: false,
        ..endpoint.clone()
    };
    let config = config(&options.limits);
    let (socket, _) = client_async_with_config(url.to_string(), Watched::new(socket), Some(config))
        .await
        .map_err(refused)?;
    Ok(halves::split(socket, options.connection.frame_time, peer))
}

/// Shakes hands as a server over an accepted socket.
pub(super) async fn accept<S>(
    mut socket: S,
    peer: SocketAddr,
    gate: &UpgradePolicy,
) -> io::Result<ByteStream>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let rest = gate.shake_hands(&mut socket).await?;
    let config = config(gate.limits());
    let socket = Watched::new(socket);
    let socket =
        WebSocketStream::from_partially_read(socket, rest, Role::Server, Some(config)).await;
    Ok(halves::split(socket, gate.frame_time(), peer))
}

/// Why the server did not take us, in words that say where to look.
fn refused(error: Error) -> RpcError {
    let text = match &error {
        Error::Http(response) => format!(
            "the server answered HTTP {}{}: see that the path is right and that a TCE server listens there",
            response.status(),
            words_of(response)
        ),
        Error::Protocol(ProtocolError::HttparseError(_)) => {
            "the server's answer is no HTTP: see that it listens for WebSocket there".to_owned()
        }
        Error::Protocol(ProtocolError::HandshakeIncomplete) | Error::Io(_) => format!(
            "the server ended the WebSocket handshake ({error}): see that it listens for WebSocket there"
        ),
        _ => format!("WebSocket handshake: {error}"),
    };
    RpcError::new(ErrorCode::ConnectFailed, text).caused_by(error)
}

/// The first line of an answer's body, as far as it has come.
fn words_of(response: &Response<Option<Vec<u8>>>) -> String {
    let body = response.body().as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(&body[..body.len().min(REFUSAL_SIZE)]);
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => format!(" ({line})"),
        _ => String::new(),
    }
}
