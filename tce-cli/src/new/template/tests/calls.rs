//! Server and client in one process, without a port.

use tce_runtime::{prelude::*, testing::TestServer};

use {{module}}::{
    GreeterImpl,
    {{module}}::{GreeterPrx, GreeterServant},
};

#[tokio::test]
async fn greet_needs_a_name() -> Result<(), RpcError> {
    let server = TestServer::new();
    server.add_servant(GreeterServant::new(GreeterImpl::default()));
    let greeter: GreeterPrx = server.connect().await?;

    assert_eq!(greeter.greet("Ann").await?, "Hello, Ann!");
    let refused = greeter.greet("").await.unwrap_err();
    assert_eq!(refused.text(), "the name is empty");
    Ok(())
}
