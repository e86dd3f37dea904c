//! One HTTP request over a connection of its own.

use std::pin::pin;

use hyper::{
    Request, Response,
    body::{Body, Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Sends a request over `stream`, and passes the answer to `read`. The caller bounds the
/// time and the size.
pub(crate) async fn exchange<T, E: From<hyper::Error>>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<
        impl Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    >,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, E>,
) -> Result<T, E> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut answer = pin!(async { read(sender.send_request(request).await?).await });
    tokio::select! {
        answer = &mut answer => answer,
        // The last bytes may be left in the answer's buffer.
        ended = connection => {
            ended?;
            answer.await
        }
    }
}
