//! The server's side of the opening handshake (RFC 6455, section 4.2): which
//! clients are accepted, and how the others are answered.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    Error,
    error::{CapacityError, ProtocolError},
    handshake::{
        machine::TryParse,
        server::{Request, Response, create_response, write_response},
    },
    http::{StatusCode, header},
};
use url::Url;

use crate::{
    config::{ConnectionLimits, Endpoint, Networks, Options, WebOrigin},
    transport::Admit,
    wire::Limits,
};

/// The most bytes of a request's head together with what follows it.
const HEAD_SIZE: usize = 8 << 10;
/// The most time that a refused client may take to read the answer.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// Where proxies name the peers before them.
const FORWARDED_FOR: &str = "x-forwarded-for";

const ABOUT: &str = "\
This is a TCE server. It speaks WebSocket: connect with a TCE client, or in a
page with `new WebSocket(…)` and `binaryType = \"arraybuffer\"`.
";

/// Which clients an adapter accepts, and under which limits.
#[derive(Debug)]
pub(crate) struct UpgradePolicy {
    path: String,
    origins: Vec<AllowedOrigin>,
    /// As `ProxyOptions::forwarded_for`.
    proxies: Networks,
    limits: Limits,
    connection: ConnectionLimits,
}

/// An entry of `WebSocketOptions::origins`.
#[derive(Debug)]
enum AllowedOrigin {
    Site(WebOrigin),
    /// `null`, which browsers send for a page without a site.
    Text(String),
}

impl AllowedOrigin {
    fn new(text: &str) -> Self {
        WebOrigin::parse(text).map_or_else(
            || {
                if text != "null" {
                    tracing::warn!(origin = text, "no page can have this origin");
                }
                Self::Text(text.to_owned())
            },
            Self::Site,
        )
    }

    /// Whether the entry allows the origin of a request, given as text and, if it
    /// names one, as site.
    fn includes(&self, text: &str, site: Option<&WebOrigin>) -> bool {
        match self {
            Self::Site(allowed) => site == Some(allowed),
            Self::Text(allowed) => allowed.eq_ignore_ascii_case(text),
        }
    }
}

/// A client that is accepted.
pub(super) struct Upgraded<T> {
    /// Its address.
    pub(super) client: SocketAddr,
    /// What decides about it has returned this.
    pub(super) admitted: T,
    /// The bytes that followed its request.
    pub(super) rest: Vec<u8>,
}

/// Why a client is not accepted.
struct UpgradeRefusal {
    status: StatusCode,
    text: String,
}

impl UpgradeRefusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        // Tells the client which protocol to upgrade to.
        let upgrade = if self.status == StatusCode::UPGRADE_REQUIRED {
            "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        } else {
            "Connection: close\r\n"
        };
        let Self { status, text } = self;
        format!(
            "HTTP/1.1 {status}\r\n{upgrade}Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\n\r\n{text}",
            text.len()
        )
        .into_bytes()
    }
}

impl From<Error> for UpgradeRefusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Capacity(CapacityError::TooManyHeaders) => head_too_large(),
            Error::Protocol(
                ProtocolError::WrongHttpMethod
                | ProtocolError::WrongHttpVersion
                | ProtocolError::MissingConnectionUpgradeHeader
                | ProtocolError::MissingUpgradeWebSocketHeader
                | ProtocolError::MissingSecWebSocketVersionHeader,
            ) => Self::new(StatusCode::UPGRADE_REQUIRED, ABOUT),
            other => Self::new(
                StatusCode::BAD_REQUEST,
                format!("This is not a WebSocket handshake: {other}.\n"),
            ),
        }
    }
}

fn head_too_large() -> UpgradeRefusal {
    UpgradeRefusal::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        format!("The request's head is too large: at most {HEAD_SIZE} bytes are accepted.\n"),
    )
}

