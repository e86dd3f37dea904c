//! Server and client in one process.

use std::error::Error;

use tce_runtime::prelude::*;

use {{module}}::{
    GreeterImpl,
    {{module}}::{GreeterPrx, GreeterServant},
};

#[tokio::test]
async fn greet_needs_a_name() -> Result<(), Box<dyn Error>> {
    let communicator = Communicator::new();
    // Port 0 selects a free port.
    let adapter = Adapter::listen(&communicator, "tcp://127.0.0.1:0").await?;
    let servant = GreeterServant::new(GreeterImpl::default());
    adapter.add_servant(servant).start();
    let greeter = GreeterPrx::connect(&communicator, &adapter.endpoint().to_string()).await?;

    assert_eq!(greeter.greet("Ann").await?, "Hello, Ann!");
    let refused = greeter.greet("").await;
    assert!(refused.is_err(), "{refused:?}");
    Ok(())
}
