//! The side of a package's own program: `run` in its `setting.yaml`.

use std::sync::Arc;

use tce_runtime::{Communicator, ConnectionEvent, ErrorCode, RpcError, Servant, TypedProxy as _};
use tokio::sync::Notify;

use crate::idl::frame::HostsPrx;

/// Serves the calls of a package, in the program that an agent starts for it, until the connection to
/// the agent ends. The operations of the servant's interface are called by typed proxies; a servant of
/// [`Functions`](crate::idl::frame::Functions) is called by name, as a package of Python is.
///
/// ```no_run
/// # async fn run(servant: impl tce_runtime::Servant) -> Result<(), tce_runtime::RpcError> {
/// tce_frame::serve_package(servant).await
/// # }
/// ```
///
/// # Errors
/// The program was not started by an agent, or the agent refuses it.
pub async fn serve_package(servant: impl Servant) -> Result<(), RpcError> {
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| {
            let text = format!("{name} is not set: an agent of the work frame starts this program");
            RpcError::new(ErrorCode::ConnectFailed, text)
        })
    };
    let (endpoint, token) = (
        variable("TCE_FRAME_ENDPOINT")?,
        variable("TCE_FRAME_TOKEN")?,
    );
    let communicator = Communicator::new();
    let connection = communicator.connect(&endpoint).await?;
    connection.add_servant(servant);
    let ended = Arc::new(Notify::new());
    let listening = Arc::clone(&ended);
    connection.on_event(move |_, event| {
        if matches!(event, ConnectionEvent::Disconnected { .. }) {
            listening.notify_one();
        }
    });
    HostsPrx::new(&connection).ready(&token, "").await?;
    // The connection would be made again, but the token admits a program once.
    ended.notified().await;
    Ok(())
}
