//! Pipes: byte streams within the process, without a port and without a system call.

use std::sync::Arc;

use tokio::io::{DuplexStream, duplex, split};

use super::ByteStream;
use crate::error::RpcError;

/// The bytes that a pipe holds in each direction.
const CAPACITY: usize = 64 << 10;

/// The peer of a pipe, in the texts of errors.
pub(crate) const PEER: &str = "in memory";

/// Opens the pipes of a client's connection: the first one, and each after a lost one.
pub(crate) type PipeDialer = Arc<dyn Fn() -> Result<ByteStream, RpcError> + Send + Sync>;

/// A stream, and the end of its peer.
pub(crate) fn pipe() -> (ByteStream, DuplexStream) {
    let (own, peer) = duplex(CAPACITY);
    let (source, sink) = split(own);
    let stream = ByteStream {
        source: Box::new(source),
        sink: Box::new(sink),
        peer: PEER.to_owned(),
        control: None,
    };
    (stream, peer)
}
