//! What stands for WebSocket in a program that is built without the feature
//! `websocket`. No endpoint of it can be named then, so nobody gets here.

use std::{io, net::SocketAddr};

use super::ByteStream;
use crate::{
    config::{Endpoint, Options, WITHOUT_WEBSOCKET},
    error::{ErrorCode, RpcError},
};

/// Lets nobody in.
pub(crate) struct UpgradePolicy;

impl UpgradePolicy {
    pub(crate) fn new(_: &Endpoint, _: &Options) -> Self {
        Self
    }
}

pub(super) async fn connect<S>(
    _: S,
    _: SocketAddr,
    _: &Endpoint,
    _: &Options,
) -> Result<ByteStream, RpcError> {
    Err(RpcError::new(ErrorCode::ConnectFailed, WITHOUT_WEBSOCKET))
}

pub(super) async fn accept<S>(_: S, _: SocketAddr, _: &UpgradePolicy) -> io::Result<ByteStream> {
    Err(io::Error::other(WITHOUT_WEBSOCKET))
}
