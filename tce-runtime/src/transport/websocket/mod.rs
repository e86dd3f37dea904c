//! `ws://` and `wss://`: the same bytes as over a socket, inside binary
//! messages (`spec/wire.md`, section 1).
//!
//! Compression of whole messages (permessage-deflate) is never negotiated: its
//! buffers would cost more memory than the rest of a connection.

mod frames;

mod watched;

mod shrink;

mod halves;

mod handshake;

use std::{io, net::SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error,
        error::ProtocolError,
        http::{Response, StatusCode},
        protocol::{Role, WebSocketConfig},
    },
};

use handshake::encoded_path;
use watched::Watched;

use super::{Admit, ByteStream};
use crate::{
    advice::ENDPOINT_KIND_ADVICE,
    config::{Endpoint, Options, without_zone},
    error::{ErrorCode, RpcError},
    wire::Limits,
};

pub(crate) use handshake::UpgradePolicy;

/// The bytes that the library allocates for each connection, idle or not, and
/// clears before each read; [`Watched`] reads more at a time. A message that does not
/// fit makes the buffer larger.
const READ_BUFFER: usize = 2 << 10;
/// The bytes that are written without a flush.
const WRITE_BUFFER: usize = 64 << 10;
/// The bytes that a message may have beyond the largest frame: it may hold
/// several frames.
const MESSAGE_SLACK: usize = 64 << 10;
/// The bytes of a server's refusal that an error quotes.
const REFUSAL_SIZE: usize = 200;

fn config(limits: &Limits) -> WebSocketConfig {
    let largest = Some(limits.max_frame.saturating_add(MESSAGE_SLACK));
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(largest)
        .max_frame_size(largest)
}

/// Performs the opening handshake as a client over a connected socket.
pub(super) async fn connect<S>(
    socket: S,
    peer: SocketAddr,
    endpoint: &Endpoint,
    options: &Options,
) -> Result<ByteStream, RpcError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let config = config(&options.limits);
    let socket = Watched::connected(socket);
    let (socket, _) = client_async_with_config(request_url(endpoint), socket, Some(config))
        .await
        .map_err(refused)?;
    let message_time = options.connection.frame_time;
    Ok(halves::split(socket, Role::Client, message_time, peer))
}

/// The URL that a client requests.
fn request_url(endpoint: &Endpoint) -> String {
    let url = Endpoint {
        compress: false,
        host: without_zone(&endpoint.host).to_owned(),
        path: encoded_path(&endpoint.path),
        ..endpoint.clone()
    };
    url.to_string()
}

/// Performs the opening handshake as a server over an accepted socket of `peer`; `admit`
/// decides once the client's address is known.
pub(super) async fn accept<S, T>(
    mut socket: S,
    peer: SocketAddr,
    policy: &UpgradePolicy,
    admit: Admit<T>,
) -> io::Result<(ByteStream, Result<T, &'static str>)>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let upgraded = policy.shake_hands(&mut socket, peer, admit).await?;
    let config = config(policy.limits());
    let socket = Watched::accepted(socket, &upgraded.rest);
    let socket =
        WebSocketStream::from_partially_read(socket, upgraded.rest, Role::Server, Some(config))
            .await;
    let stream = halves::split(socket, Role::Server, policy.frame_time(), upgraded.client);
    Ok((stream, Ok(upgraded.admitted)))
}

/// Why the server refused the handshake, and what to check.
fn refused(error: Error) -> RpcError {
    let text = match &error {
        Error::Http(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => {
            let text = format!(
                "the server answered HTTP {}{}",
                response.status(),
                first_line(response)
            );
            return RpcError::new(ErrorCode::ConnectReject, text).caused_by(error);
        }
        Error::Http(response) => format!(
            "the server answered HTTP {}{}: check the path, and that a TCE server listens there",
            response.status(),
            first_line(response)
        ),
        Error::Protocol(ProtocolError::HttparseError(_)) => {
            "the server's answer is not HTTP: check that it listens for WebSocket there".to_owned()
        }
        Error::Protocol(ProtocolError::HandshakeIncomplete) | Error::Io(_) => format!(
            "the server ended the WebSocket handshake ({error}): check that it listens for WebSocket there"
        ),
        _ => format!("WebSocket handshake: {error}"),
    };
    RpcError::new(ErrorCode::ConnectFailed, text)
        .advised(ENDPOINT_KIND_ADVICE)
        .caused_by(error)
}

/// The first line of an answer's body, as far as it was received.
fn first_line(response: &Response<Option<Vec<u8>>>) -> String {
    let body = response.body().as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(&body[..body.len().min(REFUSAL_SIZE)]);
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => format!(" ({line})"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_an_encoded_path_and_no_zone() {
        for (endpoint, url) in [
            ("ws://[fe80::1%eth0]:1/a", "ws://[fe80::1]:1/a"),
            ("wss://localhost:1", "wss://localhost:1"),
            ("ws://localhost:1/é?compress=1", "ws://localhost:1/%C3%A9"),
        ] {
            assert_eq!(request_url(&endpoint.parse().unwrap()), url);
        }
    }
}
