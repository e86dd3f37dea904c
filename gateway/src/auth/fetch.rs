//! One HTTP GET, with a bound on its time and its size.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, StatusCode, Uri,
    body::Bytes,
    header::{ACCEPT, HOST, USER_AGENT},
};
use tce_runtime::config::TlsConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::http::exchange;

/// From the lookup of the host's name to the last byte of the answer.
const FETCH_TIME: Duration = Duration::from_secs(4);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 256 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no answer within {FETCH_TIME:?}")]
    TimedOut,
    #[error("the URL has no host")]
    NoHost,
    #[error("can't connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] tce_runtime::config::TlsError),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the request is invalid: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("the answer has the status {0}")]
    Status(StatusCode),
    #[error("the answer is cut off, or has more than {MAX_ANSWER} bytes: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// The body of the answer to a GET. Redirects are not followed: the answer decides who
/// may log in, so that it comes from the configured host alone.
pub(super) async fn fetch(uri: &Uri) -> Result<Bytes, FetchError> {
    let fetched = timeout(FETCH_TIME, fetch_unbounded(uri)).await;
    fetched.map_err(|_| FetchError::TimedOut)?
}

async fn fetch_unbounded(uri: &Uri) -> Result<Bytes, FetchError> {
    let host = uri.host().ok_or(FetchError::NoHost)?;
    // RFC 3986, 3.2.2: an IPv6 address is in brackets.
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((name, port)).await?;
    if !is_tls {
        return get(uri, stream).await;
    }
    let connector = TlsConnector::from(TlsConfig::default().client_config()?);
    let server = ServerName::try_from(name.to_owned()).map_err(|_| FetchError::NoHost)?;
    get(uri, connector.connect(server, stream).await?).await
}

async fn get(
    uri: &Uri,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Bytes, FetchError> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().ok_or(FetchError::NoHost)?;
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(USER_AGENT, "tce-gateway")
        .header(ACCEPT, "application/jwk-set+json, application/json")
        .body(Empty::<Bytes>::new())?;
    exchange(stream, request, async |answer| {
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        Ok(body.map_err(FetchError::Body)?.to_bytes())
    })
    .await
}
