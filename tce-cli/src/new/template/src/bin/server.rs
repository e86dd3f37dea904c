//! The server: runs until Ctrl-C or SIGTERM.

use std::{error::Error, time::Duration};

use tce_runtime::prelude::*;

use {{module}}::{GreeterImpl, {{module}}::GreeterServant};

const ENDPOINT: &str = "tcp://localhost:12002";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    {{module}}::log_to_stderr();
    // From here on, SIGTERM and Ctrl-C let calls in flight complete.
    tce_runtime::catch_termination().await?;

    let endpoint = std::env::args().nth(1);
    let communicator = Communicator::new();
    let adapter = Adapter::listen(&communicator, endpoint.as_deref().unwrap_or(ENDPOINT)).await?;
    let servant = GreeterServant::new(GreeterImpl::default());
    adapter.add_servant(servant).start();
    println!("listening on {}", adapter.endpoint());
    // On shutdown, calls in flight have 10 s to end.
    communicator
        .wait_for_shutdown(Duration::from_secs(10))
        .await?;
    Ok(())
}