impl UpgradePolicy {
    pub(crate) fn new(endpoint: &Endpoint, options: &Options) -> Self {
        let origins = &options.websocket.origins;
        Self {
            path: encoded_path(&endpoint.path),
            origins: origins
                .iter()
                .map(|text| AllowedOrigin::new(text))
                .collect(),
            proxies: options.proxy.forwarded_for.clone(),
            limits: options.limits,
            connection: options.connection,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn frame_time(&self) -> Duration {
        self.connection.frame_time
    }

    /// Whether a peer is a proxy that names its client.
    pub(crate) fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.contains(address)
    }

    /// Answers the request of a client, whom `admit` may refuse.
    pub(super) async fn shake_hands<S, T>(
        &self,
        socket: &mut S,
        peer: SocketAddr,
        admit: Admit<T>,
    ) -> io::Result<Upgraded<T>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let upgraded = read_request(socket).await?.and_then(|(request, rest)| {
            let client = self.client(&request, peer);
            let admitted = admit(client).map_err(|text| {
                UpgradeRefusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("{text}\n"))
            })?;
            let upgraded = Upgraded {
                client,
                admitted,
                rest,
            };
            Ok((self.admit(&request)?, upgraded))
        });
        match upgraded {
            Ok((response, upgraded)) => {
                let mut head = Vec::new();
                write_response(&mut head, &response).map_err(io::Error::other)?;
                socket.write_all(&head).await?;
                socket.flush().await?;
                Ok(upgraded)
            }
            Err(refusal) => {
                // Bounded: the client may never read it.
                let _ = timeout(REFUSAL_TIME, refuse(socket, &refusal)).await;
                let UpgradeRefusal { status, text } = refusal;
                Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("answered HTTP {status}: {}", text.trim_end()),
                ))
            }
        }
    }

    /// The address of the client: the last one in `X-Forwarded-For` that is no proxy's.
    /// Each proxy adds the peer that it has seen at the end, so that only what proxies
    /// have added counts.
    fn client(&self, request: &Request, peer: SocketAddr) -> SocketAddr {
        let lines = request.headers().get_all(FORWARDED_FOR).iter();
        let lines: Vec<_> = lines
            .map(|line| line.to_str().unwrap_or_default())
            .collect();
        let mut hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        let mut client = peer;
        while self.is_proxy(client.ip())
            && let Some(hop) = hops.next().and_then(parse_hop)
        {
            client = hop;
        }
        client
    }

    fn admit(&self, request: &Request) -> Result<Response, UpgradeRefusal> {
        let response = create_response(request)?;
        if !self.path.is_empty() && request.uri().path() != self.path {
            return Err(UpgradeRefusal::new(
                StatusCode::NOT_FOUND,
                format!(
                    "No TCE server under this path; there is one under {}.\n",
                    self.path
                ),
            ));
        }
        if !self.is_allowed_origin(request) {
            return Err(UpgradeRefusal::new(
                StatusCode::FORBIDDEN,
                "Pages of this origin may not connect here.\n",
            ));
        }
        Ok(response)
    }

    /// Whether a page of this origin may connect. A client without an origin is
    /// not a page, and may.
    fn is_allowed_origin(&self, request: &Request) -> bool {
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        self.origins.is_empty()
            || origins.all(|origin| {
                let text = origin.to_str().unwrap_or_default();
                let site = WebOrigin::parse(text);
                let mut allowed = self.origins.iter();
                allowed.any(|allowed| allowed.includes(text, site.as_ref()))
            })
    }
}

/// An address in `X-Forwarded-For`; some proxies add the port.
fn parse_hop(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let with_port = text.parse().ok();
    with_port.or_else(|| {
        let address = text.trim_start_matches('[').trim_end_matches(']').parse();
        Some(SocketAddr::new(address.ok()?, 0))
    })
}

/// The path of an endpoint as it is sent: characters outside of ASCII are encoded.
pub(super) fn encoded_path(path: &str) -> String {
    // The host makes it a URL, which has the path `/` where the endpoint has none.
    let url = Url::parse(&format!("ws://host{path}"));
    match url {
        Ok(url) if !path.is_empty() => url.path().to_owned(),
        _ => path.to_owned(),
    }
}

/// Reads a request's head, and the bytes that followed it.
async fn read_request<S>(socket: &mut S) -> io::Result<Result<(Request, Vec<u8>), UpgradeRefusal>>
where
    S: AsyncRead + Unpin,
{
    let mut head = Vec::new();
    let mut socket = socket.take(HEAD_SIZE as u64);
    loop {
        match Request::try_parse(&head) {
            Ok(Some((size, request))) => return Ok(Ok((request, head.split_off(size)))),
            Ok(None) if head.len() >= HEAD_SIZE => return Ok(Err(head_too_large())),
            Ok(None) => {}
            Err(error) => return Ok(Err(error.into())),
        }
        if socket.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Sends the answer, and reads to the end: unread bytes would turn the end into a
/// reset, which may overtake the answer.
async fn refuse<S>(socket: &mut S, refusal: &UpgradeRefusal) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    socket.write_all(&refusal.to_bytes()).await?;
    socket.shutdown().await?;
    tokio::io::copy(socket, &mut tokio::io::sink()).await?;
    Ok(())
}
