//! One POST over a connection of its own.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use http_body_util::Full;
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::config::OtlpConfig;

/// The time for one attempt, from the connection to the answer, as OTLP recommends.
const ATTEMPT_TIME: Duration = Duration::from_secs(10);

/// The most attempts to export one batch.
const ATTEMPTS: usize = 5;

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("can't connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("the answer has the status {0}")]
    Status(StatusCode),
    #[error("no answer within {ATTEMPT_TIME:?}")]
    Timeout,
    #[error("the request is not valid: {0}")]
    Request(#[from] hyper::http::Error),
}

impl PostError {
    /// Whether the same batch may be accepted later, by the rules of OTLP.
    fn can_retry(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Http(_) | Self::Timeout => true,
            Self::Status(status) => matches!(status.as_u16(), 429 | 502..=504),
            Self::Request(_) => false,
        }
    }
}

/// Sends a batch, with pauses between the attempts.
pub(crate) async fn export(config: &OtlpConfig, body: Vec<u8>) -> Result<(), PostError> {
    let body = Bytes::from(body);
    let backoff = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .with_max_times(ATTEMPTS - 1);
    (|| attempt(config, body.clone()))
        .retry(backoff)
        .when(PostError::can_retry)
        .await
}

async fn attempt(config: &OtlpConfig, body: Bytes) -> Result<(), PostError> {
    let sent = timeout(ATTEMPT_TIME, post(config, body)).await;
    let status = sent.map_err(|_| PostError::Timeout)??;
    match status.is_success() {
        true => Ok(()),
        false => Err(PostError::Status(status)),
    }
}

async fn post(config: &OtlpConfig, body: Bytes) -> Result<StatusCode, PostError> {
    let host = config.url.host().unwrap_or_default();
    let port = config.url.port_u16().unwrap_or(80);
    let address = (host.trim_matches(['[', ']']), port);
    let stream = TcpStream::connect(address).await?;
    let path = config.url.path_and_query();
    let mut request = Request::post(path.map_or("/", |path| path.as_str()))
        .header(
            HOST,
            config.url.authority().map_or("", |host| host.as_str()),
        )
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in &config.headers {
        request = request.header(name, value);
    }
    let request = request.body(Full::new(body))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => Ok(answer?.status()),
        // The last bytes may be left in the answer's buffer.
        ended = &mut connection => {
            ended?;
            Ok(answer.await?.status())
        }
    }
}
